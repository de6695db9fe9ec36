"""Ways into and out of a transform: linear primitives with transposes, so that reverse mode passes through.

It must not know how primitives are run inside.

Recorded by functions of their own: a result is not of the backend that its input is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from gradcore.backends import of
from gradcore.graph import Leaf, modes
from gradcore.recorder import steps, views
from gradcore.recorder.inplace import receiver
from gradcore.recorder.primitive import Primitive, primitive, registry
from gradcore.recorder.record import attach, lifter
from gradcore.recorder.steps import kernels_of
from gradcore.recorder.value import Value, wrap
from gradcore.transforms import batched_indexing, batching, lifted
from gradcore.transforms.batches import Batched, at_front, batched, needs_loop
from gradcore.transforms.lifted import Frame, Lifted, evaluate, top_of, zeros_like
from gradcore.transforms.tangents import Dual, dual, frames_of, innermost, opened

Array = Any


def _crossing(into: bool = False, **rules: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(forward: Callable[..., Any]) -> Callable[..., Any]:
        op: Primitive = primitive("linear", holomorphic=False, **rules)(forward).primitive  # type: ignore[attr-defined]
        lifted.crossings.add(op.name)

        def crossing(*inputs: Any, **params: Any) -> Any:
            for x in inputs:
                if isinstance(x, Value):
                    views.follow(x)
            if into:
                inputs = tuple(_just_below(x, params["frame"]) for x in inputs)
            elif not holds(inputs[0], params["frame"]):
                inputs = (lift(inputs[0], params["frame"]),)
            out = wrap(evaluate(op, *(x._array if isinstance(x, Value) else x for x in inputs), **params))
            if modes.is_grad_enabled():
                kernel = kernels_of(op)[next(type(x._array) for x in inputs if isinstance(x, Value))]
                attach(op, kernel, inputs, params, (out,))
            return out

        crossing.__name__, crossing.__doc__ = op.name, op.doc
        crossing.primitive = op  # type: ignore[attr-defined]
        op.function = crossing
        return crossing

    return declare


def holds(x: Value, frame: Frame) -> bool:
    """Whether `x` is of `frame`, or of a frame inside it that holds values of it."""
    views.follow(x)
    array = x._array
    while isinstance(array, Lifted) and array.frame.level > frame.level:
        array = array.primal if isinstance(array, Dual) else array.data
    return isinstance(array, Lifted) and array.frame is frame


# -- batches ----------------------------------------------------------------------------------------------------------


@_crossing(into=True, x=lambda F, g, axis, frame: F.unbatch(g, axis=axis, frame=frame))
def batch(F: Any, x: Array, *, axis: int, frame: Frame) -> Array:
    """The slices of `x` along `axis`, as one of them."""
    order = (axis, *(i for i in range(x.ndim) if i != axis))
    return batched(frame, evaluate(registry["transpose"], x, axes=order) if axis else x)


@_crossing(x=lambda F, g, axis, frame: F.batch(g, axis=axis, frame=frame))
def unbatch(F: Any, x: Array, *, axis: int, frame: Frame) -> Array:
    """The slices that `x` stands for, as an array that has them along `axis`."""
    whole = at_front(frame, x)
    order = [*range(1, whole.ndim)]
    order.insert(axis, 0)
    return evaluate(registry["transpose"], whole, axes=tuple(order)) if axis else whole


@_crossing(into=True, x=lambda F, g, frame: F.collect(g, frame=frame))
def replicate(F: Any, x: Array, *, frame: Frame) -> Array:
    """`x` for each of the batch."""
    return batched(frame, x, mapped=False)


@_crossing(x=lambda F, g, frame: F.replicate(g, frame=frame))
def collect(F: Any, x: Array, *, frame: Frame) -> Array:
    """The sum over the batch: the transpose of `replicate`."""
    if isinstance(x, Batched) and x.frame is frame:
        return evaluate(registry["sum"], x.data, axis=(0,)) if x.mapped else x.data * frame.size
    return x * frame.size


# -- dual numbers -----------------------------------------------------------------------------------------------------


def _is_adjoint(g: Any, frame: Frame) -> bool:
    array = getattr(g, "_array", g)
    while isinstance(array, Lifted) and array.frame.level > frame.level:
        array = array.plain
    return isinstance(array, Dual) and array.frame is frame and array.adjoint


def _primal_pull(F: Any, g: Any, frame: Frame) -> Any:
    if _is_adjoint(g, frame):
        return F.tangent_part(g, frame=frame)
    # A cotangent that is no adjoint is of a dual number that never came back: inside the frame one as well, later without
    # its tangent. Or it is a zero that a rule made of something else than a cotangent.
    return g if frame.alive else F.primal_part(g, frame=frame)


def _tangent_pull(F: Any, g: Any, frame: Frame) -> Any:
    return F.primal_part(g, frame=frame) if _is_adjoint(g, frame) else F.zero(F.primal_part(g, frame=frame))


@_crossing(into=True, primal=_primal_pull, tangent=_tangent_pull)
def pair(F: Any, primal: Array, tangent: Array | None, *, frame: Frame, adjoint: bool = False) -> Array:
    """The dual number of these parts; a tangent of None is zero."""
    return dual(frame, primal, tangent, adjoint)


@_crossing(x=lambda F, g, frame: F.pair(F.zero(g), g, frame=frame, adjoint=True))
def primal_part(F: Any, x: Array, *, frame: Frame) -> Array:
    """The primal of a dual number."""
    return x.primal if isinstance(x, Dual) and x.frame is frame else x


@_crossing(x=lambda F, g, frame: F.pair(g, None, frame=frame, adjoint=True))
def tangent_part(F: Any, x: Array, *, frame: Frame) -> Array:
    """The tangent of a dual number, zeros of anything else."""
    if not (isinstance(x, Dual) and x.frame is frame):
        return zeros_like(x)
    return zeros_like(x.primal) if x.tangent is None else x.tangent


# -- constants among lifted values ------------------------------------------------------------------------------------


def _level(array: Array) -> int:
    return array.frame.level if isinstance(array, Lifted) else 0


def lift(x: Value, top: Frame) -> Value:
    """`x` as a constant of the frame `top` and of those between: what is recorded there is pulled back to `x` as it is."""
    views.follow(x)
    array = x._array
    level = _level(array)
    if level >= top.level:
        return x
    if (x._node if x._meta is None else views.current(x)) is None:
        return wrap(batched(top, array, False) if top.size is not None else dual(top, array, None))  # type: ignore[no-any-return]
    between = [frame for frame in lifted.active() if level < frame.level < top.level]
    for frame in (*between, top):
        x = replicate(x, frame=frame) if frame.size is not None else pair(x, None, frame=frame)
    return x


def _just_below(x: Any, frame: Frame) -> Any:
    """`x` in the frame around `frame`, if it has a history: this enters one frame at a time."""
    around = [each for each in lifted.active() if each.level < frame.level]
    if not around or not isinstance(x, Value) or (x._node if x._meta is None else views.current(x)) is None:
        return x
    return lift(x, around[-1])


def _on_one_level(inputs: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
    arrays = []
    for x in inputs:
        if isinstance(x, Value):
            if x._meta is not None:
                views.follow(x)
            arrays.append(x._array)
    top = top_of((*arrays, *params.values()))
    if top is None:
        return inputs
    return [lift(x, top.frame) if isinstance(x, Value) else x for x in inputs]


def _mapped(array: Array, frame: Frame, known: Set[Frame]) -> bool:
    """Whether `array` has other values for each of the batch of `frame`, tangents aside that go into those of `known`."""
    if isinstance(array, Dual):
        moves = array.frame not in known and _mapped(array.tangent, frame, known)
        return moves or _mapped(array.primal, frame, known)
    return isinstance(array, Batched) and (array.mapped if array.frame is frame else _mapped(array.data, frame, known))


def _receive(t: Value, value: Value) -> None:
    """Make `t`, and what it is a view of, hold dual numbers if `value` is one."""
    views.follow(t)
    views.follow(value)
    if not isinstance(value._array, Lifted):
        return
    known = frames_of(t._array)
    missing = sorted(frames_of(value._array) - known, key=lambda frame: frame.level)
    for frame in missing:
        if _mapped(value._array, frame, known):
            raise needs_loop(frame, "writing into a tensor that is one for all of the batch", t._array)
    if not missing:
        return
    view = None if t._meta is None else t._meta.view
    base = t if view is None else view.base
    made = wrap(base._array, base._node)
    with modes.enable_grad():
        for frame in missing:
            if isinstance(base._node, Leaf) or frame.level < _level(made._array):
                made._array = opened(made._array, frame)
            else:
                made = lift(made, frame)
    base._array, base._node = made._array, made._node
    views.family_changed(base)
    views.follow(t)


def _follow(t: Value, view: views.View) -> None:
    """Make `t`, whose base has come to hold an array of a transform, hold the part of it that `t` is a view of."""
    whole = view.base._array
    F = of(whole)
    if frames_of(whole) <= frames_of(t._array) or F.storage(whole) is not F.storage(t._array):
        return
    chain = view.chain if innermost(whole) is innermost(view.original) else views.chain_of(view)
    t._array = chain(steps.Raw(F), whole)
    view.chain, view.original = chain, whole


RULES = (batching, batched_indexing)  # importing them fills the table
lifter.append(_on_one_level)
receiver.append(_receive)
views.follower.append(_follow)
registry.load()
