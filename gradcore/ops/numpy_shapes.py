"""NumPy's functions that reshape, join, split and make arrays, composed of operations in NumPy's spelling. It must not
know how NumPy calls, nor any derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from operator import index
from typing import Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.exports import tolist
from gradcore.ops.numpy_functions import answers, op
from gradcore.recorder.value import Value


def host(x: Any) -> Any:
    """What is no differentiable input (lengths, places, an axis) as Python's numbers."""
    return tolist(x) if isinstance(x, Value) else x  # type: ignore[arg-type]


def lengths(shape: Any) -> tuple[int, ...]:
    """A shape, of which NumPy takes the only length as a number."""
    return (index(shape),) if hasattr(shape, "__index__") else arguments.shape((shape,))


# -- shape ------------------------------------------------------------------------------------------------------------


def _in_order(a: Any, shape: Any, order: str) -> Any:
    if order == "F":
        return a.permute(tuple(range(a.ndim))[::-1]).reshape(shape[::-1]).permute(tuple(range(len(shape)))[::-1])
    return a.reshape(shape)


@answers()
def reshape(a: Any, shape: Any, order: str = "C") -> Any:
    return _in_order(a, lengths(host(shape)), order)


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
    return op.broadcast_tensors(*map(op.as_tensor, args))


@answers()
def copy(a: Any) -> Any:
    return a.clone()


@answers("lib.stride_tricks.sliding_window_view")
def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, writeable: bool = False) -> Any:
    window = lengths(window_shape)
    axes = tuple(range(x.ndim)) if axis is None else arguments.axes(axis, x.ndim)
    if len(axes) != len(window):
        raise ValueError(f"window_shape {window} must have one length for each of the axes {axes}")
    for each, n in zip(axes, window, strict=True):
        x = x.unfold(each, n, 1)
    return x


@answers()
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    for each in lengths(host(axes)):
        made = func(a, each)
        a = made if made.ndim == a.ndim else made.unsqueeze(each)
    return a


@answers()
def astype(x: Any, dtype: Any) -> Any:
    return arguments.converted(x, dtype, "astype")


@answers()
def resize(a: Any, new_shape: Any) -> Any:
    shape = lengths(new_shape)
    wanted = prod(shape)
    flat = a.reshape(-1)
    return flat.tile(-(-wanted // max(flat.shape[0], 1)))[:wanted].reshape(shape)


# -- joining and splitting --------------------------------------------------------------------------------------------


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
            x = op.as_tensor(x)
            return x.reshape((*(1,) * (deepest - x.ndim), *x.shape))
        return op.cat([joined(each, depth + 1, deepest) for each in x], depth - nested)

    def depth_of(x: Any) -> int:
        return 1 + depth_of(x[0]) if isinstance(x, list) else 0

    def widest(x: Any) -> int:
        return max(map(widest, x)) if isinstance(x, list) else op.as_tensor(x).ndim

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


# -- making -----------------------------------------------------------------------------------------------------------


def _like(make: str) -> Callable[..., Any]:
    def like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
        shape = a.shape if shape is None else lengths(shape)
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


def _ends(*ends: Any) -> Any:
    """Both ends as Tensors, numbers and sequences in the dtype of the one that is one."""
    like: Any = next((x for x in ends if isinstance(x, Value)), None)
    wanted = {"dtype": like.dtype if like.is_floating_point() else None, "device": like.device} if like is not None else {}
    return (x if isinstance(x, Value) else op.as_tensor(x, **wanted) for x in ends)


@answers()
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    start, stop = _ends(start, stop)
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    places = op.arange(num, dtype=step.dtype, device=step.device).reshape((num, *(1,) * step.ndim))
    line = start + places * step
    if endpoint and num > 1:
        line = op.cat([line[:-1], stop.expand(step.shape)[None].to(line.dtype)])  # exactly, whatever was rounded
    return arguments.converted(line.movedim(0, axis) if step.ndim else line, dtype, "linspace")


@answers()
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
             axis: int = 0) -> Any:  # fmt: skip
    return arguments.converted(base ** linspace(start, stop, num, endpoint, None, axis), dtype, "logspace")


@answers()
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    start, stop = _ends(start, stop)
    line = linspace(start.log(), stop.log(), num, endpoint, None, axis).exp()
    return arguments.converted(line, dtype, "geomspace")


@answers()
def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy", copy: bool = True) -> Any:
    given = [op.as_tensor(x).reshape(-1) for x in xi]
    swap = {0: 1, 1: 0} if indexing == "xy" and len(given) > 1 else {}
    thin = [x.reshape([-1 if swap.get(i, i) == j else 1 for j in range(len(given))]) for i, x in enumerate(given)]
    return tuple(thin if sparse else op.broadcast_tensors(*thin))


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
