"""Python numbers of tensors that require grad, beside torch: some conversions warn, once in a process."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gradcore

torch = pytest.importorskip("torch")

WORDS = "Converting a tensor with requires_grad=True to a scalar"
CONVERSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "float": lambda lib, t: float(t),
    "complex": lambda lib, t: complex(t),
    "math.sqrt": lambda lib, t: math.sqrt(t),
    "math.isnan": lambda lib, t: math.isnan(t),
    "math.floor": lambda lib, t: math.floor(t),
    "float of a result": lambda lib, t: float(t * 2),
    "int": lambda lib, t: int(t),
    "bool": lambda lib, t: bool(t),
    "item": lambda lib, t: t.item(),
    "tolist": lambda lib, t: t.tolist(),
    "format": lambda lib, t: f"{t:.2f}",
    "detached": lambda lib, t: float(t.detach()),
    "sum": lambda lib, t: sum([1.0, t]).item(),
}


@pytest.fixture(autouse=True)
def _always() -> Iterator[None]:
    before = torch.is_warn_always_enabled(), gradcore.is_warn_always_enabled()
    torch.set_warn_always(True)
    gradcore.set_warn_always(True)
    yield
    torch.set_warn_always(before[0])
    gradcore.set_warn_always(before[1])


def told(lib: Any, name: str) -> Any:
    t = lib.tensor(2.5, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = CONVERSIONS[name](lib, t)
    return result, [(each.category, str(each.message).partition(" (Trig")[0], each.filename) for each in caught]


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_warn_where_torchs_do(name: str) -> None:
    ours, theirs = told(gradcore, name), told(torch, name)
    assert ours == theirs
    with gradcore.no_grad(), torch.no_grad():
        assert told(gradcore, name)[1] == told(torch, name)[1] == []


def test_some_warn() -> None:
    assert WORDS in told(gradcore, "float")[1][0][1]


@pytest.mark.parametrize("library", ["torch", "gradcore"])
def test_once_in_a_process(library: str) -> None:
    program = "\n".join([
        f"import warnings, {library} as lib",
        "t = lib.tensor(1.0, requires_grad=True)",
        "with warnings.catch_warnings(record=True) as caught:",
        "    warnings.simplefilter('always')",
        "    float(t), float(t), complex(t)",
        "    print(len(caught), lib.is_warn_always_enabled())",
        "    lib.set_warn_always(True)",
        "    float(t), float(t)",
        "    print(len(caught), lib.is_warn_always_enabled())",
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "False", "3", "True"]
