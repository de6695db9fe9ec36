"""When two results are the same: dtype, shape, values within a tolerance, structure. It must not run an op."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.opinfo.core import DecorateInfo

from tests.oracle.library import Library, Reference

REFERENCE = Reference()


@dataclass(frozen=True)
class Tolerance:
    """|actual - expected| <= rtol |expected| + atol max(1, largest finite |expected|).

    The absolute part grows with the tensor because a sum of large terms cancels to small ones.
    """

    rtol: float
    atol: float

    def wider(self, rtol: float, atol: float) -> Tolerance:
        return Tolerance(max(self.rtol, rtol), max(self.atol, atol))


EXACT = Tolerance(0.0, 0.0)
# Both libraries compute in the same precision but add in another order, so float32 gets a few dozen units in the last
# place; derivatives chain several roundings.
VALUES = {8: Tolerance(1e-7, 1e-9), 4: Tolerance(1e-5, 1e-6), 2: Tolerance(1e-3, 1e-3)}
DERIVATIVES = {8: Tolerance(1e-7, 1e-9), 4: Tolerance(1e-4, 1e-5), 2: Tolerance(1e-2, 1e-2)}
BFLOAT16 = Tolerance(1.6e-2, 1e-2)

# What float32 is off by in torch itself: it reflects the trigamma of negative numbers with a rounded sin(pi x), and
# singular vectors of near singular values are as uncertain as these are near.
OFF = {
    "polygamma": Tolerance(1e-4, 1e-4),
    "special.polygamma": Tolerance(1e-4, 1e-4),
    "linalg.svd": Tolerance(1e-5, 1e-5),
}

# op_db's own overrides that state how far two correct implementations may differ in values on the CPU.
TRUSTED_CLASSES = {None, "TestCommon", "TestUnaryUfuncs", "TestBinaryUfuncs"}
TRUSTED_TESTS = {
    None,
    "test_noncontiguous_samples",
    "test_numpy_refs",
    "test_out",
    "test_reference_numerics_normal",
}


def real_width(dtype: torch.dtype) -> int:
    """Return the bytes of one real component."""
    return dtype.itemsize // (2 if dtype.is_complex else 1)


def tolerance_for(dtype: torch.dtype, info: Any = None, *, derivative: bool = False) -> Tolerance:
    """Choose the tolerance for values (or derivatives) of this dtype, with op_db's override for the op if it has one.

    float64 takes no override: those are written for the accumulated error of narrow types.
    """
    if not (dtype.is_floating_point or dtype.is_complex):
        return EXACT
    if dtype is torch.bfloat16:
        return BFLOAT16
    width = real_width(dtype)
    chosen = (DERIVATIVES if derivative else VALUES)[width]
    if info is None or width == 8:
        return chosen
    off = OFF.get(info.name, chosen)
    chosen = chosen.wider(off.rtol, off.atol)
    for override in overrides(info):
        if dtype in override.d:
            chosen = chosen.wider(override.d[dtype].rtol, override.d[dtype].atol)
    return chosen


def overrides(info: Any) -> Iterator[toleranceOverride]:
    for decorator in info.decorators:
        if isinstance(decorator, DecorateInfo):
            trusted = decorator.cls_name in TRUSTED_CLASSES and decorator.test_name in TRUSTED_TESTS
            if not trusted or decorator.device_type not in (None, "cpu"):
                continue
            candidates = decorator.decorators
        else:
            candidates = [decorator]
        yield from (c for c in candidates if isinstance(c, toleranceOverride))


def array_difference(expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance) -> str | None:
    """Say where two arrays of one shape differ most, or None. NaN equals NaN; infinities must agree in sign."""
    if expected.size == 0:
        return None
    if expected.dtype.kind not in "fc" or actual.dtype.kind not in "fc":
        wrong = np.asarray(expected != actual)
        return None if not wrong.any() else worst(expected, actual, wrong, wrong.astype(float))
    with np.errstate(all="ignore"):
        wide = np.result_type(expected.dtype, np.float64)
        e, a = expected.astype(wide), actual.astype(wide)
        finite = np.isfinite(e)
        scale = max(1.0, float(np.abs(e[finite]).max(initial=0.0)))
        gap = np.abs(a - e)
        near = gap <= tolerance.rtol * np.abs(e) + tolerance.atol * scale
        same = np.where(finite, near, same_nonfinite(e, a))
    if same.all():
        return None
    return worst(expected, actual, ~same, np.where(np.isfinite(gap), gap, np.inf))


def same_nonfinite(e: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Compare what is not finite; a complex number is compared by its parts, where a NaN part matches any NaN.

    Which part of a complex result is NaN and which infinite depends on the multiplication algorithm, not the function.
    """
    both_nan = np.isnan(e) & np.isnan(a)
    return np.asarray(both_nan | (e == a))


