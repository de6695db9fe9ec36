"""The examples of gradcore.func, run for a short time and checked against closed forms."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np

from tests.test_examples import run

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_newton_steps_converge_quadratically() -> None:
    done = run("-W", "error", "examples/newton.py", "--patients", 300, "--features", 8)
    assert done.returncode == 0, done.stderr
    losses = [float(x) for x in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert losses == sorted(losses, reverse=True)
    sizes = [float(x) for x in re.findall(r"gradient (?:before|now) ([\d.e+-]+)", done.stdout)]
    assert sizes[-1] <= 1e-10 < sizes[-2] < 1e-3


def test_newton_solves_a_quadratic_and_matches_a_direct_solution() -> None:
    newton, rng = loaded("newton"), np.random.default_rng()
    root = rng.normal(size=(5, 5))
    a, b = root @ root.T + np.eye(5), rng.normal(size=5)
    p, count = newton.solve(lambda v: a @ v, b, 1e-12)
    np.testing.assert_allclose(p, np.linalg.solve(a, b), rtol=1e-8)
    assert 1 <= count <= 10
    w, history = newton.minimise(lambda w: 0.5 * w @ a @ w - b @ w + np.sum(w**4), np.zeros(5))
    np.testing.assert_allclose(a @ w + 4 * w**3, b, atol=1e-8)
    assert len(history) < 20


def test_the_largest_gradients_are_of_wrong_labels() -> None:
    done = run("-W", "error", "examples/per_sample_gradients.py", "--samples", 300, "--steps", 250)
    assert done.returncode == 0, done.stderr
    right = [float(x) for x in re.findall(r"([\d.]+)% of the rightly", done.stdout)]
    found = [float(x) for x in re.findall(r"([\d.]+)% of the \d+ largest", done.stdout)]
    assert len(right) == len(found) == 2
    assert min(right) > 95
    assert min(found) > 70
