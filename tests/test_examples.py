"""The programs in examples/, run for a short time. Without the extra `examples`, most of the tests skip."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

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
