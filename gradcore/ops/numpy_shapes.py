"""NumPy's functions that reshape, join, split, select and make arrays, composed of operations in NumPy's spelling. It
must not know how NumPy calls, nor any derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import index, or_
from typing import Any, NamedTuple

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.exports import tolist
from gradcore.ops.numpy_functions import answers, op
from gradcore.recorder.value import Value


def host(x: Any) -> Any:
    """What is no differentiable input (lengths, places, an axis) as Python's numbers."""
    return tolist(x) if isinstance(x, Value) else x  # type: ignore[arg-type]


# -- shape ------------------------------------------------------------------------------------------------------------


def _in_order(a: Any, shape: Any, order: str) -> Any:
    if order == "F":
        return a.permute(tuple(range(a.ndim))[::-1]).reshape(shape[::-1]).permute(tuple(range(len(shape)))[::-1])
    return a.reshape(shape)


@answers()
def reshape(a: Any, shape: Any, order: str = "C") -> Any:
    return _in_order(a, arguments.shape((host(shape),)) if not isinstance(shape, int) else (shape,), order)


@answers()
def ravel(a: Any, order: str = "C") -> Any:
    return _in_order(a, (-1,), order)


@answers()
def transpose(a: Any, axes: Any = None) -> Any:
    return a.permute(tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))


@answers()
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return a.swapaxes(axis1, axis2)


@answers()
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = arguments.axis(axis, a.ndim), start + a.ndim if start < 0 else start
    return a.movedim(axis, start - 1 if axis < start else start)


@answers()
def squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        return a.squeeze()
    axes = arguments.axes(axis, a.ndim) if axis != () else ()
    if any(a.shape[each] != 1 for each in axes):
        raise ValueError(
            f"cannot select an axis to squeeze out which has size not equal to one (np.squeeze of shape {list(a.shape)}, "
            f"axis {axis})"
        )
    return a.squeeze(axes)


