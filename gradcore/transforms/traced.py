"""What a function of plain arrays is given in place of an array: one with a history, that behaves as NumPy's do.

It must not know any derivative, nor which transform runs the function.

A Tensor behaves as torch's: other names, other promotion, `std` with another divisor, numbers that are views. So a program
written for arrays gets a `Traced`, which hands NumPy's functions to gradcore's operations. Its Tensor is never written: a
write makes a new one, and views of what was written get theirs from it. So nothing that a derivative needs is overwritten.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from operator import index as as_int
from types import FunctionType, MethodType
from typing import Any, Final, NoReturn

from gradcore.backends import by_type
from gradcore.backends import numpy as host
from gradcore.ops import function as operation
from gradcore.ops import numpy_calls
from gradcore.primitives.indexing import slice_update
from gradcore.recorder.inplace import target
from gradcore.recorder.record import SCALARS
from gradcore.recorder.value import Value, wrap
from gradcore.recorder.views import Chain
from gradcore.transforms import indices
from gradcore.transforms.lifted import Lifted
from gradcore.transforms.ndarray_methods import ArrayMethods, np

# What NumPy gives back as views of their argument.
VIEWS: Final = frozenset(
    "reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis squeeze expand_dims atleast_1d "
    "atleast_2d atleast_3d split array_split hsplit vsplit dsplit unstack diagonal real imag".split()
)

# What NumPy computes in double precision whatever it is given.
IN_DOUBLE: Final = frozenset(("cov", "corrcoef", "interp", "bincount"))
# What NumPy returns as real numbers if they are.
REAL_IF_REAL: Final = frozenset(("eig", "eigvals", "roots", "poly"))


def fresh(t: Value) -> Value:
    """A Tensor of the same value and history that nothing is a view of."""
    return wrap(t._array, t._node if t._meta is None else target(t))  # type: ignore[no-any-return]


def bare(x: Any) -> Any:
    """The Tensor of what is traced, also in lists, tuples and dicts; anything else as it is."""
    if isinstance(x, Traced):
        return fresh(x._tensor)
    if type(x) in (list, tuple):
        return type(x)(map(bare, x))
    if type(x) is dict:
        return {key: bare(each) for key, each in x.items()}
    if isinstance(x, (FunctionType, MethodType, partial)):  # for elements or rows, which it takes as the program does
        return lambda *args, **keywords: bare(x(*_result(args, (), False), **_result(keywords, (), False)))
    if isinstance(x, host.Array) and x.dtype.kind == "O":
        return stacked(x.tolist())
    return x


def stacked(xs: Any) -> Any:
    """Nested sequences of traced values and numbers as one Tensor; a number as it is."""
    if type(xs) not in (list, tuple):
        return bare(xs)
    rows = [stacked(each) for each in xs]
    if not any(isinstance(row, Value) for row in rows):
        return host.asarray(rows)
    device = next(row for row in rows if isinstance(row, Value)).device  # type: ignore[attr-defined]
    rows = [row if isinstance(row, Value) else operation("", "as_tensor")(host.asarray(row), device=device) for row in rows]
    return numpy_calls.function(np.stack, (), (rows,), {})


class _OfClass:
    """`__array_ufunc__` of the class, for NumPy; None of an instance on a device, so that CuPy leaves operators to it."""

    def __get__(self, array: Any, owner: Any = None) -> Any:
        if array is None:
            return Traced.by_ufunc
        return array.by_ufunc if type(array._plain()) is host.Array else None


class Traced(ArrayMethods):
    """An array of the program, over a Tensor. As a view it knows its base, and the chain of operations from it."""

    __slots__ = ("__weakref__", "_base", "_chain", "_tensor", "_views")

    __array_priority__ = 2000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tensor: Value, base: Traced | None = None, chain: Chain | None = None) -> None:
        self._tensor = fresh(tensor)
        self._base, self._chain = base, chain
        self._views: list[weakref.ref[Traced]] = []
        if base is not None:
            base._views = [each for each in base._views if each() is not None]
            base._views.append(weakref.ref(self))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class of arrays, for programs that ask isinstance(x, np.ndarray)."""
        return type(self._plain())

    # -- what an array tells ------------------------------------------------------------------------------------------

    def _plain(self) -> Any:
        array = self._tensor._array
        while isinstance(array, Lifted):
            array = array.plain
        return array

    shape = property(lambda self: tuple(self._tensor._array.shape))
    dtype = property(lambda self: self._tensor._array.dtype)
    ndim = property(lambda self: self._tensor._array.ndim)
    size = property(lambda self: prod(self._tensor._array.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    device = property(lambda self: self._plain().device)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.matrix_transpose(self))

    @property
    def real(self) -> Any:
        return np.real(self)

    @real.setter
    def real(self, value: Any) -> None:
        self[...] = value + 1j * self.imag if self.dtype.kind == "c" else value

    @property
    def imag(self) -> Any:
        return np.imag(self)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self[...] = self.real + 1j * value

    @property
    def flat(self) -> Any:
        return np.reshape(self, -1)

    @property
    def is_constant(self) -> bool:
        """Whether no derivative passes through it."""
        return self._tensor._node is None and not isinstance(self._tensor._array, Lifted)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __contains__(self, x: Any) -> bool:
        return bool(np.any(self == x))

    def __repr__(self) -> str:
        return f"<traced {self._tensor!r}>"

    def __format__(self, spec: str) -> str:
        return format(self._tensor, spec)

    # -- values that leave the program: where a derivative would be lost in silence, they do not ----------------------

    def _lost(self, what: str) -> NoReturn:
        raise TypeError(
            f"{what} of an array that is differentiated (shape {self.shape}, {self.dtype}) would lose its derivative. "
            "Compute with NumPy's functions (np.sqrt, not math.sqrt), fill arrays made by np.zeros inside the function, and "
            "take .item() or .tolist() where the value alone is wanted"
        )

    def __float__(self) -> float:
        return float(self.item()) if self.is_constant else self._lost("float()")

    def __complex__(self) -> complex:
        return complex(self.item()) if self.is_constant else self._lost("complex()")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        objects = dtype is not None and host.dtype(dtype).kind == "O"
        if objects or not self.is_constant:
            if self.size > 4096 or not (objects or dtype is None):
                self._lost("np.asarray()")
            return self._objects()
        return self._tensor.__array__(dtype, copy)  # type: ignore[attr-defined]

    def _objects(self) -> Any:
        """An array of Python objects, each a traced number: what NumPy itself can go on computing with."""
        made = np.empty(self.shape, object)
        flat = np.reshape(self, -1)
        for i, place in enumerate(np.ndindex(*self.shape)):
            made[place] = flat[i]
        return made

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self._tensor)

    def __int__(self) -> int:
        return int(self._tensor)  # type: ignore[call-overload, no-any-return]

    def __index__(self) -> int:
        return as_int(self._tensor)  # type: ignore[arg-type]

    def __round__(self, ndigits: int | None = None) -> Any:
        return int(np.round(self)) if ndigits is None else np.round(self, ndigits)

    def __floor__(self) -> int:
        return int(np.floor(self))

    def __ceil__(self) -> int:
        return int(np.ceil(self))

    def __trunc__(self) -> int:
        return int(self)

    def item(self, *place: int) -> Any:
        """The value of an element as a Python number."""
        return np.reshape(self, -1)[place[0]].item() if len(place) == 1 else self[place]._tensor.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._tensor.tolist()  # type: ignore[attr-defined]

    # -- NumPy's protocols --------------------------------------------------------------------------------------------

    __array_ufunc__ = _OfClass()

    def by_ufunc(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """What NumPy's `__array_ufunc__` is to return."""
        if not all(map(_takes, inputs)):
            return NotImplemented
        if method == "at":
            name = f"{ufunc.__name__}.at"
            if name not in WRITES:
                raise TypeError(f"np.{name}() of what is differentiated is not supported; np.add.at is")
            return WRITES[name](*inputs)
        into = keywords.pop("out", None)
        mask = keywords.pop("where", True) if method == "__call__" else True
        if mask is not True:
            # What is not computed gets no cotangent either: 1 / 0 there has none.
            inputs = tuple(np.where(mask, x, np.ones((), getattr(x, "dtype", None))) for x in inputs)
        if method == "__call__":
            inputs = _promoted(ufunc, inputs)
        if any(isinstance(x, Traced) or _is_of_objects(x) for x in inputs):
            made = _result(numpy_calls.ufunc(ufunc, method, bare(inputs), bare(keywords)), (), False)
        else:
            made = getattr(ufunc, method)(*inputs, **keywords)
        if made is NotImplemented or into is None:
            return made
        outs = into if isinstance(into, tuple) else (into,)
        for out, part in zip(outs, made if isinstance(made, tuple) else (made,), strict=True):
            if out is not None:
                _write(out, part if mask is True else np.where(mask, part, out), ufunc.__name__)
        return outs[0] if len(outs) == 1 else outs

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        if not all(issubclass(kind, Traced) or numpy_calls.known_type(kind) for kind in types):
            return NotImplemented
        name = function.__name__
        if name in WRITES:
            return WRITES[name](*args, **keywords)
        keywords = dict(keywords)
        out = keywords.pop("out", None)
        if name in IN_DOUBLE:
            args = tuple(x.astype(np.result_type(x, np.float64)) if isinstance(x, Traced) else x for x in args)
        sources = [(fresh(x._tensor), x) for x in args[:1] if isinstance(x, Traced)] if name in VIEWS else []
        args = (*(t for t, _ in sources), *bare(tuple(args[len(sources) :])))
        made = _result(numpy_calls.function(function, (), args, bare(keywords)), tuple(sources), name in VIEWS)
        if name in REAL_IF_REAL and args[0]._array.dtype.kind != "c":
            made = _real(made)
        if out is None:
            return made
        _write(out, made, name)
        return out

    def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **keywords: Any) -> Any:
        """What CuPy's functions of elements ask of an argument that is no array of CuPy's."""
        return self.by_ufunc(numpy_calls.counterpart(kernel), "__call__", *args, **keywords)

    # -- parts, and writing -------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        index, flips = indices.read(_untraced(index), self.shape)
        source: Any = fresh(self._tensor)
        if flips:
            return _result(source.flip(flips)[index], (), False)
        return _result(source[index], ((source, self),), True)

    def __setitem__(self, index: Any, value: Any) -> None:
        index, flips = indices.read(_untraced(index), self.shape)
        old: Any = fresh(self._tensor)
        made = indices.updated(old.flip(flips) if flips else old, index, cast(value, self))
        self._rebind(made.flip(flips) if flips else made)

    def _rebind(self, tensor: Value) -> None:
        """Hold another value of the same shape and dtype, and let base and views hold theirs."""
        if self._base is not None:
            self._base._rebind(slice_update(fresh(self._base._tensor), tensor, view=self._chain))
            return
        self._tensor = fresh(tensor)
        for each in self._views:
            view = each()
            if view is not None:
                assert view._chain is not None
                view._tensor = fresh(view._chain.replay(fresh(tensor)))

    def copy(self, order: str = "C") -> Any:
        """An array of its own."""
        return Traced(self._tensor)

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Any:
        return Traced(self._tensor)


