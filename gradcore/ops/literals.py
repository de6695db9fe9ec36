"""What nested sequences and numbers mean as arrays: torch's shapes, dtypes and errors. It must not know
devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.recorder.value import Value, wrap

_NUMBERS = frozenset({bool, int, float, complex})
_LISTS = (list, tuple)


def array(data: Any, dtype: dtypes.dtype | None) -> Any:
    """Return nested sequences of numbers, arrays and one-element Tensors as a new host array.

    Without `dtype`, it is the promotion of what is in there: the default dtype for floats, int64 for ints.
    Raises ValueError for ragged sequences and integers beyond int64, TypeError and RuntimeError for what is
    no number.
    """
    found: set[Any] = set()
    try:
        has_tensors = _survey([data], found)
    except _NoNumber as error:
        raise _refusal(error.args[0], data, dtype) from None
    except RecursionError:
        raise TypeError("new(): self-referential lists are incompatible") from None
    if dtype is None:
        dtype = dtypes.get_default_dtype()
        known = sorted(found, key=lambda each: each.name) if len(found) > 1 else list(found)
        if known:
            dtype = known[0]
            for each in known[1:]:
                dtype = dtypes.promote_types(dtype, each)
    if has_tensors:
        data = _without_tensors(data, dtype, _depth(data))
    before = host.noise()
    try:
        host.quiet()
        return host.asarray(data, dtype.numpy)
    except (OverflowError, TypeError, ValueError):
        return _one_by_one(data, dtype)
    finally:
        host.unquiet(before)


def number(value: Any, dtype: dtypes.dtype) -> Any:
    """Return a Python number as a 0-d host array of `dtype`, as torch converts: modulo for negative unsigned.

    Raises RuntimeError where the dtype cannot hold it.
    """
    storage = dtype.numpy
    kind = storage.kind
    try:
        if kind in "iu":
            if isinstance(value, complex):
                if value.imag:
                    raise OverflowError
                value = value.real
            whole = int(value)
            limits = dtypes.iinfo(dtype)
            if not -limits.max - (kind == "i") <= whole <= limits.max:
                raise OverflowError
            return host.asarray(whole % (limits.max + 1) if kind == "u" else whole, storage)
        if isinstance(value, complex) and kind not in "cb":
            if value.imag:
                raise OverflowError
            value = value.real
        if kind == "V" and isinstance(value, int):  # bfloat16 knows no integers beyond 64 bits
            value = float(value)
        return host.asarray(value, storage)
    except (OverflowError, ValueError):
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow ({value!r})") from None


# -- the dtype -----------------------------------------------------------------------------------------------


def _survey(data: Sequence[Any], found: set[Any]) -> bool:
    """Add the dtypes of all numbers in `data` to `found`; says whether there are Tensors among them."""
    if not len(data):  # as torch has it: an empty sequence is one of floats
        found.add(dtypes.get_default_dtype())
        return False
    kinds = set(map(type, data))
    numbers = kinds & _NUMBERS
    found.update(map(dtypes.of_scalar, numbers))
    if len(numbers) == len(kinds):
        return False
    has_tensors = False
    for x in data:
        if type(x) in _NUMBERS:
            continue
        if type(x) in _LISTS:
            has_tensors |= _survey(x, found)
        elif isinstance(x, Value):
            found.add(dtypes.of(x._array.dtype))
            has_tensors = True
        elif isinstance(x, (host.Array, host.generic)):
            found.add(dtypes.of(x.dtype))
        elif hasattr(x, "__array__"):  # another library's
            found.add(dtypes.of(host.asarray(x).dtype))
            has_tensors = True
        elif _is_sequence(x):
            has_tensors |= _survey(x if isinstance(x, _LISTS) else list(x), found)
        elif isinstance(x, (bool, int, float, complex)):
            found.add(dtypes.of_scalar(next(n for n in (bool, int, float, complex) if isinstance(x, n))))
        else:
            raise _NoNumber(x)
    return has_tensors


class _NoNumber(Exception):
    """What is among numbers and is none."""


def _refusal(x: Any, data: Any, dtype: dtypes.dtype | None) -> Exception:
    """torch's error for `x`, which stands in `data` and is no number."""
    kind, is_text = type(x).__name__, isinstance(x, (str, bytes))
    first = data
    while isinstance(first, _LISTS) and first:
        first = first[0]
    if is_text and x is first:
        return ValueError(f"too many dimensions '{kind}'")
    if dtype is not None and (dtype.is_floating_point or dtype.is_complex):
        return TypeError(f"must be real number, not {kind}")
    if dtype is not None:
        return TypeError(f"'{kind}' object cannot be interpreted as an integer")
    return TypeError(f"new(): invalid data type '{kind}'") if is_text else RuntimeError(f"Could not infer dtype of {kind}")


