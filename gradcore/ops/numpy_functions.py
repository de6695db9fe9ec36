"""Which operation answers which function of NumPy's: by name alone, or composed here in NumPy's spelling. It must not
know how NumPy calls, nor any derivative.

The functions here have NumPy's parameters, without those that only say how to compute; array parameters come as Tensors.
What their signatures lack is refused. Raises what the operations raise.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from operator import index
from typing import Any, Final, TypeVar

from gradcore import ops
from gradcore.ops import arguments

C = TypeVar("C", bound=Callable[..., Any])


class _Operations:
    """The operations of one of torch's namespaces as attributes."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        self.__dict__[name] = found = ops.function(self._namespace, name)
        return found


op, linalg, functional = _Operations(""), _Operations("linalg"), _Operations("nn.functional")

# Called with the arrays, then the PLACED parameters, by position, and the rest by torch's names.
SAME: Final = frozenset(
    (
        "all any argmax argmin count_nonzero nansum nanmean diagonal diag diagflat tril triu tile broadcast_to moveaxis "
        "around round inner kron isin allclose isclose isneginf isposinf real imag hstack "
        "vstack dstack column_stack atleast_1d atleast_2d atleast_3d fliplr flipud sinc nan_to_num i0 argwhere isreal "
        "linalg.det linalg.inv linalg.slogdet linalg.cholesky linalg.norm linalg.eigh linalg.eigvalsh linalg.eig "
        "linalg.eigvals linalg.svdvals linalg.qr linalg.lstsq linalg.matrix_rank linalg.matrix_power linalg.multi_dot "
        "linalg.tensorinv linalg.matrix_norm linalg.vector_norm linalg.vecdot linalg.cross linalg.diagonal linalg.matmul "
        "fft.fft fft.fft2 fft.fftn fft.fftshift fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.ihfft fft.irfft "
        "fft.irfft2 fft.irfftn fft.rfft fft.rfft2 fft.rfftn"
    ).split()
)
PLACED: Final = frozenset(("k", "reps", "shape", "source", "destination"))

_COMPOSED: Final[dict[str, Callable[..., Any]]] = {}
_RENAMED: Final = {"around": "round"}


def known(name: str) -> str | Callable[..., Any] | None:
    """What answers NumPy's function of that name: a function in its spelling, an operation's name, None."""
    if name in _COMPOSED:
        return _COMPOSED[name]
    return _RENAMED.get(name, name.rpartition(".")[2]) if name in SAME else None


def answers(*names: str) -> Callable[[C], C]:
    """Let the decorated function answer NumPy's functions of these names, its own by default."""

    def note(f: C) -> C:
        for name in names or (f.__name__.strip("_"),):
            _COMPOSED[name] = f
        return f

    return note


def _axes(axis: Any, x: Any) -> tuple[int, ...]:
    """The axes to reduce over; unlike torch, NumPy reduces over none for ()."""
    return () if axis == () else arguments.axes(axis, x.ndim)


def flat(x: Any, axis: Any) -> tuple[Any, int]:
    """`x` and the axis to go along: of the flattened `x` for None."""
    return (x.reshape(-1), 0) if axis is None else (x, axis)


# -- reductions -------------------------------------------------------------------------------------------------------


def _masked(x: Any, where: Any, neutral: Any) -> Any:
    return x if where is True else op.where(where, x, neutral)