# The functions that write into an array, by name; `writes` has them.
WRITES: Final[dict[str, Callable[..., None]]] = {}


# -- arguments and results --------------------------------------------------------------------------------------------


def _is_of_objects(x: Any) -> bool:
    return isinstance(x, host.Array) and x.dtype.kind == "O"


def _takes(x: Any) -> bool:
    return isinstance(x, (Traced, Value, list, tuple, *SCALARS, host.generic)) or type(x) in by_type


def _promoted(ufunc: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs in the dtypes that NumPy computes with."""
    arrays = [np.asarray(x) if type(x) in (list, tuple) and not _holds_traced(x) else x for x in inputs]
    kinds = [x.dtype if hasattr(x, "dtype") and not isinstance(x, Value) else type(x) for x in arrays]
    if len(set(kinds)) == 1 and getattr(kinds[0], "kind", "") in "fc":
        return inputs
    try:
        wanted = ufunc.resolve_dtypes((*(host.dtype(bool) if k is bool else k for k in kinds), *(None,) * ufunc.nout))
    except TypeError:  # NumPy has no loop: gradcore says what is wrong
        return inputs
    return tuple(
        x if not hasattr(x, "dtype") or x.dtype == to else x.astype(to) for x, to in zip(arrays, wanted, strict=False)
    )


def _holds_traced(xs: Any) -> bool:
    return any(_holds_traced(x) if type(x) in (list, tuple) else isinstance(x, (Traced, Value)) for x in xs)


def _untraced(index: Any) -> Any:
    """An index with Tensors for traced arrays."""
    if type(index) is tuple:
        return tuple(map(_untraced, index))
    return index._tensor if isinstance(index, Traced) else index


def _of_parts(made: Any, parts: list[Any]) -> Any:
    """The sequence `made`, which may be a named tuple, of other parts."""
    return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)


def _result(made: Any, sources: tuple[tuple[Value, Traced], ...], shares: bool) -> Any:
    """What an operation returned as the program sees it."""
    if isinstance(made, (list, tuple)):
        return _of_parts(made, [_result(each, sources, shares) for each in made])
    if type(made) is dict:
        return {key: _result(each, sources, shares) for key, each in made.items()}
    if not isinstance(made, Value):
        return made
    view = None if made._meta is None else made._meta.view
    if shares and view is not None and made._array.ndim:
        for tensor, array in sources:
            if view.base is tensor:
                if array._base is None:
                    return Traced(made, array, view.chain)
                assert array._chain is not None
                return Traced(made, array._base, Chain((*array._chain.links, *view.chain.links)))
    return Traced(made)


def _real(made: Any) -> Any:
    """The real parts of complex results, if all their imaginary parts are zero."""
    parts = made if isinstance(made, tuple) else (made,)
    if parts[0].dtype.kind != "c" or bool((parts[0].imag != 0).any()):
        return made
    return _of_parts(made, [x.real for x in parts]) if isinstance(made, tuple) else made.real


def cast(value: Any, like: Traced) -> Any:
    """What is written, in the dtype of what it is written to."""
    value = stacked(value) if type(value) in (list, tuple) else bare(value)
    if isinstance(value, Value) or type(value) in by_type:
        value = value if isinstance(value, Value) else wrap(value)
        if value._array.dtype != like.dtype:
            if value._array.dtype.kind == "c" and like.dtype.kind != "c":
                value = operation("", "real")(value)
            value = value.to(like._tensor.dtype)  # type: ignore[attr-defined]
        return value
    return value.item() if isinstance(value, host.generic) else value


def _write(out: Any, made: Any, name: str) -> None:
    """Write a result into an array, as `out=` and `+=` do."""
    if not isinstance(out, Traced):
        if isinstance(made, Traced) and not made.is_constant:
            raise TypeError(
                f"np.{name}(): what is differentiated cannot be written into an array made outside of the function (out=, "
                "+=), where its derivative would be lost; make the array inside, with np.zeros say, or use a new one "
                "(a = a + x)"
            )
        out[...] = made
        return
    if not np.can_cast(made.dtype, out.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast ufunc '{name}' output from {made.dtype!r} to {out.dtype!r} with casting rule 'same_kind'"
        )
    if made.shape != out.shape and np.broadcast_shapes(made.shape, out.shape) != out.shape:
        raise ValueError(f"non-broadcastable output operand with shape {out.shape} doesn't match {made.shape} ({name})")
    out[...] = made
