"""What the Dockerfile claims, held without a container engine. It must not know how gradcore computes."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gradcore import __main__ as tour

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
README = (ROOT / "README.md").read_text()
TEXT = (ROOT / "Dockerfile").read_text()


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions in order, without comments, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions from each FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions(TEXT):
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def of(kind: str, stage: list[tuple[str, str]]) -> list[str]:
    return [rest for word, rest in stage if word == kind]


def settings(stage: list[tuple[str, str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in of("ENV", stage) for pair in shlex.split(rest))


FINAL = stages()[-1]


def test_the_base_can_be_chosen_and_no_digest_is_invented() -> None:
    assert ("ARG", "PYTHON_IMAGE=python:3.12-slim") in instructions(TEXT)
    assert [of("FROM", stage)[0].split()[0] for stage in stages()] == ["${PYTHON_IMAGE}", "dependencies", "${PYTHON_IMAGE}"]
    assert "sha256:" not in TEXT


def test_the_pins_are_of_the_versions_that_the_project_asks_for() -> None:
    pins = dict(re.findall(r'"([\w-]+(?:\[\w+\])?)==([\d.]+)\.\*"', TEXT))
    assert set(pins) == {"numpy", "cupy-cuda12x[ctk]", "ml_dtypes"}
    asked = dict(each.split(",")[0].split(">=") for each in (*EXTRAS["cuda"], *EXTRAS["bfloat16"]))
    asked["numpy"] = "2.1"
    for name, version in pins.items():
        assert [int(n) for n in version.split(".")] >= [int(n) for n in asked[name].split(".")]


def test_the_dependencies_come_before_the_sources() -> None:
    first, second, final = stages()
    assert not of("COPY", first)
    assert "--no-deps" in of("RUN", second)[0]
    assert of("COPY", final) == ["--from=install /opt/gradcore /opt/gradcore"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    kept = [pattern[1:] for pattern in ignored if pattern.startswith("!")]
    copied = [name for rest in of("COPY", stages()[1]) for name in rest.split()[:-1]]
    assert {"pyproject.toml", "README.md", "LICENSE", "backends", "gradcore"} == set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in kept)


def test_it_does_not_run_as_root_and_its_kernels_outlive_it() -> None:
    (user,) = of("USER", FINAL)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that Kubernetes can tell it is not root"
    folder = settings(FINAL)["CUPY_CACHE_DIR"]
    assert of("VOLUME", FINAL) == [folder]
    assert of("RUN", FINAL) == [f"mkdir {folder} && chown {user} {folder}"]
    order = [word for word, _ in FINAL]
    assert order.index("RUN") < order.index("VOLUME") < order.index("USER")


def test_it_asks_the_runtime_for_the_gpu() -> None:
    env = settings(FINAL)
    assert env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert env["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert env["PATH"].split(":")[0] == "/opt/gradcore/bin"


def words(text: str) -> list[str]:
    listed: list[str] = json.loads(text[text.index("[") :])
    return listed


def test_the_health_check_asks_for_a_usable_gpu(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = of("HEALTHCHECK", FINAL)
    program, option, code = words(check)
    assert (program, option) == ("python3", "-c")
    exec(code, {})
    from gradcore import cuda

    monkeypatch.setattr(cuda, "is_available", lambda: False)
    with pytest.raises(AssertionError):
        exec(code, {})


def test_the_default_command_is_the_tour_on_the_gpu(
    strict_cuda: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = of("CMD", FINAL)
    assert words(command)[:3] == ["python3", "-m", "gradcore"]
    monkeypatch.setattr(sys, "argv", ["gradcore", *words(command)[3:]])
    assert words(command)[3:] == ["--device", "cuda"]
    tour.main()
    assert "cuda" in capsys.readouterr().out


def test_the_readme_says_how() -> None:
    assert "docker build -t gradcore ." in README
    assert "docker run --rm --gpus all -v gradcore-kernels:/kernels gradcore" in README
    assert "-v gradcore-kernels:" + settings(FINAL)["CUPY_CACHE_DIR"] in README


def test_extras_agree_on_the_versions_of_cupy() -> None:
    found = {r.partition("[")[0] + r.partition("]")[2] if "[" in r else r for r in (*EXTRAS["cuda"], *EXTRAS["kernels"])}
    assert {r for r in found if r.startswith("cupy")} == {"cupy-cuda12x>=14.2,<15"}
