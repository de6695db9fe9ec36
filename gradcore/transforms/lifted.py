"""Arrays of a transform: of a level above plain arrays, run through primitives by their own rules. It must not know which.

A frame is one use of a transform, from entering to leaving it, and its level says how deep: a lifted array of a frame may
hold arrays of lower levels, never of higher ones. A primitive of several arrays is run by the rules of the highest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from typing import Any, ClassVar

from gradcore.backends import by_type, of
from gradcore.backends import numpy as host
from gradcore.graph import modes
from gradcore.recorder import exact
from gradcore.recorder.primitive import Primitive, registry
from gradcore.recorder.steps import kernels_of, raw

Array = Any
_levels = count(1)


class Frame:
    """One use of a transform: of batching with the `size` of the batch, or of forward mode.

    Levels ascend for ever, so an array that outlives its frame is never taken for another's. Who `exports` gives NumPy the
    values without a word of tangents.
    """

    __slots__ = ("alive", "exports", "level", "size")

    def __init__(self, size: int | None = None, exports: bool = False) -> None:
        self.level = next(_levels)
        self.size: Any = size
        self.exports = exports
        self.alive = True

    def __repr__(self) -> str:
        return f"<level {self.level}>"

    def depth(self) -> int:
        """How many frames this thread is in up to this one, which is torch's number of a level."""
        return sum(frame.level <= self.level for frame in active())


class _Frames(threading.local):
    def __init__(self) -> None:
        self.active: list[Frame] = []


_frames = _Frames()


def active() -> list[Frame]:
    """The frames that this thread is in, outermost first."""
    return _frames.active


def enter(frame: Frame) -> None:
    """Begin `frame` in this thread."""
    _frames.active.append(frame)
    modes.unusual.append(frame)


def leave(frame: Frame) -> None:
    """End `frame`."""
    _frames.active.remove(frame)
    modes.unusual.remove(frame)
    frame.alive = False


@contextmanager
def inside(frame: Frame) -> Iterator[Frame]:
    """A block in which `frame` is active."""
    enter(frame)
    try:
        yield frame
    finally:
        leave(frame)


