"""The checks of tests/test_cases.py, shown faulty primitives that each must see. It must not know real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcore.recorder import primitive, registry
from tests import cases
from tests import test_cases as table
from tests.cases import Case


def wrong_slope(F: Any, x: Any) -> Any:
    return F.multiply(x, x)


def constant_slope(F: Any, x: Any) -> Any:
    return F.multiply(x, x), F.multiply(x, 2)


def wide(F: Any, x: Any) -> Any:
    return F.astype(x, "f8")


def wide_cotangent(F: Any, x: Any) -> Any:
    return F.multiply(x, 2)


def memory_order(F: Any, x: Any) -> Any:
    return F.reshape(F.flat_storage(x)[: x.size], x.shape)


def no_conjugate(F: Any, x: Any) -> Any:
    return F.conj(x)


def waiting(F: Any, x: Any) -> Any:
    return F.multiply(x, float(F.as_array(F.max(x)).item()))


def copying(F: Any, x: Any) -> Any:
    return F.multiply(x, F.asarray([1, 2, 3], x.dtype))


def mixing(F: Any, x: Any) -> Any:
    return F.multiply(x, np.ones(3, x.dtype))


def uninitialised(F: Any, x: Any) -> Any:
    return F.multiply(x, 0) + (F.empty(x.shape, x.dtype) if F.device_type == "cuda" else 0)


def waiting_backwards(F: Any, x: Any) -> Any:
    return F.multiply(x, 3)


VALUES = table.test_values_keep_their_dtype_and_layout_does_not_matter
SLOPES, SECOND = table.test_cotangents_are_slopes, table.test_cotangents_of_cotangents_are_slopes
SWEEPS = table.test_sweeps_agree_in_every_layout_and_keep_the_dtype
DEVICE = table.test_a_device_gives_the_same_and_never_waits

CONSTANT_SLOPE = {"x": lambda g, slope: g * slope, "outputs": ("out", "slope"), "constant": ("slope",)}
FAULTS: list[tuple[Callable[..., Any], dict[str, Any], Callable[..., None], str]] = [
    (wrong_slope, {"x": lambda g, x: g * x}, SLOPES, "the slope is"),
    (constant_slope, CONSTANT_SLOPE, SECOND, "the slope is"),
    (wide, {"x": lambda F, g, x_dtype: F.astype(g, dtype=x_dtype)}, VALUES, "dtype"),
    (wide_cotangent, {"x": lambda F, g: F.astype(g, dtype=np.dtype("f8")) * 2}, SWEEPS, "dtype"),
    (memory_order, {"x": lambda g: g}, VALUES, "Not equal"),
    (no_conjugate, {"x": lambda g: g}, SLOPES, "the slope is"),
    (waiting, {}, DEVICE, "waits for the device"),
    (copying, {}, DEVICE, "copies from the host"),
    (mixing, {}, DEVICE, "Unsupported type"),
    (uninitialised, {}, DEVICE, "Not equal"),
    (waiting_backwards, {"x": lambda F, g: F.waiting(g)}, DEVICE, "waits for the device"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0].__name__)
def test_the_checks_see_what_they_look_for(fault: Any, request: Any, strict_cuda: Any) -> None:
    forward, rules, check, says = fault
    before = set(registry)
    try:
        primitive("general")(waiting)
        if forward is not waiting:
            primitive("general", **rules)(forward)
        case = Case(forward.__name__, cases.normal((2, 3)), complex_=forward is no_conjugate)
        place = table.Place(strict_cuda.backend, strict_cuda.array, strict_cuda.host, strict_cuda)
        arguments = (place,) if check is DEVICE else ()
        with pytest.raises((AssertionError, RuntimeError), match=says):
            check(case, request, *arguments)
    finally:
        for name in set(registry) - before:
            del registry[name]
