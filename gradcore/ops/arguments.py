"""Arguments as torch takes them, in the form primitives take: dims to axes, sizes to shapes. It must not know any op."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from gradcore import dtypes
from gradcore.primitives.conversion import astype
from gradcore.recorder.value import Value

Axes = tuple[int, ...]
Shape = tuple[int, ...]


def axis(dim: Any, ndim: int) -> int:
    """The dimension `dim` counted from the front; a 0-d tensor counts as having one. Raises IndexError out of range.

    Raises TypeError for what is no int, and for True and False: they were meant for another parameter.
    """
    n = ndim or 1
    try:
        if type(dim) is bool:
            raise TypeError
        i = index(dim)
    except TypeError:
        raise TypeError(f"dim must be an int, but got {type(dim).__name__}") from None
    if not -n <= i < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {i})")
    return i % n


def axes(dim: Any, ndim: int) -> Axes:
    """The dimensions to reduce over: all of them for None and (). Raises IndexError, RuntimeError if one is named twice."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, Iterable) or isinstance(dim, Value):
        return (axis(dim, ndim),) if ndim else _checked_nothing(dim)
    found = distinct(dim, ndim)
    return (found if ndim else ()) if found else tuple(range(ndim))


def _checked_nothing(dim: Any) -> Axes:
    axis(dim, 0)
    return ()


def distinct(dims: Iterable[Any], ndim: int) -> Axes:
    """Several dimensions, counted from the front. Raises RuntimeError if one is named twice."""
    found = tuple(axis(dim, ndim) for dim in dims)
    for i, each in enumerate(found):
        if each in found[:i]:
            raise RuntimeError(f"dim {each} appears multiple times in the list of dims")
    return found


def shape(size: Sequence[Any], named: Any = None) -> Shape:
    """A shape from `*size` (integers one by one, or one sequence of them) or from the keyword argument `named`."""
    if named is not None:
        size = (named,)
    is_one = len(size) == 1 and type(size[0]) is not int and isinstance(size[0], Iterable)
    if is_one and not (isinstance(size[0], Value) and size[0]._array.ndim == 0):
        size = tuple(size[0])
    return tuple(map(index, size))


def not_a_tensor(op: str, argument: str, position: int, got: Any) -> TypeError:
    """The error for an argument that should have been a Tensor."""
    return TypeError(f"{op}(): argument '{argument}' (position {position}) must be Tensor, not {type(got).__name__}")


def need_tensor(x: Any, op: str, name: str = "input") -> None:
    """Raise TypeError if `x` is not a Tensor."""
    if not isinstance(x, Value):
        raise TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(x).__name__}")


def tensors(given: Sequence[Any], op: str) -> tuple[Any, ...]:
    """The tensors of `*given`, one by one or in one sequence. Raises TypeError for what is none."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    for i, x in enumerate(given):
        if not isinstance(x, Value):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__} ({op})")
    return tuple(given)


def python_number(value: Any, name: str, argument: str) -> Any:
    """Return a number, NumPy scalar or 0-d Tensor as a Python number. Raises TypeError for anything else."""
    if isinstance(value, Value):
        if value._array.ndim == 0 and value._node is None:
            return value._array.item()
    elif hasattr(value, "item") and not getattr(value, "ndim", 1):  # NumPy's float64 is a float, too
        return value.item()
    elif isinstance(value, (int, float, complex)):
        return value
    raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


def whole(op: str, argument: str, value: Any) -> int:
    """Return a number that counts as an int. Raises TypeError for what is none."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{op}(): argument '{argument}' must be int, not {type(value).__name__}")
    return index(value)


def converted(x: Any, dtype: Any, op: str) -> Any:
    """`x` in `dtype`, recorded; `x` itself for None and for the dtype it has. Raises TypeError for what is no dtype."""
    if dtype is None:
        return x
    wanted = dtypes.as_dtype(dtype, op=op).numpy
    return x if x._array.dtype == wanted else astype(x, dtype=wanted)
