"""Warnings name the user's line, in the first call of a function as in later ones. It must not need torch."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import gradcore
from gradcore.nn import functional as F
from gradcore.recorder.caller import user_line, warn


def complex_numbers() -> Any:
    return gradcore.ones(2, dtype=gradcore.complex64)


def filled(method: str, *args: Any) -> Any:
    return getattr(gradcore.zeros(2), method)(*args)


CALLS: dict[str, Callable[[], Any]] = {
    "softmax": lambda: F.softmax(gradcore.ones(2, 2)),
    "softmin": lambda: F.softmin(gradcore.ones(2, 2)),
    "a module": lambda: gradcore.nn.Softmax()(gradcore.ones(2, 2)),
    "mse_loss": lambda: F.mse_loss(gradcore.ones(2), gradcore.ones(1)),
    "a loss": lambda: gradcore.nn.MSELoss()(gradcore.ones(2), gradcore.ones(1)),
    "huber_loss": lambda: F.huber_loss(gradcore.ones(2), gradcore.ones(1)),
    "reduce": lambda: F.nll_loss(gradcore.zeros(1, 2), gradcore.tensor([0]), reduce=True),
    "var": lambda: gradcore.var(gradcore.ones(1)),
    "std": lambda: gradcore.ones(1).std(),
    "cov": lambda: gradcore.cov(gradcore.ones(2, 1)),
    "meshgrid": lambda: gradcore.meshgrid(gradcore.ones(2), gradcore.ones(2)),
    "upsample": lambda: F.upsample(gradcore.ones(1, 1, 2, 2), scale_factor=2),
    "grid_sample": lambda: F.grid_sample(gradcore.ones(1, 1, 2, 2), gradcore.zeros(1, 2, 2, 2)),
    "a number": lambda: complex_numbers().to(gradcore.float32),
    "copy_": lambda: filled("copy_", complex_numbers()),
    "setitem": lambda: filled("__setitem__", 0, complex_numbers()[0]),
    "out": lambda: gradcore.add(gradcore.ones(2), 1, out=gradcore.ones(3)),
    "sum of out": lambda: gradcore.sum(gradcore.ones(2, 2), 0, out=gradcore.ones(3)),
    "tensor": lambda: gradcore.tensor(gradcore.ones(2)),
    "new_tensor": lambda: filled("new_tensor", gradcore.ones(2)),
    "uint8": lambda: gradcore.ones(2)[gradcore.ones(2, dtype=gradcore.uint8)],
    "dropout2d": lambda: F.dropout2d(gradcore.ones(2, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_warnings_name_the_users_line(name: str) -> None:
    lines = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            CALLS[name]()
        assert caught, "no warning"
        lines += [(each.filename, each.lineno) for each in caught]
    code = CALLS[name].__code__
    helper = filled.__code__.co_firstlineno + 1
    assert set(lines) in ({(__file__, code.co_firstlineno)}, {(__file__, helper)})


def test_the_first_call_does_too() -> None:
    program = "\n".join([
        "import warnings, gradcore",
        "with warnings.catch_warnings(record=True) as caught:",
        "    warnings.simplefilter('always')",
        "    gradcore.var(gradcore.ones(1))  # line 4",
        "    gradcore.nn.functional.softmax(gradcore.ones(2, 2))",
        "    gradcore.nn.functional.mse_loss(gradcore.ones(2), gradcore.ones(1))",
        "    gradcore.add(gradcore.ones(2), 1, out=gradcore.ones(3))",
        "    gradcore.meshgrid(gradcore.ones(2), gradcore.ones(2))",
        "print([(each.filename, each.lineno) for each in caught])",
    ])  # fmt: skip
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert told.strip() == str([("<string>", line) for line in (4, 5, 6, 7, 8)])


def test_the_line_is_the_first_outside() -> None:
    with pytest.warns(FutureWarning, match="so") as caught:
        warn("so", FutureWarning)
    line = test_the_line_is_the_first_outside.__code__.co_firstlineno
    assert (caught[0].filename, caught[0].lineno) == (__file__, line + 2)
    assert user_line() == f"{__file__}:{line + 5}"
