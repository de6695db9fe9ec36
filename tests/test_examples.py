"""The programs in examples/, run for a short time. Without the extra `examples`, most of the tests skip."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import gradcore

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # gradcore may not be installed
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def digits(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("-W", "error", "examples/digits.py", *arguments)


@pytest.fixture
def _extra() -> None:
    for name in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(name, reason="needs the extra `examples`")


@pytest.mark.slow
@pytest.mark.usefixtures("_extra")
def test_digits_are_learnt(tmp_path: Path) -> None:
    plot = tmp_path / "made/plot.png"
    done = digits("--seed", 1, "--out", plot)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"test accuracy ([\d.]+)%", done.stdout)[1]) >= 97
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")
    assert "training: 100%" in done.stderr  # the progress bar


@pytest.mark.slow
@pytest.mark.usefixtures("_extra")
def test_a_seed_gives_the_same_run_again() -> None:
    code = """
import runpy
names = runpy.run_path("examples/digits.py")
for seed in 3, 3, 4:
    names["gradcore"].manual_seed(seed)
    print(*names["train"](*names["load"](seed, "cpu"), epochs=1))
"""
    first, again, other = run("-c", code).stdout.splitlines()
    assert first == again
    assert first != other


@pytest.mark.slow
@pytest.mark.usefixtures("_extra")
def test_digits_are_learnt_on_a_device(strict_cuda) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of scikit-learn's and matplotlib's imports are theirs
        names = runpy.run_path(str(ROOT / "examples/digits.py"))
    losses, accuracies = names["train"](*names["load"](0, "cuda"), epochs=3)
    assert losses[0] > losses[2]
    assert accuracies[2] > 0.9


@pytest.mark.usefixtures("_extra")
def test_a_device_that_is_not_there_is_one_line() -> None:
    done = digits("--device", "warp9")
    assert done.returncode == 2
    assert "warp9" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys, runpy; sys.modules['sklearn'] = None; sys.argv = ['digits.py', '--epochs', '0'];"
        "runpy.run_path('examples/digits.py', run_name='__main__')"
    )
    done = run("-c", code)
    assert done.returncode == 1
    assert re.fullmatch(r'\S+ is not installed; run: pip install "gradcore\[examples\]"\n', done.stderr)


# -- NumPy code, differentiated as it is: against finite differences of what NumPy itself computes --------------------


def _populations(names, rng):
    return names["plague"], [rng.uniform(0.5, 1.5, 2), np.array([1.1, 0.8, 0.4, 0.5]) * rng.uniform(0.9, 1.1, 4)]


def _process(names, rng):
    x, y = names["data"](int(rng.integers(1000)), 15)
    return lambda logs, y: names["log_likelihood"](logs, x, y), [rng.uniform(-1, 0.5, 3), y]


def _image(names, rng):
    seen = rng.uniform(size=(6, 9))
    return lambda image, width: names["misfit"](image, seen, width), [rng.uniform(size=(6, 9)), np.array(1.3)]


EXAMPLES = {
    "predators": (_populations, "at most 4.2878 thousand prey, as tensors 4.2878"),
    "gaussian_process": (_process, "log likelihood -44.03 -> "),
    "image_filter": (_image, "mean error: blurred 0.0575, sharpened 0.00"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_numpy_code_is_differentiated_as_it_is(name) -> None:
    path = ROOT / f"examples/{name}.py"
    assert len(path.read_text().splitlines()) < 80
    rng = np.random.default_rng()
    function, points = EXAMPLES[name][0](runpy.run_path(str(path)), rng)
    leaves = [gradcore.tensor(point, requires_grad=True) for point in points]
    value = function(*leaves)
    assert value.item() == pytest.approx(float(function(*points)), rel=1e-12)
    value.backward()
    for i, point in enumerate(points):
        direction = rng.normal(size=point.shape)
        ends = [function(*points[:i], point + h * direction, *points[i + 1 :]) for h in (1e-6, -1e-6)]
        slope = np.sum(leaves[i].grad.numpy() * direction)
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_numpy_examples_run(name) -> None:
    done = run("-W", "error", f"examples/{name}.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(EXAMPLES[name][1])


def test_a_function_of_ones_own_fits_an_orbit() -> None:
    done = run("-W", "error", "examples/custom_function.py", "--steps", 60)
    assert done.returncode == 0, done.stderr
    found = re.search(r"eccentricity ([\d.]+) .* day ([\d.]+) .*\nroot mean square error ([\d.]+)", done.stdout)
    eccentricity, perihelion, error = map(float, found.groups())
    assert abs(eccentricity - 0.2056) < 0.005
    assert abs(perihelion - 30) < 0.1
    assert error < 0.02


def test_checkpoints_need_less_memory() -> None:
    done = run("-W", "error", "examples/checkpointing.py", "--steps", 60, "--size", 120, "--slots", 10)
    assert done.returncode == 0, done.stderr
    plain, segments, loop = map(float, re.findall(r"([\d.]+) arrays,", done.stdout))
    assert plain > 180
    assert segments < plain / 3
    assert loop < plain / 6
    assert done.stdout.count("gradients agree") == 3