def worst(expected: np.ndarray, actual: np.ndarray, wrong: np.ndarray, gap: np.ndarray) -> str:
    at = np.unravel_index(int(np.argmax(np.where(wrong, gap, -1.0))), wrong.shape)
    where = f" at {tuple(int(i) for i in at)}" if at else ""
    share = f"{int(wrong.sum())} of {wrong.size} values differ; worst" if wrong.size > 1 else "value"
    return f"{share}{where}: expected {expected[at]}, got {actual[at]} (off by {gap[at]:.3g})"


def difference(
    expected: Any, actual: Any, library: Library, tolerance_of: Any, *, values: bool = True
) -> str | None:
    """Say how a result of the library differs from torch's, or None.

    `tolerance_of(dtype)` gives the tolerance for a tensor; `values=False` compares structure, shapes and dtypes only.
    """
    if isinstance(expected, torch.Tensor):
        return tensor_difference(expected, actual, library, tolerance_of, values=values)
    if isinstance(expected, torch.Size):
        return None if tuple(actual) == tuple(expected) else f"expected size {tuple(expected)}, got {actual}"
    if isinstance(expected, torch.dtype):
        agree = library.dtype_name(actual) == library.dtype_name(expected)
        return None if agree else f"expected {expected}, got {actual}"
    if isinstance(expected, list | tuple):
        return sequence_difference(expected, actual, library, tolerance_of, values=values)
    if isinstance(expected, Mapping):
        return None if expected == actual else f"expected {expected}, got {actual}"
    if type(expected) is not type(actual):
        return f"expected the {type(expected).__name__} {expected!r}, got the {type(actual).__name__} {actual!r}"
    if isinstance(expected, float | complex):
        return array_difference(np.asarray(expected), np.asarray(actual), tolerance_of(torch.float64))
    return None if expected == actual else f"expected {expected!r}, got {actual!r}"


def sequence_difference(
    expected: Any, actual: Any, library: Library, tolerance_of: Any, *, values: bool
) -> str | None:
    if not isinstance(actual, list | tuple):
        return f"expected {len(expected)} results, got a {type(actual).__name__}"
    if isinstance(expected, list) is not isinstance(actual, list):
        return f"expected a {type(expected).__name__} of results, got a {type(actual).__name__}"
    if len(expected) != len(actual):
        return f"expected {len(expected)} results, got {len(actual)}"
    for field in fields(expected):
        if not hasattr(actual, field):
            return f"the result has no field `{field}` (torch returns {type(expected).__name__})"
    for i, (e, a) in enumerate(zip(expected, actual, strict=True)):
        found = difference(e, a, library, tolerance_of, values=values)
        if found:
            return f"result {i}: {found}"
    return None


def fields(result: Any) -> list[str]:
    """Return the names under which torch's named tuples offer their results."""
    if type(result) in (list, tuple):
        return []
    order = {id(item): i for i, item in enumerate(result)}
    named = (n for n in dir(type(result)) if not n.startswith("_") and not callable(getattr(result, n)))
    return [n for n in named if id(getattr(result, n)) in order]


def tensor_difference(
    expected: torch.Tensor, actual: Any, library: Library, tolerance_of: Any, *, values: bool
) -> str | None:
    if not library.is_tensor(actual):
        return f"expected a Tensor, got a {type(actual).__name__}"
    if library.dtype_name(actual.dtype) != library.dtype_name(expected.dtype):
        return f"expected {library.dtype_name(expected.dtype)}, got {library.dtype_name(actual.dtype)}"
    if tuple(actual.shape) != tuple(expected.shape):
        return f"expected shape {tuple(expected.shape)}, got {tuple(actual.shape)}"
    array = library.array(actual)
    if array.shape != tuple(expected.shape):
        return f"the tensor says shape {tuple(expected.shape)} but holds an array of shape {array.shape}"
    want = REFERENCE.array(expected)
    if array.dtype != want.dtype:
        return f"the tensor says {library.dtype_name(actual.dtype)} but holds an array of {array.dtype}"
    return array_difference(want, array, tolerance_of(expected.dtype)) if values else None


def exception_difference(expected: BaseException, actual: BaseException) -> str | None:
    """Say how the types of two exceptions differ, or None. A subclass of a builtin type that torch raises is fine."""
    want = type(expected)
    if isinstance(actual, want) or type(actual).__name__ == want.__name__.lstrip("_"):  # torch names one _LinAlgError
        return None
    return f"torch raises {brief(expected)}; here it is {brief(actual)}"


def brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}{'...' if len(text) > 200 else ''}"


def close(expected: float, actual: float, rtol: float, atol: float) -> bool:
    return math.isclose(expected, actual, rel_tol=rtol, abs_tol=atol)
