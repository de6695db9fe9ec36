"""Batching: arrays that stand for many of one shape, run through each primitive at once. It must not know any operation.

The kind of a primitive says how: elementwise ones broadcast; of the others, axes given as static parameters move by one.
`batching.py` has the rules of those of which neither is true, and what has no rule is done one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from textwrap import indent
from typing import Any

from gradcore.backends import of
from gradcore.recorder.caller import user_line
from gradcore.recorder.primitive import Primitive, registry
from gradcore.transforms import lifted
from gradcore.transforms.lifted import WRITERS, Frame, Lifted, evaluate, top_of

Array = Any
Rule = Callable[..., Any]


class NeedsLoop(BaseException):
    """The values of a batch were asked for, one for each of the batch: `vmap` begins again, one by one.

    No Exception, since it is not for the program to catch. `storage` is where it would have been written.
    """

    def __init__(self, frame: Frame, what: str, storage: Any = None) -> None:
        super().__init__(what)
        self.frame, self.what, self.where, self.storage = frame, what, user_line(), storage


def needs_loop(frame: Frame, what: str, into: Array | None = None) -> BaseException:
    """What to raise where the values of a batch are asked for, for `what`: after its `vmap` has ended an error."""
    if frame.alive:
        return NeedsLoop(frame, what, None if into is None else of(into).storage(into))
    return RuntimeError(
        f"the values of a tensor of a vmap that has ended were asked for ({what}). Return it from the function that is "
        "mapped, instead of keeping it elsewhere; do in a loop what differentiates through it."
    )


class Batched(Lifted):
    """An array for each of a batch, along the first axis of `data`; or one for all if it is not `mapped`."""

    __slots__ = ("data", "mapped")

    data: Array
    mapped: bool

    @property
    def plain(self) -> Array:
        if not self.mapped:
            return self.data
        if self.data.shape[0]:
            return self.data[0, ...]
        return evaluate(registry["reshape"], self.data, shape=(0, *self.data.shape[1:])).sum(0)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape[1:] if self.mapped else self.data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.data.ndim - self.mapped  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def itemsize(self) -> int:
        return self.data.itemsize  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.data.size // self.frame.size if self.mapped else self.data.size  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def shown(self, repr_of: Callable[..., str]) -> str:
        place = ", bdim=0" if self.mapped else ""
        return f"BatchedTensor(lvl={self.frame.depth()}{place}, value=\n{indent(repr_of(self.data), '    ')}\n)"

    def beside(self, array: Array) -> Array:
        inner = self.data.beside(array) if isinstance(self.data, Lifted) else array
        whole = at_front(self.frame, batched(self.frame, inner, False))
        return batched(self.frame, evaluate(registry["copy"], whole)) if self.mapped else inner

    def moved(self, move: Callable[[Array], Array]) -> Batched:
        return batched(self.frame, move(self.data), self.mapped)

    def constant(self) -> Batched:
        data = self.data
        return batched(self.frame, data.constant() if isinstance(data, Lifted) else data, self.mapped)

    def lift(self, x: Array) -> Batched:
        return batched(self.frame, x, mapped=False)

    def read(self, what: str) -> Array:
        if not self.mapped:
            return self.data
        raise needs_loop(self.frame, what)

    def run(self, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        return over_batch(self.frame, op, args, params)

    def call(self, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """What the backend's function `name` makes of each of the batch. What writes does it through views."""
        frame = self.frame
        if not top_is_mapped(frame, (*args, *keywords.values())):
            args = [inner(frame, a) for a in args]
            return lifted_call(self, name, args, {key: inner(frame, x) for key, x in keywords.items()})
        if name in WRITERS and not is_mapped(frame, args[0]):
            raise needs_loop(frame, "writing values of a batch into what is one for all of it", args[0])
        if name == "copyto" or (name == "setitem" and args[1] is Ellipsis):
            target, source = aligned(frame, (args[0], args[-1]), args[0].ndim)
            return lifted_call(self, "copyto", (target, source), {"casting": "unsafe"})
        each = [
            lifted_call(
                self, name, [element(frame, a, i) for a in args], {key: element(frame, x, i) for key, x in keywords.items()}
            )
            for i in range(frame.size)
        ]
        return _joined(frame, each)