@answers()
def sum_(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    a, axes = _masked(a, where, 0), _axes(axis, a)
    result = a.sum(axes, keepdim=keepdims, dtype=dtype) if axes or not a.ndim else arguments.converted(a, dtype, "sum")
    return result if initial is None else result + initial


@answers()
def prod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    a = _masked(a, where, 1)
    if axis is None and not keepdims:
        a = a.prod(dtype=dtype)
    else:
        for each in sorted(_axes(axis, a), reverse=True):
            a = a.prod(each, keepdim=keepdims, dtype=dtype)
    return a if initial is None else a * initial


@answers()
def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    if dtype is None and not (a.is_floating_point() or a.is_complex()):
        a = a.double()  # as NumPy
    if where is True:
        return a.mean(_axes(axis, a), keepdim=keepdims, dtype=dtype)
    count = sum_(where.expand(a.shape), axis, keepdims=keepdims)
    return sum_(a, axis, dtype, keepdims, where=where) / count


def _extreme(name: str, bound: str, doc: str) -> Callable[..., Any]:
    def extreme(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
        if where is not True and initial is None:
            raise ValueError(f"reduction operation '{bound}' does not have an identity, so to use a where mask one has to "
                             "specify 'initial'")
        result = getattr(_masked(a, where, initial), name)(_axes(axis, a), keepdim=keepdims)
        return result if initial is None else result.clamp(**{doc: initial})

    return extreme


_COMPOSED["max"] = _COMPOSED["amax"] = _extreme("amax", "maximum", "min")
_COMPOSED["min"] = _COMPOSED["amin"] = _extreme("amin", "minimum", "max")


@answers()
def ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return a.amax(_axes(axis, a), keepdim=keepdims) - a.amin(_axes(axis, a), keepdim=keepdims)


@answers()
def var(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: float = 0
) -> Any:
    a = arguments.converted(a, dtype, "var")
    a = a if a.is_floating_point() or a.is_complex() else a.double()
    return a.var(_axes(axis, a), correction=ddof or correction, keepdim=keepdims)


@answers()
def std(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: float = 0
) -> Any:
    a = arguments.converted(a, dtype, "std")
    a = a if a.is_floating_point() or a.is_complex() else a.double()
    return a.std(_axes(axis, a), correction=ddof or correction, keepdim=keepdims)


@answers()
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    if weights is None:
        weights = op.ones_like(a)
    elif weights.ndim != a.ndim and axis is not None:
        shape = [1] * a.ndim
        shape[index(axis)] = -1
        weights = weights.reshape(shape)
    total = sum_(weights.expand(a.shape), axis, keepdims=keepdims)
    result = sum_(a * weights, axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def joined_axes(a: Any, axis: Any) -> tuple[Any, int, list[int]]:
    """`a` with some axes made one, the last; that axis; the shape with those axes of length 1."""
    axes = arguments.axes(axis, a.ndim)
    rest = [i for i in range(a.ndim) if i not in axes]
    joined = a.permute((*rest, *axes)).reshape((*(a.shape[i] for i in rest), -1))
    return joined, -1, [1 if i in axes else n for i, n in enumerate(a.shape)]


def _quantile(name: str, scale: float) -> Callable[..., Any]:
    def quantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
        q = op.as_tensor(q, dtype=a.dtype, device=a.device) / scale
        if isinstance(axis, (tuple, list)):
            a, axis, kept = joined_axes(a, axis)
            made = getattr(op, name)(a, q, -1, interpolation=method)
            return made.reshape((*q.shape, *kept)) if keepdims else made
        return getattr(op, name)(a, q, axis, keepdim=keepdims, interpolation=method)

    return quantile


_COMPOSED["quantile"], _COMPOSED["percentile"] = _quantile("quantile", 1), _quantile("quantile", 100)
_COMPOSED["nanquantile"], _COMPOSED["nanpercentile"] = _quantile("nanquantile", 1), _quantile("nanquantile", 100)


@answers()
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _COMPOSED["quantile"](a, 0.5, axis, keepdims=keepdims)


@answers()
def nanmedian(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _COMPOSED["nanquantile"](a, 0.5, axis, keepdims=keepdims)


@answers()
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return a.diagonal(offset, axis1, axis2).sum(-1, dtype=dtype)


# -- along an axis ----------------------------------------------------------------------------------------------------


@answers()
def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    a, axis = flat(a, axis)
    return a.cumsum(axis, dtype=dtype)


@answers()
def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    a, axis = flat(a, axis)
    return a.cumprod(axis, dtype=dtype)


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


@answers("sort", "partition")
def sort(a: Any, kth: Any = None, axis: Any = -1) -> Any:
    a, axis = flat(a, axis)
    return op.sort(a, dim=axis, stable=True)[0]


@answers("argsort", "argpartition")
def argsort(a: Any, axis: Any = -1, kth: Any = None) -> Any:
    a, axis = flat(a, axis)
    return op.sort(a, dim=axis, stable=True)[1]


@answers()
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    edge = list(a.shape)
    edge[axis] = 1
    prepend, append = (x.expand(edge) if x is not None and not x.ndim else x for x in (prepend, append))
    return op.diff(a, n, axis, prepend, append)


@answers()
def ediff1d(ary: Any) -> Any:
    return op.diff(ary.reshape(-1))


@answers()
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    return op.trapezoid(y, dx=dx, dim=axis) if x is None else op.trapezoid(y, x, dim=axis)


@answers()
def take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    a, axis = flat(a, axis)
    axis = arguments.axis(axis, a.ndim)
    n = a.shape[axis]
    indices = indices % n if mode == "wrap" else indices.clamp(0, n - 1) if mode == "clip" else indices
    return a[(*(builtins.slice(None),) * axis, indices)]


@answers()
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, axis = flat(arr, axis)
    return op.take_along_dim(arr, indices, axis)


@answers()
def compress(condition: Any, a: Any, axis: Any = None) -> Any:
    a, axis = flat(a, axis)
    return take(a, condition.nonzero().reshape(-1), axis)


@answers()
def extract(condition: Any, arr: Any) -> Any:
    return arr.reshape(-1)[condition.reshape(-1) != 0]


@answers()
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a, axis = flat(a, axis)
    return op.repeat_interleave(a, op.tensor(repeats) if isinstance(repeats, (list, tuple)) else repeats, axis)


@answers()
def flip(m: Any, axis: Any = None) -> Any:
    return m.flip(_axes(axis, m))


@answers()
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return op.roll(a, shift) if axis is None else op.roll(a, shift, axis)


@answers()
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    return op.rot90(m, k, axes)


@answers()
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **keywords: Any) -> Any:
    rows = arr.movedim(axis, -1)
    kept, at = rows.shape[:-1], arguments.axis(axis, arr.ndim)
    made = [op.as_tensor(func1d(row, *args, **keywords)) for row in rows.reshape(-1, rows.shape[-1]).unbind(0)]
    whole = op.stack(made)
    whole = whole.reshape((*kept, *whole.shape[1:]))
    own = range(len(kept), whole.ndim)
    return whole.permute((*range(at), *own, *range(at, len(kept))))