def _is_sequence(x: Any) -> bool:
    return isinstance(x, _LISTS) or (
        hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(x, (str, bytes, dict))
    )


def _depth(x: Any) -> int:
    """How deeply sequences are nested, by their first elements."""
    if isinstance(x, Value) or not _is_sequence(x) or not getattr(x, "ndim", True):
        return 0
    return 1 + (_depth(x[0]) if len(x) else 0)


def _without_tensors(x: Any, dtype: dtypes.dtype, depth: int) -> Any:
    """`x` with each one-element Tensor as a NumPy scalar, other libraries' arrays as NumPy's.

    A Tensor beside lists, above the `depth` at which numbers are expected, counts as a list of its elements.
    """
    if isinstance(x, Value):
        if depth and x._array.ndim:
            return [_without_tensors(wrap(row), dtype, depth - 1) for row in x._array]
        if x._array.size != 1:
            where = f"(there is one of shape {list(x._array.shape)} in the sequence); gradcore.stack joins tensors"
            if dtype.is_floating_point or dtype.is_complex:
                raise ValueError(f"only one element tensors can be converted to Python scalars {where}")
            raise TypeError(f"only integer tensors of a single element can be converted to an index {where}")
        return of(x._array).to_host(x._array).reshape(-1)[0]
    if isinstance(x, (host.Array, host.generic)):
        return x
    if hasattr(x, "__array__"):
        return host.asarray(x)
    if not _is_sequence(x):
        return x
    return [_without_tensors(each, dtype, depth - 1) for each in x]


# -- what NumPy refuses --------------------------------------------------------------------------------------


def _one_by_one(data: Any, dtype: dtypes.dtype) -> Any:
    """The array of a sequence that NumPy refused, if torch takes it; else torch's error."""
    shape = []
    first = data
    while _is_sequence(first) and getattr(first, "ndim", True):
        shape.append(len(first))
        if not len(first):
            break
        first = first[0]
    out = host.empty(tuple(shape), dtype.numpy)
    if out.size:
        flat = out.reshape(-1)
        for i, x in enumerate(_leaves(data, shape, 0)):
            integral = not (dtype.is_floating_point or dtype.is_complex or dtype is dtypes.uint64)
            if integral and isinstance(x, int) and not -(2**63) <= x < 2**63:
                raise ValueError(f"Overflow when unpacking long long ({x})")
            if isinstance(x, complex) and not dtype.is_complex:
                raise TypeError(f"must be real number, not {type(x).__name__} ({x})")
            flat[i] = number(x, dtype)
    return out


def _leaves(data: Any, shape: list[int], depth: int) -> Iterator[Any]:
    if depth == len(shape):
        if _is_sequence(data) and getattr(data, "ndim", True):
            raise TypeError(f"'{type(data).__name__}' object cannot be interpreted as an integer")
        yield data.item() if isinstance(data, (host.generic, host.Array)) else data
        return
    if not _is_sequence(data):
        raise TypeError(f"not a sequence (a {type(data).__name__} at dim {depth} where the first entry has one)")
    if len(data) != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})")
    for each in data:
        yield from _leaves(each, shape, depth + 1)
