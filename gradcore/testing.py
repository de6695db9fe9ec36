"""torch.testing: whether two results are as good as equal, and where they are not. It must not know any operation's rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from gradcore import dtypes
from gradcore.ops.comparison import isclose
from gradcore.ops.creation import as_tensor, tensor
from gradcore.ops.positions import unravel_index
from gradcore.tensor import Tensor

__all__ = ["assert_close"]

# Relative and absolute tolerances; those of integers are zero.
_TOLERANCES: Final = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol |expected| and all that is checked is the same.

    Takes tensors, arrays, numbers, None, and sequences and mappings of them. The tolerances go by dtype unless both are
    given; `msg` is what the error says, or makes it of what it would say. Raises TypeError for what cannot be compared,
    ValueError for one tolerance alone.
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    given = None if rtol is None or atol is None else (rtol, atol)
    checked = [
        ("shape", lambda x: x.shape, True),
        ("layout", lambda x: x.layout, check_layout),
        ("stride()", lambda x: x.stride(), check_stride),
        ("device", lambda x: x.device, check_device),
        ("dtype", lambda x: x.dtype, check_dtype),
    ]
    try:
        pairs = list(_pairs(actual, expected, ()))
        for a, e, _ in pairs:
            _check_comparable(a, e, allow_subclasses)
        for a, e, place in pairs:
            if wrong := _difference(a, e, given, equal_nan, check_dtype, checked):
                raise _Mismatch(wrong, place)
    except _Mismatch as error:
        said = str(error)
        raise AssertionError(said if msg is None else msg(said) if callable(msg) else msg) from None


class _Mismatch(Exception):
    def __init__(self, wrong: str, place: tuple[Any, ...]) -> None:
        where = "".join(f"[{each!r}]" for each in place)
        super().__init__(f"{wrong}\n\nThe failure occurred for item {where}" if place else wrong)


def _pairs(actual: Any, expected: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """What is to be compared with what, and its place in the sequences and mappings around it."""
    if all(isinstance(x, Sequence) and not isinstance(x, str) for x in (actual, expected)):
        if len(actual) != len(expected):
            raise _Mismatch(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", place)
        yield from chain(*(_pairs(actual[i], expected[i], (*place, i)) for i in range(len(actual))))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            missing, added = (sorted(a.keys() - b.keys(), key=str) for a, b in ((expected, actual), (actual, expected)))
            lines = ["The keys of the mappings do not match:"]
            lines += [f"Missing keys in the actual mapping: {missing}"] if missing else []
            lines += [f"Additional keys in the actual mapping: {added}"] if added else []
            raise _Mismatch("\n".join(lines), place)
        yield from chain(*(_pairs(actual[key], expected[key], (*place, key)) for key in sorted(actual, key=str)))
    else:
        yield actual, expected, place


def _check_comparable(a: Any, e: Any, allow_subclasses: bool) -> None:
    if a is None or e is None or all(isinstance(x, (bool, int, float, complex)) for x in (a, e)):
        return
    related = isinstance(a, type(e)) or isinstance(e, type(a)) if allow_subclasses else type(a) is type(e)
    if not related or not hasattr(a, "shape"):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(a)} and {type(e)}.")


def _difference(
    a: Any, e: Any, given: tuple[float, float] | None, equal_nan: bool, check_dtype: bool, checked: list[Any]
) -> str:
    """What is wrong, or nothing."""
    if a is None or e is None:
        return "" if a is e else f"None mismatch: {a} is not {e}"
    if isinstance(a, bool) and isinstance(e, bool):
        return "" if a is e else f"Booleans mismatch: {a} is not {e}"
    if not hasattr(a, "shape"):
        if check_dtype and type(a) is not type(e):
            return f"The (d)types do not match: {type(a)} != {type(e)}."
        kinds = {int: dtypes.int64, bool: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}
        a, e = (tensor(x, dtype=kinds[type(x)]) for x in (a, e))
    else:
        a, e = (x.detach() if isinstance(x, Tensor) else as_tensor(x) for x in (a, e))
        for name, read, wanted in checked:
            if wanted and (mine := read(a)) != (theirs := read(e)):
                return f"The values for attribute '{name}' do not match: {mine} != {theirs}."
    tolerances = [_TOLERANCES.get(x.dtype.name, (0.0, 0.0)) for x in (a, e)]
    rtol, atol = given or (max(r for r, _ in tolerances), max(s for _, s in tolerances))
    kind = dtypes.promote_types(a.dtype, e.dtype)
    a, e = a.cpu().to(kind), e.cpu().to(kind)
    return _unlike(a, e, isclose(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan), rtol, atol)


def _unlike(a: Any, e: Any, alike: Any, rtol: float, atol: float) -> str:
    """Where two tensors differ most, if anywhere."""
    if bool(alike.all()):
        return ""
    exact = rtol == 0 and atol == 0
    verdict = "are not equal!" if exact else "are not close!"
    upto = ["", ""] if exact else [f" (up to {atol} allowed)", f" (up to {rtol} allowed)"]
    if not (a.is_floating_point() or a.is_complex()):
        a, e = a.long(), e.long()
    if not a.ndim:
        x, y = a.item(), e.item()
        apart = abs(x - y)
        relative = float("inf") if y == 0 else apart / abs(y)
        return (
            f"Scalars {verdict}\n\nExpected {y} but got {x}.\n"
            f"Absolute difference: {apart}{upto[0]}\nRelative difference: {relative}{upto[1]}"
        )
    apart = (a - e).abs()
    lines = [f"Tensor-likes {verdict}\n"]
    n, wrong = alike.numel(), int((~alike).sum())
    lines += [f"Mismatched elements: {wrong} / {n} ({wrong / n:.1%})"]
    for name, sizes, allowed in zip(("absolute", "relative"), (apart, apart / e.abs()), upto, strict=True):
        sizes = sizes.masked_fill(alike, 0).flatten()
        place = int(sizes.argmax())
        index = tuple(int(i) for i in unravel_index(tensor(place), tuple(a.shape)))
        lines += [f"Greatest {name} difference: {sizes[place].item()} at index {index}{allowed}"]
    return "\n".join(lines)
