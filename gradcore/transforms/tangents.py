"""Forward mode: dual numbers, whose tangents follow from the rules of reverse mode by the kind of primitive.

What is linear is applied to the tangent; what is multilinear to each tangent in turn. The rule of an elementwise primitive
multiplies by the local derivative, so it takes a tangent as well as a cotangent. Any other rule is linear in its cotangent:
recorded at some cotangent and pulled back, it is transposed, and the transpose of the transpose is the derivative. It must
not know any operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gradcore.backends import by_type, of
from gradcore.graph import Leaf, modes, stamps, versions
from gradcore.graph.sweep import sweep
from gradcore.recorder import exact
from gradcore.recorder.primitive import Primitive, names, registry
from gradcore.recorder.record import saver
from gradcore.recorder.steps import kernels_of, raw
from gradcore.recorder.value import Value, wrap
from gradcore.recorder.views import Layout, layout_of
from gradcore.transforms import lifted
from gradcore.transforms.batches import Batched, at_front, batched, is_mapped
from gradcore.transforms.lifted import Frame, Lifted, evaluate, top_of, writable, zeros_like

Array = Any


class Dual(Lifted):
    """A primal and a tangent of its shape and dtype; None is a tangent of zero.

    A cotangent of a dual number that came back out of its frame is a dual number again, its parts exchanged: the cotangent
    of the tangent is what reverse mode would have been given without forward mode. `adjoint` marks these.
    """

    __slots__ = ("_later", "_of", "_tangent", "adjoint", "given", "owns", "primal", "source")

    primal: Array
    adjoint: bool
    owns: bool  # whether nobody else has the memory of the tangent
    _tangent: Array | None
    source: tuple[Dual, Primitive, dict[str, Any], int | None] | None  # of a view: of what, and how
    _later: Callable[[], Array | None] | None  # computes the tangent when it is asked for
    _of: Array | None  # the tangent of the base of which that of the view is a part
    given: Value | None  # the Tensor that a user gave as the tangent

    @property
    def plain(self) -> Array:
        return self.primal

    @property
    def tangent(self) -> Array | None:
        """The tangent, that of a view from its base's."""
        if self._later is not None:
            self._tangent, self._later = self._later(), None
        if self.source is not None:
            whole, op, params, part = self.source
            tangent = whole.tangent
            if tangent is not None and tangent is not self._of:
                made = evaluate(op, tangent, **params)
                self._tangent, self._of = made if part is None else made[part], tangent
        return self._tangent

    def written(self, value: Array, layout: Layout | None = None) -> Array:
        """The tangent for writing `value` into: in memory of its own, with its frames; of a view, a part of its base's.

        It lies in memory as the primal does, so that views of one are views of the other: in the same order or, for strides
        laid over its storage, exactly as the `layout` says.
        """
        if self.source is not None:
            whole, op, params, _ = self.source
            base = whole.written(value, params["layout"] if op.name == "as_strided" else None)
            if not _share_memory(self.tangent, base):
                raise RuntimeError(
                    f"a tensor of shape {list(self.shape)} is a view of one that has a tangent, but its tangent is no view "
                    "of that one's. Write into a clone()"
                )
            return self.tangent
        if not self.owns:
            given = zeros_like(self.primal) if self._tangent is None else self._tangent
            self._tangent, self.owns = _in_order(given, self.primal.strides), True
        for frame in sorted(frames_of(value), key=lambda frame: frame.level):
            self._tangent = _holding(self._tangent, frame)
        if layout is not None and layout_of(self._tangent) != layout:
            self._tangent = _laid_out(self._tangent, layout)
        return self._tangent

    def run(self, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        return push(self.frame, op, args, params)

    def shown(self, repr_of: Callable[..., str]) -> str:
        primal, tangent = self.primal, self.tangent
        while isinstance(primal, Dual) and not primal.frame.alive:
            primal = primal.primal
        if tangent is None or not self.frame.alive:
            return repr_of(primal)
        number = not (tangent.ndim or isinstance(tangent, Lifted))
        return repr_of(primal, str(tangent.item()) if number else repr_of(tangent))

    def beside(self, array: Array) -> Array:
        return self.primal.beside(array) if isinstance(self.primal, Lifted) else array

    def moved(self, move: Callable[[Array], Array]) -> Dual:
        tangent = self.tangent
        return dual(self.frame, move(self.primal), None if tangent is None else move(tangent), self.adjoint)

    def constant(self) -> Dual:
        primal = self.primal
        return dual(self.frame, primal.constant() if isinstance(primal, Lifted) else primal, None)

    def __array__(self, *args: Any, **keywords: Any) -> Any:
        raise TypeError("a dual number is no NumPy array: its tangent would be lost")

    @property
    def mapped(self) -> bool:
        """Whether there is no one value, but one for each of a batch."""
        return getattr(self.primal, "mapped", False)

    def lift(self, x: Array) -> Dual:
        return dual(self.frame, x, None)

    def read(self, what: str) -> Array:
        return self.primal

    def exported(self) -> Array:
        if self.frame.alive and not self.frame.exports and self.tangent is not None:
            raise RuntimeError(
                "Can't call numpy() on a Tensor that has a tangent, as in jvp, jacfwd or hessian, which would be lost. "
                "Use operations on Tensors, NumPy's functions of Tensors, or tensor.detach().numpy() for a constant."
            )
        return self.primal

    def call(self, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """What the backend's function `name` makes of the primals; what writes, writes tangents, too."""
        level = self.frame.level
        primals = [_primal(a, level) for a in args]
        F = of(innermost(self.primal))
        if name in ("copyto", "setitem", "scatter_add"):
            target, *index, source = args
            tangent = source.tangent if _is_of(source, level) else None
            # What is to have tangents was lifted before; anything else is written unrecorded, a running mean, say.
            if _is_of(target, level) and (tangent is not None or target.tangent is not None):
                put = zeros_like(_primal(source, level)) if tangent is None and hasattr(source, "dtype") else tangent
                _call(F, name, (target.written(put), *index, 0 if put is None else put), keywords)
        return _call(F, name, primals, {key: _primal(x, level) for key, x in keywords.items()})


def _call(F: Any, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    top = top_of((*args, *keywords.values()))
    if top is not None:
        return top.backend.call(name, *args, **keywords)
    function, args = getattr(F, name, None), writable(name, args)
    return function(*args, **keywords) if function is not None else getattr(args[0], name)(*args[1:], **keywords)


def innermost(x: Array) -> Array:
    """The plain array that holds the primals of `x`, those of a batch together."""
    while isinstance(x, Lifted):
        x = x.primal if isinstance(x, Dual) else x.data
    return x


def _share_memory(x: Array, y: Array) -> bool:
    x, y = innermost(x), innermost(y)
    return of(x).storage(x) is of(y).storage(y)


def _is_of(x: Any, level: int) -> bool:
    return isinstance(x, Dual) and x.frame.level == level


def _primal(x: Any, level: int) -> Any:
    if type(x) is tuple or type(x) is list:
        return type(x)(_primal(each, level) for each in x)
    return x.primal if _is_of(x, level) else x


def dual(frame: Frame, primal: Array, tangent: Array | None, adjoint: bool = False) -> Dual:
    """The dual number of `frame` with these parts."""
    made: Dual = lifted.new(Dual, frame, primal)
    made.primal, made._tangent, made.adjoint = primal, tangent, adjoint
    made.source, made._of, made._later, made.given, made.owns = None, None, None, None, False
    return made


def frames_of(array: Array) -> set[Frame]:
    """The frames of all that `array` is made of."""
    if not isinstance(array, Lifted):
        return set()
    parts = (array.primal, array.tangent) if isinstance(array, Dual) else (array.data,)
    return {array.frame}.union(*map(frames_of, parts))


def _holding(array: Array, frame: Frame) -> Array:
    """`array`, in memory of its own, as one that can be written with what is of `frame`."""
    if frame.size is None:
        return array if frame in frames_of(array) else opened(array, frame)
    if is_mapped(frame, array):
        return array
    if isinstance(array, Lifted) and array.frame.level > frame.level:
        return array.moved(lambda part: _holding(part, frame))
    return batched(frame, _in_order(at_front(frame, array), (math.inf, *array.strides)))


def _in_order(array: Array, strides: Sequence[float]) -> Array:
    """A copy of `array` that lies in memory in the order of `strides`."""
    axes = tuple(sorted(range(array.ndim), key=lambda i: -strides[i]))
    back = tuple(map(axes.index, range(array.ndim)))
    if axes == back == tuple(range(array.ndim)):
        return evaluate(registry["copy"], array)
    ordered = evaluate(registry["copy"], evaluate(registry["transpose"], array, axes=axes))
    return evaluate(registry["transpose"], ordered, axes=back)


def _laid_out(array: Array, layout: Layout) -> Array:
    """The values of `array` in a storage of their own, with this layout."""
    shape, strides, offset = layout
    room = 1 + offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    storage = evaluate(registry["as_strided"], array, layout=layout, target=((room,), (1,), 0))
    return evaluate(registry["as_strided"], storage, layout=layout_of(storage), target=layout)


def opened(array: Array, frame: Frame) -> Array:
    """`array`, in the same memory, as one that can hold what is of `frame`, too."""
    if isinstance(array, Dual) and array.frame.level > frame.level:
        tangent = None if array.tangent is None else opened(array.tangent, frame)
        return dual(array.frame, opened(array.primal, frame), tangent, array.adjoint)
    if isinstance(array, Batched) and array.frame.level > frame.level:
        return batched(array.frame, opened(array.data, frame), array.mapped)
    return batched(frame, array, False) if frame.size is not None else dual(frame, array, None)


def push(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run `op` on dual numbers of `frame` and on constants."""
    ours = [_is_of(a, frame.level) for a in args]
    if op.name == "as_strided" and params["layout"] == layout_of(args[0]):  # it reads the storage, not just the view
        whole = _whole(args[0])
        if whole.dtype == args[0].dtype:
            args, params = (whole,), {**params, "layout": layout_of(whole)}
    primals = [a.primal if our else a for a, our in zip(args, ours, strict=True)]
    tangents = [a.tangent if our else None for a, our in zip(args, ours, strict=True)]
    params = {name: _primal(x, frame.level) for name, x in params.items()}
    result = evaluate(op, *primals, **params)
    outs = result if isinstance(result, tuple) else (result,)
    found = tangents_of(op, primals, tangents, params, outs)
    adjoint = any(a.adjoint for a, our in zip(args, ours, strict=True) if our)
    made = tuple(dual(frame, out, t, adjoint) for out, t in zip(outs, found, strict=True))
    if op.view and ours[0]:
        for i, out in enumerate(made):
            if _share_memory(out, args[0]):
                out.source = (args[0], op, params, i if isinstance(result, tuple) else None)
                out._of = tangents[0]
    moving = [t for t in tangents if t is not None]
    for out in made:
        if out.source is None and out._tangent is not None and any(_share_memory(out._tangent, t) for t in moving):
            out._tangent = evaluate(registry["copy"], out._tangent)  # of x in x + 1, say: users may write both
    for name in op.again:
        made[op.outputs.index(name)]._later = partial(_tangent_again, frame, op, name, args, params, next(stamps))
    return made if isinstance(result, tuple) else made[0]


def _whole(x: Dual) -> Dual:
    """What `x` is a view of, `x` itself if it is none."""
    while x.source is not None:
        x = x.source[0]
    return x


def _tangent_again(
    frame: Frame, op: Primitive, name: str, args: Sequence[Any], params: dict[str, Any], stamp: int
) -> Array | None:
    """The tangent of a result that has no derivative by itself, but is read by rules, which do."""
    for x in map(innermost, args):
        write = versions.write_after(stamp, of(x).storage(x)) if type(x) in by_type else None
        if write is not None:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: input of "
                f"{op.name}, of shape {list(x.shape)}, was overwritten by {write.by}. Use the out-of-place form of that "
                "operation, or apply it to a clone()."
            )
    again = op.again[name]
    named = {"F": raw(top_of(args).backend), **dict(zip(op.inputs, args, strict=True)), **op.defaults, **params}
    made = again(*(named[each] for each in names(again)))
    return made.tangent if _is_of(made, frame.level) else None


def tangents_of(
    op: Primitive, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]
) -> Sequence[Any]:
    """The tangents of the results `outs` of `op`, None for those that are zero."""
    live = [i for i, t in enumerate(tangents) if t is not None and op.has_rule(i)]
    nothing = [None] * len(outs)
    if not live or not op.differentiable:
        return nothing
    floating = [out.dtype.kind not in "biu" and name not in op.constant for out, name in _named(op, outs)]
    if True not in floating:
        return nothing
    if op.kind == "linear":
        moved = [_moved(op, i, p, t) for i, (p, t) in enumerate(zip(primals, tangents, strict=True))]
        found = evaluate(op, *moved, **params)
    elif op.kind == "multilinear":
        found = None
        for i in live:
            part = evaluate(op, *(tangents[i] if k == i else p for k, p in enumerate(primals)), **params)
            found = part if found is None else found + part
    elif op.kind == "elementwise" and (op.holomorphic or not any(_is_complex(x) for x in (*primals, *outs))):
        found = _through_rules(op, primals, tangents, params, outs, live)
    else:
        found = _transposed(op, primals, tangents, params, outs, live)
    parts = found if isinstance(found, (tuple, list)) else (found,)
    return [part if keep else None for part, keep in zip(parts, floating, strict=True)]


def _named(op: Primitive, outs: Sequence[Any]) -> list[tuple[Any, str]]:
    variable = op.outputs == ("outs",)
    return [(out, "" if variable else op.outputs[i]) for i, out in enumerate(outs)]


def _is_complex(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "") == "c"


def _moved(op: Primitive, i: int, primal: Any, tangent: Any) -> Any:
    """The direction in which a linear primitive moves along input `i`; what has no derivative stays."""
    if tangent is not None or primal is None or not op.has_rule(i):
        return tangent if tangent is not None else primal
    return zeros_like(primal) if hasattr(primal, "dtype") else 0.0


def _typed(op: Primitive, arrays: Sequence[Any]) -> Any:
    """The kernel of `op` for arrays of these levels."""
    top = top_of(arrays)
    kernels = kernels_of(op)
    return kernels[type(top)] if top is not None else kernels[next(type(a) for a in arrays if type(a) in by_type)]


def _through_rules(
    op: Primitive,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    params: dict[str, Any],
    outs: Sequence[Any],
    live: list[int],
) -> Any:
    """Each input's rule of an elementwise primitive on its tangent."""
    (out,) = outs
    F = of(innermost(out))
    if not exact.wanted(op, primals, out.dtype):
        primals = [p if hasattr(p, "dtype") or p is None else F.full((), p, out.dtype) for p in primals]
    total: Any = None
    for i in live:
        t = _spread(tangents[i], out.shape)
        kernel = exact.fitting(_typed(op, (*primals, t)), primals, out.dtype)
        step = kernel.steps[tuple(k == i for k in range(len(primals))), False, False]
        (part,) = step.pull(t, saver(op, step.layout)(primals, outs, params))
        total = part if total is None else total + part
    return total if isinstance(total, Lifted) else kernel.as_array(total)


def _transposed(
    op: Primitive,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    params: dict[str, Any],
    outs: Sequence[Any],
    live: list[int],
) -> Sequence[Any]:
    """The vjp of `op` is linear in the cotangent: record it at a cotangent of zero, and pull the tangents back."""
    kernel = _typed(op, (*primals, *(tangents[i] for i in live)))
    needs = tuple(i in live for i in range(len(primals)))
    conjugate = op.holomorphic and any(_is_complex(x) for x in (*primals, *outs))
    step = kernel.steps[needs, conjugate, False]
    smooth = [i for i, (_, name) in enumerate(_named(op, outs)) if name not in op.constant]
    read = saver(op, step.layout)(primals, [tuple(outs)] if op.outputs == ("outs",) else outs, params)
    saved: Any = tuple(x if name in op.params else _constant(x) for name, x in zip(step.layout, read, strict=True))
    if step.several:
        saved = (saved, tuple((outs[i].shape, outs[i].dtype) for i in smooth))
    top = top_of((*primals, *tangents))
    zeros = [zeros_like(outs[i]) for i in smooth]
    seeds = [wrap(zero if top is None or _is_at(top, zero) else top.lift(zero), Leaf()) for zero in zeros]
    with modes.enable_grad():
        pulled = step.traced_pull(seeds if step.several else seeds[0], saved)
    pairs = [
        (c._node, _spread(tangents[i], c._array.shape))
        for c, i in zip(pulled, live, strict=True)
        if isinstance(c, Value) and c._node is not None
    ]
    found: dict[Any, Any] = {}
    if pairs:
        found, _ = sweep([target for target, _ in pairs], [t for _, t in pairs], {seed._node for seed in seeds})
    result: list[Any] = [None] * len(outs)
    for i, seed in zip(smooth, seeds, strict=True):
        made = found.get(seed._node)
        result[i] = None if made is None else kernel.as_array(made)
    return result


def _is_at(top: Lifted, x: Array) -> bool:
    return isinstance(x, Lifted) and x.frame is top.frame


def _constant(x: Any) -> Any:
    """A saved value as what recorded operations take."""
    if type(x) is tuple:
        return tuple(map(_constant, x))
    return wrap(x) if isinstance(x, Lifted) or type(x) in by_type else x


def _spread(t: Array, shape: tuple[int, ...]) -> Array:
    return t if tuple(t.shape) == tuple(shape) else evaluate(registry["expand"], t, shape=tuple(shape))