@answers()
def expand_dims(a: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    for each in sorted(arguments.distinct(axes, a.ndim + len(axes))):
        a = a.unsqueeze(each)
    return a


@answers()
def broadcast_arrays(*args: Any) -> Any:
    return op.broadcast_tensors(*map(_tensor, args))


@answers()
def copy(a: Any) -> Any:
    return a.clone()


@answers()
def astype(x: Any, dtype: Any) -> Any:
    return arguments.converted(x, dtype, "astype")


@answers()
def resize(a: Any, new_shape: Any) -> Any:
    shape = arguments.shape((new_shape,)) if not isinstance(new_shape, int) else (new_shape,)
    wanted = 1
    for n in shape:
        wanted *= n
    flat = a.reshape(-1)
    return flat.tile(-(-wanted // max(flat.shape[0], 1)))[:wanted].reshape(shape)


# -- joining and splitting --------------------------------------------------------------------------------------------


def _tensor(x: Any) -> Any:
    return op.as_tensor(x)


@answers()
def stack(arrays: Any, axis: int = 0, dtype: Any = None) -> Any:
    return arguments.converted(op.stack(_alike(arrays), axis), dtype, "stack")


def _alike(arrays: Any) -> Any:
    """The arrays in their common dtype."""
    dtype = reduce(dtypes.promote_types, (x.dtype for x in arrays))
    return [x.to(dtype) for x in arrays]


@answers()
def concatenate(arrays: Any, axis: Any = 0, dtype: Any = None) -> Any:
    joined = op.cat([x.reshape(-1) for x in arrays], 0) if axis is None else op.cat(arrays, axis)
    return arguments.converted(joined, dtype, "concatenate")


@answers()
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    return concatenate([arr, values], axis)


@answers()
def block(*nests: Any) -> Any:
    arrays = nests[0]

    def joined(x: Any, depth: int, deepest: int) -> Any:
        if not isinstance(x, list):
            x = _tensor(x)
            return x.reshape((*(1,) * (deepest - x.ndim), *x.shape))
        return op.cat([joined(each, depth + 1, deepest) for each in x], depth - nested)

    def depth_of(x: Any) -> int:
        return 1 + depth_of(x[0]) if isinstance(x, list) else 0

    def widest(x: Any) -> int:
        return max(map(widest, x)) if isinstance(x, list) else _tensor(x).ndim

    nested = depth_of(arrays)
    return joined(arrays, 0, max(nested, widest(arrays)))


@answers()
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    places = host(indices_or_sections)
    return list(op.tensor_split(ary, index(places) if not isinstance(places, (list, tuple)) else tuple(places), axis))


@answers()
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    n = host(indices_or_sections)
    if not isinstance(n, (list, tuple)) and ary.shape[axis] % n:
        raise ValueError(f"array split does not result in an equal division (np.split of shape {list(ary.shape)} in {n})")
    return array_split(ary, n, axis)


@answers()
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@answers()
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0)


@answers()
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 2)


@answers()
def unstack(x: Any, axis: int = 0) -> Any:
    return x.unbind(axis)


@answers()
def pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    widths = _widths(host(pad_width), array.ndim)
    for axis, (before, after) in enumerate(widths):
        n = array.shape[axis]
        if mode == "constant":
            edges = _widths(constant_values, array.ndim)[axis]
            shape = list(array.shape)
            parts = []
            for length, value in zip((before, after), edges, strict=True):
                shape[axis] = length
                parts.append(op.full(shape, value, dtype=array.dtype, device=array.device))
            array = op.cat([parts[0], array, parts[1]], axis)
        elif mode in _SOURCES:
            places = [_SOURCES[mode](i, n) for i in range(-before, n + after)]
            array = array.index_select(axis, op.tensor(places, device=array.device))
        else:
            raise TypeError(f"np.pad(): mode '{mode}' is not supported on tensors (one of constant, {', '.join(_SOURCES)})")
    return array


# Which element stands at place i of a padded axis of length n.
_SOURCES: dict[str, Callable[[int, int], int]] = {
    "edge": lambda i, n: min(max(i, 0), n - 1),
    "wrap": lambda i, n: i % n,
    "reflect": lambda i, n: n - 1 - abs(n - 1 - i % (2 * n - 2)) if n > 1 else 0,
    "symmetric": lambda i, n: min(i % (2 * n), 2 * n - 1 - i % (2 * n)),
}


def _widths(given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """(before, after) for each axis, of what np.pad takes: a number, a pair, or a pair for each axis."""
    if not isinstance(given, (list, tuple)):
        return [(given, given)] * ndim
    pairs = [each if isinstance(each, (list, tuple)) else None for each in given]
    if None in pairs:
        pairs = [tuple(given)]
    whole = [(pair[0], pair[-1]) for pair in pairs if pair is not None]
    return whole * ndim if len(whole) == 1 else whole


# -- selecting --------------------------------------------------------------------------------------------------------


@answers()
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    condition = condition if str(condition.dtype) == "torch.bool" else condition != 0
    return condition.nonzero(as_tuple=True) if x is None else op.where(condition, x, y)


@answers()
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = op.where(condition, choice, result)
    return result


@answers()
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    conditions = condlist if isinstance(condlist, (list, tuple)) else [condlist]
    conditions = [_tensor(each).to(dtypes.bool).expand(x.shape) for each in conditions]
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        conditions.append(~reduce(or_, conditions))
    elif len(functions) != len(conditions):
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or {len(conditions) + 1} functions are expected"
        )
    result = op.zeros_like(x)
    for condition, f in zip(conditions, functions, strict=True):
        # A function sees only the elements that it is for: elsewhere it need not be defined.
        value = op.as_tensor(f(x[condition], *args, **kw) if callable(f) else f, dtype=x.dtype, device=x.device)
        result = result.index_put((condition,), value)
    return result


@answers()
def clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    bounds = [a_min if min is None else min, a_max if max is None else max]
    if any(isinstance(each, Value) for each in bounds):
        bounds = [each if each is None else op.as_tensor(each, dtype=None if isinstance(each, Value) else a.dtype)
                  for each in bounds]
    return a if bounds == [None, None] else a.clamp(*bounds)


@answers()
def nonzero(a: Any) -> Any:
    return a.nonzero(as_tuple=True)


@answers()
def flatnonzero(a: Any) -> Any:
    return a.reshape(-1).nonzero().reshape(-1)


@answers()
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return op.searchsorted(a, v, side=side, sorter=sorter)


@answers()
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    return op.searchsorted(bins, x, side="left" if right else "right")


@answers()
def unique(ar: Any, return_inverse: bool = False, return_counts: bool = False, axis: Any = None) -> Any:
    return op.unique(ar, return_inverse=return_inverse, return_counts=return_counts, dim=axis)


class Unique(NamedTuple):
    """What np.unique_all returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


@answers()
def unique_all(x: Any) -> Unique:
    _, inverse, counts = op.unique(x.detach(), return_inverse=True, return_counts=True)
    order = op.argsort(inverse.reshape(-1), stable=True)
    indices = order[counts.cumsum(0) - counts]  # where each value is first
    return Unique(x.reshape(-1)[indices], indices, inverse, counts)


@answers()
def unique_counts(x: Any) -> tuple[Any, Any]:
    found = unique_all(x)
    return found.values, found.counts


@answers()
def unique_inverse(x: Any) -> tuple[Any, Any]:
    found = unique_all(x)
    return found.values, found.inverse_indices


@answers()
def unique_values(x: Any) -> Any:
    return unique_all(x).values


def _cumulative(name: str, start: float) -> Callable[..., Any]:
    def cumulative(x: Any, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
        if axis is None and x.ndim != 1:
            raise ValueError(f"np.cumulative_{name}() of an array of {x.ndim} dimensions needs axis=")
        axis = arguments.axis(0 if axis is None else axis, x.ndim)
        made = getattr(op, f"cum{name}")(x, axis, dtype=dtype)
        if not include_initial:
            return made
        shape = [1 if i == axis else n for i, n in enumerate(made.shape)]
        return op.cat([op.full(shape, start, dtype=made.dtype, device=made.device), made], axis)

    return cumulative


answers("cumulative_sum")(_cumulative("sum", 0))
answers("cumulative_prod")(_cumulative("prod", 1))


@answers("imag")
def imag(val: Any) -> Any:
    return op.imag(val) if val.is_complex() else op.zeros_like(val)


@answers("array_equal", "array_equiv")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    return bool((same | ((a1 != a1) & (a2 != a2)) if equal_nan else same).all())


# -- making -----------------------------------------------------------------------------------------------------------


def _like(make: str) -> Callable[..., Any]:
    def like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
        shape = a.shape if shape is None else arguments.shape((shape,)) if not isinstance(shape, int) else (shape,)
        return getattr(op, make)(shape, dtype=dtype or a.dtype, device=a.device)

    return like


for _make in ("zeros", "ones"):
    answers(f"{_make}_like")(_like(_make))


@answers()
def empty_like(prototype: Any, dtype: Any = None, shape: Any = None) -> Any:
    return _like("empty")(prototype, dtype, shape)


@answers()
def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    return _like("zeros")(a, dtype, shape) + op.as_tensor(fill_value, dtype=dtype or a.dtype, device=a.device)


@answers()
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    places = op.arange(num, dtype=step.dtype, device=step.device).reshape((num, *(1,) * step.ndim))
    line = (start + places * step).movedim(0, axis) if step.ndim else start + places * step
    return arguments.converted(line, dtype, "linspace")


@answers()
def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy", copy: bool = True) -> Any:
    given = [_tensor(x).reshape(-1) for x in xi]
    if not sparse:
        return op.meshgrid(*given, indexing=indexing)
    swap = {0: 1, 1: 0} if indexing == "xy" and len(given) > 1 else {}
    return tuple(
        x.reshape([-1 if swap.get(i, i) == j else 1 for j in range(len(given))]) for i, x in enumerate(given)
    )


# -- what is asked of an array, not computed --------------------------------------------------------------------------


@answers()
def shape(a: Any) -> Any:
    return tuple(a.shape)


@answers()
def ndim(a: Any) -> Any:
    return a.ndim


@answers()
def size(a: Any, axis: Any = None) -> Any:
    return a.numel() if axis is None else a.shape[axis]


@answers()
def iscomplexobj(x: Any) -> bool:
    return bool(x.is_complex())


@answers()
def isrealobj(x: Any) -> bool:
    return not x.is_complex()