class Lifted:
    """An array of a transform. Each kind of transform has a subclass, and that one for each backend underneath.

    `plain` stands for it where only shape, dtype, strides or device are asked for.
    """

    __slots__ = ("frame",)

    frame: Frame
    backend: ClassVar[Any]
    __array_ufunc__ = None  # NumPy leaves operators to this class and refuses the rest
    __hash__ = object.__hash__

    @property
    def plain(self) -> Array:
        """An array of a lower level that has the shape and dtype of this one."""
        raise NotImplementedError

    def run(self, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """What `op` makes of arguments of which this array is one of the highest level."""
        raise NotImplementedError

    def shown(self, repr_of: Callable[..., str]) -> str:
        """The repr of a tensor of this array, `repr_of(array, tangent=None)` being that of one of a lower level."""
        raise NotImplementedError

    def beside(self, array: Array) -> Array:
        """A fresh array as one that can take what is written from this one."""
        raise NotImplementedError

    def moved(self, move: Callable[[Array], Array]) -> Any:
        """The same with `move` of the arrays it holds."""
        raise NotImplementedError

    def constant(self) -> Any:
        """The same without tangents."""
        raise NotImplementedError

    def lift(self, x: Array) -> Any:
        """`x`, of a lower level, as a constant of this array's frame."""
        raise NotImplementedError

    def call(self, name: str, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """What the backend's function `name` makes of arguments of which this array is one of the highest level."""
        raise NotImplementedError

    def read(self, what: str) -> Array:
        """The values, for `what`, which leaves the transform."""
        raise NotImplementedError

    def exported(self) -> Array:
        """The values for NumPy, which sees nothing of the transform."""
        return self.read("a NumPy array")

    # -- what arrays have ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.plain.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.plain.dtype

    @property
    def ndim(self) -> int:
        return self.plain.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.plain.size  # type: ignore[no-any-return]

    @property
    def itemsize(self) -> int:
        return self.plain.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        return self.plain.nbytes  # type: ignore[no-any-return]

    @property
    def strides(self) -> tuple[int, ...]:
        return self.plain.strides  # type: ignore[no-any-return]

    @property
    def T(self) -> Any:
        return evaluate(registry["transpose"], self, axes=tuple(reversed(range(self.ndim))))

    @property
    def flags(self) -> Any:
        return self.plain.flags

    @property
    def base(self) -> Any:
        return self  # never None: whether memory is shared is asked of the storage

    def __len__(self) -> int:
        return len(self.plain)

    def __bool__(self) -> bool:
        return bool(self.read("bool()"))

    def __int__(self) -> int:
        return int(self.read("int()"))

    def __float__(self) -> float:
        return float(self.read("float()"))

    def __complex__(self) -> complex:
        return complex(self.read("complex()"))

    def __index__(self) -> int:
        return self.read("an index").__index__()  # type: ignore[no-any-return]

    def item(self) -> Any:
        return self.read(".item()").item()

    def tolist(self) -> Any:
        return self.read(".tolist()").tolist()

    def __array__(self, *args: Any, **keywords: Any) -> Any:
        return self.read("a NumPy array").__array__(*args, **keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        return self.backend.call(function.__name__, *args, **keywords)

    def reshape(self, *shape: Any) -> Any:
        shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return evaluate(registry["reshape"], self, shape=_known(shape, self.size))

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return evaluate(registry["astype"], self, dtype=host.dtype(dtype))

    def view(self, dtype: Any) -> Any:
        return evaluate(registry["bitcast"], self, dtype=host.dtype(dtype))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(host.Array, name):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return partial(self.backend.call, name, self)

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        if any(hasattr(item, "dtype") for item in index):
            top = top_of((self, index))
            return top.call("getitem", (self, index), {})
        return evaluate(registry["basic_getitem"], self, index=index)  # a view, which may be written

    def __iadd__(self, other: Any) -> Any:
        return self + other


def _known(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """`shape` with its -1, if it has one, worked out."""
    if -1 not in shape:
        return shape
    rest = 1
    for n in shape:
        rest *= n if n != -1 else 1
    return tuple(n if n != -1 else size // max(rest, 1) for n in shape)


def _operator(name: str, turned: bool) -> Callable[..., Any]:
    def operator(self: Lifted, *other: Any) -> Any:
        args = (*other, self) if turned else (self, *other)
        return evaluate(registry[name], *args)

    return operator


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_OTHERS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
    "neg": "negative", "abs": "absolute", "invert": "bitwise_not",
}  # fmt: skip
for _name, _primitive in _OPERATORS.items():
    setattr(Lifted, f"__{_name}__", _operator(_primitive, False))
    setattr(Lifted, f"__r{_name}__", _operator(_primitive, True))
for _name, _primitive in _OTHERS.items():
    setattr(Lifted, f"__{_name}__", _operator(_primitive, False))


# -- running primitives -----------------------------------------------------------------------------------------------

# What passes between levels: the array of the frame that a primitive of these names is its own rule.
crossings: set[str] = set()


def top_of(values: Sequence[Any]) -> Any:
    """The lifted array of the highest level among arrays, also in tuples and lists; None if there is none."""
    top: Any = None
    for x in values:
        if isinstance(x, (tuple, list)):
            x = top_of(x)
        if isinstance(x, Lifted) and (top is None or x.frame.level > top.frame.level):
            top = x
    return top


def evaluate(op: Primitive, *args: Any, **params: Any) -> Any:
    """Run the forward of `op` on arrays of any levels: plain ones by its kernel, others by the rules of the highest."""
    top = top_of((*args, *params.values()))
    if op.name in crossings and (top is None or top.frame.level <= params["frame"].level):
        return op.forward(None, *args, **params)
    if top is not None:
        return op.composition(raw(top.backend), *args, **params) if op.composition else top.run(op, args, params)
    kernels = kernels_of(op)
    first = next((a for a in args if hasattr(a, "dtype")), None)
    kernel = kernels[host.Array] if first is None else exact.fitting(kernels[type(first)], args, first.dtype)
    result = kernel.forward(*args, **params)
    as_array = kernel.as_array
    return tuple(map(as_array, result)) if isinstance(result, tuple) else as_array(result)


def zeros_like(x: Array) -> Array:
    """Zeros of the shape, dtype and levels of `x`."""
    return evaluate(registry["zero"], x)


# Functions of backends that change their first argument.
WRITERS = frozenset("add_at copyto put_along_axis scatter_add setitem".split())


def writable(name: str, args: Sequence[Any]) -> Sequence[Any]:
    """Plain arguments of the backend's function `name`, the first so that it may be written if that is what it does."""
    return (of(args[0]).writable(args[0]), *args[1:]) if name in WRITERS else args


# -- lifted arrays as a backend ---------------------------------------------------------------------------------------


class Backend:
    """What stands for a backend's module where the arrays are lifted: the functions of the one underneath, lifted."""

    def __init__(self, array: type, base: Any) -> None:
        self.Array, self.base = array, base
        # Where values would be looked at to choose a faster way, no array of this type should be.
        self.device_type = f"{base.device_type} ({array.__name__})"

    def __repr__(self) -> str:
        return f"<{self.Array.__name__} over {self.base.name}>"

    def interpreter(self, op: Primitive) -> Callable[..., Any]:
        """The forward of `op`."""
        return partial(evaluate, op)

    def following(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def as_array(self, x: Any) -> Any:
        if type(x) is tuple:
            return tuple(map(self.as_array, x))
        return x if isinstance(x, Lifted) else self.base.as_array(x)

    def dense(self, x: Any) -> Any:
        return self.as_array(x)  # how a batch lies in memory is nobody's business

    def storage(self, x: Any) -> Any:
        return of(x.plain).storage(x.plain) if isinstance(x, Lifted) else self.base.storage(x)

    def owned(self, x: Any) -> Any:
        return evaluate(registry["copy"], x)

    def writable(self, x: Any) -> Any:
        return x  # its parts come here themselves, when they are written

    def zeros_like(self, x: Any, dtype: Any = None) -> Any:
        zeros = zeros_like(x)
        return zeros if dtype is None or dtype == zeros.dtype else zeros.astype(dtype)

    def ones_like(self, x: Any, dtype: Any = None) -> Any:
        return self.zeros_like(x, dtype) + 1

    def empty_like(self, x: Any, dtype: Any = None) -> Any:
        return self.zeros_like(x, dtype)

    def full_like(self, x: Any, value: Any, dtype: Any = None) -> Any:
        return evaluate(registry["fill"], self.zeros_like(x, dtype), value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.base, name)
        if not callable(found) or isinstance(found, type) or name in _OF_THE_BASE:
            return found
        return partial(self.call, name) if name not in _OF_PLACE else partial(self._of_plain, name)

    def _of_plain(self, name: str, x: Any, *args: Any) -> Any:
        while isinstance(x, Lifted):
            x = x.plain
        return getattr(of(x), name)(x, *args)

    def call(self, name: str, *args: Any, **keywords: Any) -> Any:
        """The function `name` of arrays underneath, or their method, on values without a history."""
        top = top_of((*args, *keywords.values()))
        if top is None:
            function = getattr(self.base, name, None) or getattr(args[0], name)
            return function(*writable(name, args), **keywords)
        op = registry.get(name)
        if op is not None and op.kind == "elementwise" and not (keywords or op.params) and len(args) == len(op.inputs):
            return evaluate(op, *args)
        if name in _FAMILIAR:
            return _FAMILIAR[name](*args, **keywords)
        return top.call(name, args, keywords)


def _sum(x: Any, axis: Any = None, *, count: float = 1, keepdims: bool = False, dtype: Any = None) -> Any:
    if dtype is not None or x.dtype.kind == "b":
        x = x.astype(dtype or "int64")
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return evaluate(registry["sum"], x, axis=tuple(i % x.ndim for i in axes), count=count, keepdims=keepdims)


def _expanded(x: Any, shape: Any) -> Any:
    return evaluate(registry["expand"], x, shape=tuple(shape))


# Functions of backends that are primitives, called in another way.
_FAMILIAR: dict[str, Callable[..., Any]] = {
    "argsort": lambda x, axis=-1: evaluate(registry["argsort"], x, axis=axis % x.ndim),
    "broadcast_to": _expanded,
    "broadcast_view": _expanded,
    "concatenate": lambda xs, axis=0: evaluate(registry["concatenate"], *xs, axis=axis % xs[0].ndim),
    "searchsorted": lambda x, v, side="left": evaluate(registry["searchsorted"], x, v, right=side == "right"),
    "astype": lambda x, dtype, copy=False: x.astype(dtype),
    "getitem": lambda x, index: x[index] if isinstance(x, Lifted) else top_of(index).call("getitem", (x, index), {}),
    "copy": lambda x: evaluate(registry["copy"], x),
    "reshape": lambda x, shape: x.reshape(shape),
    "sum": _sum,
}


_OF_THE_BASE = frozenset(
    """noise quiet unquiet quietly current_device on_device device_count start why_not synchronize set_device zeros ones full
    empty arange eye linspace asarray dtype generator""".split()
)
_OF_PLACE = frozenset({"device_of", "address", "storage_offset"})


@cache
def _type(kind: Any, base: Any) -> Any:
    made: Any = type(kind.__name__, (kind,), {"__slots__": ()})
    made.backend = Backend(made, base)
    return made


def new(kind: Any, frame: Frame, inner: Array) -> Any:
    """An empty lifted array of `kind` over the backend that `inner` is of."""
    base = type(inner).backend.base if isinstance(inner, Lifted) else of(inner)
    cls = _type(kind, base)
    if cls not in by_type:
        by_type[cls] = cls.backend
    made = object.__new__(cls)
    made.frame = frame
    return made
