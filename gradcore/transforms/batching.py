"""How a batch goes through the primitives of which the kind does not say it. It must not know any derivative.

A rule is `rule(frame, op, args, params)`: arguments are `Batched` where they differ over the batch, and what it returns
has the batch in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from gradcore.backends import of
from gradcore.recorder.primitive import Primitive, registry
from gradcore.recorder.views import Layout, layout_of
from gradcore.transforms.batches import (
    Rule,
    aligned,
    at_front,
    batched,
    in_front,
    inner,
    is_mapped,
    needs_loop,
)
from gradcore.transforms.batches import (
    rules as rules,
)
from gradcore.transforms.lifted import Frame, evaluate

Array = Any


class _Primitives:
    """Every primitive under its name, on arrays of any level."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        op = registry[name]

        def run(*args: Any, **params: Any) -> Any:
            return evaluate(op, *args, **params)

        setattr(self, name, run)
        return run


F = _Primitives()


def batching(*names: str) -> Callable[[Rule], Rule]:
    """Declare a rule for the primitives called `names`."""

    def declare(rule: Rule) -> Rule:
        rules.update(dict.fromkeys(names, rule))
        return rule

    return declare


def _folded(x: Array, axis: int = 0) -> Array:
    """The batch, in front of `x`, as part of the axis that has the number `axis` without it."""
    x = moved_axis(x, 0, axis) if axis else x
    return F.reshape(x, shape=(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _unfolded(frame: Frame, x: Array, axis: int = 0) -> Array:
    """The batch in front again, which was folded into `axis`."""
    split = (frame.size, x.shape[axis] // max(frame.size, 1))
    x = F.reshape(x, shape=(*x.shape[:axis], *split, *x.shape[axis + 1 :]))
    return moved_axis(x, axis, 0) if axis else x


def moved_axis(x: Array, source: int, target: int) -> Array:
    """`x` with axis `source` where `target` says."""
    order = [i for i in range(x.ndim) if i != source]
    order.insert(target, source)
    return F.transpose(x, axes=tuple(order))


# -- shapes -----------------------------------------------------------------------------------------------------------


@batching("expand")
def _expand(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, shape = args[0].data, params["shape"]
    ones = (1,) * (len(shape) + 1 - x.ndim)
    return evaluate(op, F.reshape(x, shape=(frame.size, *ones, *x.shape[1:])), shape=(frame.size, *shape))


@batching("transpose")
def _transpose(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    return evaluate(op, args[0].data, axes=(0, *(i + 1 for i in params["axes"])))


@batching("roll")
def _roll(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, shift, axis = args[0].data, params["shift"], params["axis"]
    if axis is not None:
        return evaluate(op, x, shift=shift, axis=tuple(i + 1 for i in axis))
    flat = F.reshape(x, shape=(frame.size, prod(x.shape[1:])))
    return F.reshape(evaluate(op, flat, shift=shift, axis=(1,)), shape=x.shape)


@batching("affine", "fill")
def _into_the_first(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    """Elementwise primitives that begin with an array like the first, so that this must be whole."""
    x, *rest = args
    whole = batched(frame, at_front(frame, x))
    return evaluate(op, *aligned(frame, (whole, *rest)), **params)


@batching("as_strided")
def _as_strided(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, (layout, target) = args[0], (params["layout"], params["target"])
    if layout != layout_of(x):
        return _relayout(frame, op, args, params)
    _check_within(frame, x, layout, target)
    # The same steps from the first element of each of the batch: a view, which may be written.
    whole, (shape, steps, offset) = layout_of(x.data), target
    across = ((frame.size, *shape), (whole[1][0], *steps), offset)
    return evaluate(op, x.data, layout=whole, target=across)


def _check_within(frame: Frame, x: Array, layout: Layout, target: Layout) -> None:
    """Raise RuntimeError if what `target` lays over the storage of `x` is not all in what each of the batch has there."""
    if 0 in target[0] or 0 in layout[0]:
        return
    (low, high), (first, last) = ((offset, _end((shape, steps, offset))) for shape, steps, offset in (layout, target))
    asked = f"result = tensor.as_strided({list(target[0])}, {list(target[1])}, {target[2]})"
    if first < low or last > high:
        raise RuntimeError(
            f"{asked} can access memory outside of `tensor`. `result` can access some memory in range [{first}, "
            f"{last + 1}], but `tensor` can only access some memory in range [{low}, {high + 1}]. This is not supported "
            "inside of vmap, please try to rewrite the `as_strided` call as a sequence of PyTorch view operations"
        )
    apart = abs(x.data.strides[0] // x.itemsize) > high - low or frame.size < 2
    if not apart and not _places(target) <= _places(layout):
        raise RuntimeError(
            f"{asked} would read elements of the others of the batch, which lie among those of `tensor` (of strides "
            f"{list(layout[1])}). Map over the first axis of a contiguous tensor, or use other views"
        )


def _end(layout: Layout) -> int:
    """The place of the last element in the storage."""
    shape, steps, offset = layout
    return offset + sum(max(n - 1, 0) * step for n, step in zip(shape, steps, strict=True))


def _places(layout: Layout) -> set[int]:
    """The places of the elements in their storage."""
    shape, steps, offset = layout
    found = {offset}
    for n, step in zip(shape, steps, strict=True):
        found = {place + i * step for place in found for i in range(n)}
    return found


@batching("relayout", "shared_out")
def _relayout(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    # One storage after another.
    room = 1 + max(map(_end, params.values()))
    params = {key: ((frame.size, *shape), (room, *steps), offset) for key, (shape, steps, offset) in params.items()}
    return evaluate(op, args[0].data, **params)


# -- products ---------------------------------------------------------------------------------------------------------


def _product(frame: Frame, x: Any, y: Any) -> Array:
    """The last axis of `x` with the first of `y`, a matrix or a vector."""
    lead, tail = tuple(x.shape[:-1]), tuple(y.shape[1:])
    if not is_mapped(frame, y):
        return F.project(inner(frame, x), inner(frame, y))
    if not is_mapped(frame, x):
        rows = F.reshape(inner(frame, x), shape=(prod(lead), x.shape[-1]))
        if not tail:
            return F.reshape(F.project(y.data, F.matrix_transpose(rows)), shape=(frame.size, *lead))
        made = F.matmul(F.expand(rows, shape=(frame.size, *rows.shape)), y.data)
        return F.reshape(made, shape=(frame.size, *lead, *tail))
    rows = F.reshape(x.data, shape=(frame.size, prod(lead), x.shape[-1]))
    columns = F.reshape(y.data, shape=(frame.size, y.shape[0], prod(tail)))
    made = rows * columns if x.shape[-1] == 1 else F.matmul(rows, columns)
    return F.reshape(made, shape=(frame.size, *lead, *tail))


@batching("dot", "project")
def _dot(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    return _product(frame, *args)


def _transposed(frame: Frame, x: Any) -> Any:
    return batched(frame, F.matrix_transpose(x.data)) if is_mapped(frame, x) else F.matrix_transpose(inner(frame, x))


@batching("unbiased")
def _unbiased(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, weight = args
    if not is_mapped(frame, weight):
        return evaluate(op, x.data, inner(frame, weight))
    return _product(frame, x, _transposed(frame, weight))


@batching("linear")
def _linear(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, weight, bias = args
    if not is_mapped(frame, weight) and not is_mapped(frame, bias):
        return evaluate(op, x.data, inner(frame, weight), inner(frame, bias))
    if not is_mapped(frame, x) and not is_mapped(frame, weight):
        made = F.unbiased(inner(frame, x), inner(frame, weight))
        made = F.expand(made, shape=(frame.size, *made.shape))
    else:
        made = _product(frame, x, _transposed(frame, weight))
    if not is_mapped(frame, bias):
        return made + inner(frame, bias)
    return made + F.reshape(bias.data, shape=(frame.size, *(1,) * (made.ndim - 2), bias.shape[0]))


# -- convolutions: the batch among the samples or, if kernels differ, among the groups of channels -----------------------


@batching("convolve")
def _convolve(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, w = args
    if not is_mapped(frame, w):
        return _unfolded(frame, evaluate(op, _folded(x.data), inner(frame, w), **params))
    return _by_groups(frame, op, (at_front(frame, x),), w.data, params)


@batching("convolve_transposed")
def _convolve_transposed(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    y, w = args
    if not is_mapped(frame, w):
        return _unfolded(frame, evaluate(op, _folded(y.data), inner(frame, w), **params))
    return _by_groups(frame, op, (at_front(frame, y),), w.data, params)


def _by_groups(frame: Frame, op: Primitive, xs: tuple[Array], w: Array, params: dict[str, Any]) -> Array:
    params = {**params, "groups": params["groups"] * frame.size}
    return _unfolded(frame, evaluate(op, _folded(xs[0], 1), _folded(w), **params), 1)


@batching("convolve_kernel")
def _convolve_kernel(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, y = (_folded(at_front(frame, a), 1) for a in args)
    return _unfolded(frame, evaluate(op, x, y, **{**params, "groups": params["groups"] * frame.size}))


# -- indices ----------------------------------------------------------------------------------------------------------


def _counted(frame: Frame, index: Array) -> Array:
    """For each element of `index`, which has the batch in front, the number of its slice."""
    return F.reshape(arange_like(index, frame.size), shape=(frame.size, *(1,) * (index.ndim - 1)))


def arange_like(like: Array, n: int) -> Array:
    """The numbers below `n`, where `like` is."""
    backend = of(like)
    with backend.on_device(backend.device_of(like)[1]):
        return backend.arange(n)


@batching("embedding")
def _embedding(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    weight, index = args
    if not is_mapped(frame, weight):
        return evaluate(op, inner(frame, weight), index.data, **params)
    index = at_front(frame, index)
    rows = weight.shape[0]
    return evaluate(op, _folded(weight.data), index + _counted(frame, index) * rows)


@batching("add_rows")
def _add_rows(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, index = (at_front(frame, a) for a in args)
    index = index + _counted(frame, index) * params["rows"]
    return _unfolded(frame, evaluate(op, x, index, rows=params["rows"] * frame.size))


@batching("score")
def _score(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, target = (at_front(frame, a) for a in args)
    weights, total = params["weights"], params["total"]
    single = target.ndim == 1
    if not single:
        x, target = _folded(x), _folded(target)
    weights, counted = (_score_weights(frame, each, single) for each in (weights, params["counted"]))
    made = evaluate(op, x, target, weights=weights, total=False, counted=counted)
    made = made if single else _unfolded(frame, made)
    return F.sum(made, axis=tuple(range(1, made.ndim))) if total else made


def _score_weights(frame: Frame, weights: Any, single: bool) -> Any:
    if not hasattr(weights, "dtype"):
        return weights
    weights = at_front(frame, weights)
    return weights if single or weights.ndim == 1 else _folded(weights)


@batching("spread_score")
def _spread_score(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, target = (at_front(frame, a) for a in args)
    shape, single = params["shape"], target.ndim == 1
    if x.ndim < target.ndim:
        x = F.expand(F.reshape(x, shape=(*x.shape, *(1,) * (target.ndim - x.ndim))), shape=target.shape)
    weights, counted = (_score_weights(frame, params[each], single) for each in ("weights", "counted"))
    if single:
        return evaluate(op, x, target, weights=weights, shape=(frame.size, *shape), total=False, counted=counted)
    folded, shape = (_folded(x), _folded(target)), (frame.size * shape[0], *shape[1:])
    made = evaluate(op, *folded, weights=weights, shape=shape, total=False, counted=counted)
    return _unfolded(frame, made)


@batching("cross_entropy")
def _cross_entropy(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> tuple[Array, Array]:
    x, target = (_folded(at_front(frame, a)) for a in args)
    logs = F.log_softmax(x, axis=(1,))
    chosen = F.score(logs, target, weights=-params["share"], total=False)
    return F.sum(_unfolded(frame, chosen), axis=(1,)), _unfolded(frame, F.exp(logs))


@batching("less_at")
def _less_at(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    return _unfolded(frame, evaluate(op, *(_folded(at_front(frame, a)) for a in args)))


@batching("pick", "place")
def _pick(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    if not params.get("shape", args[0].shape):  # a number stays what it is
        return at_front(frame, args[0])
    return in_front(frame, op, args, params)


# Primitives of arrays that have an axis, of the result first, which counts samples: the batch is more of them.
SAMPLES = {
    "gather_products": (0, 0, 0, 0), "gather_weighted": (0, 0, 0, 0), "scatter_weighted": (0, 0, 0, 0),
    "flow": (1, 1, 2), "tally": (0, 0, 0), "trellis": (1, 1, 2),
}  # fmt: skip


@batching(*SAMPLES)
def _of_samples(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    out, *axes = SAMPLES[op.name]
    data = [None if a is None else _folded(at_front(frame, a), i) for a, i in zip(args, axes, strict=False)]
    return _unfolded(frame, evaluate(op, *data, **params), out)


@batching("frequencies")
def _frequencies(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    index, like = args
    index = at_front(frame, index)
    rows = params["rows"]
    return evaluate(op, index + _counted(frame, index) * rows, inner(frame, like), rows=rows * frame.size)


@batching("argmax_at")
def _argmax_at(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, places = args
    rows = x.shape[0]
    if is_mapped(frame, places) or places.shape[1] > 1:
        places = at_front(frame, places)
        if places.shape[2] == 1:
            places = F.expand(places, shape=(*places.shape[:2], rows, places.shape[3]))
        places = _folded(places, 1)
    return _unfolded(frame, evaluate(op, _folded(at_front(frame, x)), inner(frame, places)))


@batching("searchsorted")
def _searchsorted(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, values = args
    if x.ndim > 1:
        return evaluate(op, at_front(frame, x), at_front(frame, values), **params)
    if not is_mapped(frame, x):
        return evaluate(op, inner(frame, x), values.data, **params)
    rows = F.reshape(at_front(frame, values), shape=(frame.size, values.size))
    return F.reshape(evaluate(op, x.data, rows, **params), shape=(frame.size, *values.shape))


# -- others -----------------------------------------------------------------------------------------------------------


@batching("squared_errors")
def _over_axes(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    """Reductions of arrays of one shape, of all of it if the axis is None."""
    arrays = [at_front(frame, x) for x in args]
    axes = range(arrays[0].ndim - 1) if params["axis"] is None else params["axis"]
    return evaluate(op, *arrays, **{**params, "axis": tuple(i + 1 for i in axes)})


@batching("argmax", "argmin")
def _argmax(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    if params["axis"] is not None:
        return in_front(frame, op, args, params)
    x, keepdims = args[0], params.get("keepdims", False)
    found = evaluate(op, F.reshape(x.data, shape=(frame.size, x.size)), axis=1)
    return F.reshape(found, shape=(frame.size, *(1,) * x.ndim)) if keepdims else found


@batching("check_phases")
def _check_phases(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    return evaluate(op, args[0].data, **params)


@batching("unique", "unique_runs", "distinct")
def _unique(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    raise needs_loop(frame, f"{op.name}, whose shape depends on values")