def lifted_call(like: Lifted, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """The backend's function `name` on values of a lower level."""
    top = top_of((*args, *keywords.values()))
    return (like if top is None else top).backend.call(name, *args, **keywords)


def batched(frame: Frame, data: Array, mapped: bool = True) -> Batched:
    """The batched array of `frame` that stands for the slices of `data`, or for `data` each time."""
    made: Batched = lifted.new(Batched, frame, data)
    made.data, made.mapped = data, mapped
    return made


def is_mapped(frame: Frame, x: Any) -> bool:
    """Whether `x` differs over the batch of `frame`."""
    return isinstance(x, Batched) and x.frame is frame and x.mapped


def top_is_mapped(frame: Frame, values: Sequence[Any]) -> bool:
    """Whether any of `values`, also in tuples, differs over the batch of `frame`."""
    return any(top_is_mapped(frame, x) if isinstance(x, (tuple, list)) else is_mapped(frame, x) for x in values)


def inner(frame: Frame, x: Any) -> Any:
    """`x` without this frame's wrapping; the batch of a mapped one in front."""
    if type(x) is tuple or type(x) is list:
        return type(x)(inner(frame, each) for each in x)
    return x.data if isinstance(x, Batched) and x.frame is frame else x


def element(frame: Frame, x: Any, i: int) -> Any:
    """Number `i` of the batch."""
    if type(x) is tuple or type(x) is list:
        return type(x)(element(frame, each, i) for each in x)
    if not is_mapped(frame, x):
        return inner(frame, x)
    return evaluate(registry["basic_getitem"], x.data, index=(i,))


def at_front(frame: Frame, x: Any) -> Array:
    """The values of `x` for the whole batch, along a first axis."""
    if is_mapped(frame, x):
        return x.data
    data = inner(frame, x)
    return evaluate(registry["expand"], data, shape=(frame.size, *data.shape))


def _joined(frame: Frame, each: Sequence[Any]) -> Any:
    if isinstance(each[0], tuple):
        return tuple(_joined(frame, part) for part in zip(*each, strict=True))
    if each[0] is None:
        return None
    if any(x.shape != each[0].shape for x in each):
        raise needs_loop(frame, "a shape that depends on values")
    arrays = [x if isinstance(x, Lifted) else of(x).as_array(x) for x in each]
    return batched(frame, evaluate(registry["stack"], *arrays, axis=0))


# -- primitives -------------------------------------------------------------------------------------------------------

# Rules of primitives that their kind says nothing of: rule(frame, op, args, params) with arguments of `Batched` or not.
rules: dict[str, Rule] = {}


def over_batch(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run `op` on a batch."""
    if not top_is_mapped(frame, (*args, *params.values())):
        result = evaluate(op, *inner(frame, tuple(args)), **{name: inner(frame, x) for name, x in params.items()})
        return _wrapped(frame, result, False)
    if op.name in rules:
        result = rules[op.name](frame, op, args, params)
    elif op.kind == "elementwise":
        result = broadcasting(frame, op, args, params)
    elif _goes_in_front(op) and not top_is_mapped(frame, list(params.values())):
        result = in_front(frame, op, args, params)
    else:
        return one_by_one(frame, op, args, params)
    return _wrapped(frame, result, True)


def _wrapped(frame: Frame, result: Any, mapped: bool) -> Any:
    if isinstance(result, tuple):
        return tuple(batched(frame, each, mapped) for each in result)
    return batched(frame, result, mapped)


def aligned(frame: Frame, args: Sequence[Any], rank: int | None = None) -> list[Any]:
    """The arguments with the batch in front, and axes of length 1 behind it for those of fewer dimensions than others."""
    if rank is None:
        rank = max(getattr(a, "ndim", 0) for a in args)
    made = []
    for a in args:
        data = inner(frame, a)
        if is_mapped(frame, a) and data.ndim <= rank:
            shape = (data.shape[0], *(1,) * (rank + 1 - data.ndim), *data.shape[1:])
            data = evaluate(registry["reshape"], data, shape=shape)
        made.append(data)
    return made


def broadcasting(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """An elementwise primitive. Where a result does not depend on what differs, it is the same for all."""
    result = evaluate(op, *aligned(frame, args), **params)
    rank = max(getattr(a, "ndim", 0) for a in args)
    if result.ndim > rank:
        return result
    return evaluate(registry["expand"], result, shape=(frame.size, *result.shape))


# How static parameters change when there is an axis more in front: by name, of the value, the number of dimensions
# without that axis, and its length.
SHIFTED: dict[str, Callable[[Any, int, int], Any]] = {
    "axis": lambda axis, ndim, n: _next(tuple(range(ndim)) if axis is None else axis),
    "axes": lambda axes, ndim, n: _next(axes),
    "shape": lambda shape, ndim, n: (n, *shape),
    "index": lambda index, ndim, n: (slice(None), *index),
}
# Parameters that mean the same: numbers, flags, and sizes of the last axes.
SAME = frozenset(
    """adjoint after aligned atol before centred checked count counted descending distinct divisor dof dtype eps
    exclusive frame full hermitian inverse k keep keepdims largest length mode nans norm offset order reverse
    rtol sampling size sizes skip_nan step transposed triangle upper value weighted window""".split()
)
# Primitives of several arrays that all have the same axes in front.
TOGETHER = frozenset(
    "concatenate destandardize det_hessian inner ldl_solve log_softmax_backward matmul pair pick place recurrence "
    "softmax_backward solve stack".split()
)


def _next(axes: Any) -> Any:
    return tuple(i + 1 for i in axes) if isinstance(axes, tuple) else axes + 1


def _goes_in_front(op: Primitive) -> bool:
    if len(op.inputs) > 1 and op.name not in TOGETHER:
        return False
    return all(name in SHIFTED or name in SAME for name in op.params)


def shifted(params: dict[str, Any], ndim: int, n: int) -> dict[str, Any]:
    """The parameters for one more axis in front."""
    ndim = len(params["shape"]) if "shape" in params else ndim
    return {name: SHIFTED[name](x, ndim, n) if name in SHIFTED else x for name, x in params.items()}


def in_front(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """A primitive that takes its arrays with one more axis in front, axes among its parameters moved."""
    params = {**op.defaults, **params}
    data = [at_front(frame, a) if hasattr(a, "dtype") else a for a in args]
    ndim = max(x.ndim for x in data if hasattr(x, "dtype")) - 1
    if ndim == 0 and "axis" in params and "shape" not in params and op.name not in ("stack", "batch", "unbatch"):
        # Axis 0 of a number is no axis: give it one.
        data = [evaluate(registry["reshape"], x, shape=(*x.shape, 1)) if hasattr(x, "dtype") else x for x in data]
        result = evaluate(op, *data, **shifted({**params, "axis": _axis_of_number(params["axis"])}, 1, frame.size))
        results = result if isinstance(result, tuple) else (result,)
        flat = tuple(evaluate(registry["reshape"], x, shape=(frame.size,)) for x in results)
        return flat if isinstance(result, tuple) else flat[0]
    return evaluate(op, *data, **shifted(params, ndim, frame.size))


def _axis_of_number(axis: Any) -> Any:
    return axis if axis is None or isinstance(axis, int) else (0,)


def tell(what: str, where: str) -> None:
    """Warn of `what` as of the line `where`."""
    file, _, line = where.rpartition(":")
    warnings.warn_explicit(f"{what} ({where})", UserWarning, file or "?", int(line) if file else 1)


_told: set[str] = set()


def one_by_one(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """A primitive that has no rule, for each of the batch."""
    if op.name not in _told:
        _told.add(op.name)
        tell(f"vmap: there is no batching rule for {op.name}, so it is done one by one for each of the batch", user_line())
    return for_each(frame, op, args, params)


def for_each(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """What `op` makes of each of the batch, one after another."""
    each = [
        evaluate(op, *(element(frame, a, i) for a in args), **{name: element(frame, x, i) for name, x in params.items()})
        for i in range(frame.size)
    ]
    return _joined(frame, each)
