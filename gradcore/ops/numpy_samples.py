"""NumPy's functions of samples, signals and polynomials, composed of operations in NumPy's spelling. It must not know how
NumPy calls, nor any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.numpy_functions import answers, known, linalg, op
from gradcore.ops.numpy_linalg import convolve, lstsq
from gradcore.ops.numpy_shapes import host, linspace
from gradcore.recorder.value import Value

# -- samples and signals ----------------------------------------------------------------------------------------------


def _variables(m: Any, y: Any, rowvar: bool) -> Any:
    given = [op.atleast_2d(x) for x in (m, y) if x is not None]
    given = [x.mT if not rowvar and x.shape[0] != 1 else x for x in given]
    return op.cat(given, 0) if len(given) > 1 else given[0]


@answers()
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    correction = int(not bias) if ddof is None else ddof
    return op.cov(_variables(m, y, rowvar), correction=correction, fweights=fweights, aweights=aweights)


@answers()
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    return op.corrcoef(_variables(x, y, rowvar))


@answers()
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = arguments.axes(axis, f.ndim)
    spacing: list[Any] = [host(x) if isinstance(x, Value) and not x._array.ndim and x._node is None else x for x in varargs]
    spacing = (spacing or [1.0]) * (len(axes) if len(spacing) < 2 else 1)
    if any(isinstance(x, (list, tuple, Value)) for x in spacing):  # coordinates, along some axes at least
        spacing = [x.to(f.dtype) if getattr(x, "ndim", 0) else
                   op.tensor(x, dtype=f.dtype, device=f.device) if isinstance(x, (list, tuple)) else
                   op.arange(f.shape[at], dtype=f.dtype, device=f.device) * x
                   for x, at in zip(spacing, axes, strict=True)]
    slopes = op.gradient(f, spacing=spacing, dim=axes, edge_order=edge_order)
    return slopes[0] if len(axes) == 1 else tuple(slopes)



@answers()
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    xp = xp.to(x.dtype) if x.is_floating_point() else xp
    i = op.searchsorted(xp.detach(), x.detach(), side="right").clamp(1, xp.shape[0] - 1)
    x0, x1, y0, y1 = xp[i - 1], xp[i], fp[i - 1], fp[i]
    line = y0 + (x - x0) * (y1 - y0) / (x1 - x0)
    line = op.where(x < xp[0], fp[0] if left is None else left, line)
    return op.where(x > xp[-1], fp[-1] if right is None else right, line)


@answers()
def unwrap(p: Any, discont: Any = None, axis: int = -1, period: float = 6.283185307179586) -> Any:
    steps = op.diff(p.detach(), dim=axis)
    half = period / 2
    folded = (steps + half) % period - half
    folded = op.where((folded == -half) & (steps > 0), half, folded)
    jumps = op.where(steps.abs() < (half if discont is None else discont), 0.0, folded - steps)
    zero = op.zeros_like(p.detach().narrow(axis, 0, 1))
    return p + op.cat([zero, jumps.cumsum(axis)], axis)


@answers()
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    if weights is None:
        return op.bincount(x, minlength=minlength)
    n = max(int(x.max()) + 1 if x.shape[0] else 0, minlength)
    weights = weights.double()  # as NumPy
    return weights.new_zeros(n).index_add(0, x, weights)


@answers()
def histogram(a: Any, bins: Any = 10, range: Any = None, density: bool = False, weights: Any = None) -> Any:
    a = a.reshape(-1)
    edges = histogram_bin_edges(a, bins, range)
    at = op.searchsorted(edges.detach(), a.detach().to(edges.dtype), side="right") - 1
    at = op.where(a.detach() == edges.detach()[-1], edges.shape[0] - 2, at)
    inside = (at >= 0) & (at < edges.shape[0] - 1)
    values = op.ones_like(at) if weights is None else weights.reshape(-1)
    counts = values.new_zeros(edges.shape[0] - 1).index_add(0, at[inside], values[inside])
    return (counts / op.diff(edges) / counts.sum() if density else counts), edges


@answers()
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None) -> Any:
    if isinstance(bins, str):
        raise TypeError(f"np.histogram(): bins='{bins}' is not supported on tensors; give their number or edges")
    if not isinstance(bins, int) and bins.ndim:
        return bins
    if a.is_complex():
        raise TypeError("np.histogram(): complex numbers have no order")
    a = a if a.is_floating_point() else a.double()
    low, high = (a.min(), a.max()) if range is None else (op.as_tensor(x, dtype=a.dtype) for x in range)
    if host(low.detach()) == host(high.detach()):
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, int(bins) + 1)


# -- without the nans -------------------------------------------------------------------------------------------------


def _without_nan(name: str, neutral: float) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        missing = a.isnan()
        axes = arguments.axes(axis, a.ndim)
        made = getattr(op.where(missing, neutral, a), name)(axes, keepdim=keepdims)
        return op.where(missing.all(axes, keepdim=keepdims), float("nan"), made)

    return reduce


answers("nanmax")(_without_nan("amax", -float("inf")))
answers("nanmin")(_without_nan("amin", float("inf")))


def _place_without_nan(name: str, neutral: float) -> Callable[..., Any]:
    def place(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return getattr(op.where(a.isnan(), neutral, a), name)(axis, keepdim=keepdims)

    return place


answers("nanargmax")(_place_without_nan("argmax", -float("inf")))
answers("nanargmin")(_place_without_nan("argmin", float("inf")))


def _as_neutral(name: str, neutral: float) -> Callable[..., Any]:
    def function(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        answer: Any = known(name)
        return answer(op.where(a.isnan(), neutral, a), axis, dtype, *((keepdims,) if keepdims else ()))

    return function


answers("nanprod")(_as_neutral("prod", 1.0))
answers("nancumsum")(_as_neutral("cumsum", 0.0))
answers("nancumprod")(_as_neutral("cumprod", 1.0))


@answers()
def nanvar(a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    missing, axes = a.isnan(), arguments.axes(axis, a.ndim)
    count = (~missing).sum(axes, keepdim=True)
    a = op.where(missing, 0.0, a)
    off = op.where(missing, 0.0, a - a.sum(axes, keepdim=True) / count)
    made = (off * off.conj()).real.sum(axes, keepdim=True) if a.is_complex() else (off * off).sum(axes, keepdim=True)
    made = made / op.where(count > ddof, count - ddof, float("nan"))
    return made if keepdims else made.reshape([n for i, n in enumerate(made.shape) if i not in axes])


@answers()
def nanstd(a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    return nanvar(a, axis, ddof, keepdims).sqrt()


# -- polynomials, the highest power's coefficient first ---------------------------------------------------------------


@answers()
def polyval(p: Any, x: Any) -> Any:
    y = op.zeros_like(x)
    for each in p.unbind(0):
        y = y * x + each
    return y


@answers()
def polyfit(x: Any, y: Any, deg: Any, w: Any = None) -> Any:
    powers = linalg.vander(x.to(y.dtype), N=int(deg) + 1).flip(-1)
    if w is not None:
        powers, y = powers * w.unsqueeze(-1), y * (w if y.ndim == 1 else w.unsqueeze(-1))
    scale = (powers * powers).sum(0).sqrt()
    found = lstsq(powers / scale, y)[0]
    return found / (scale if y.ndim == 1 else scale.unsqueeze(-1))


@answers()
def polyadd(a1: Any, a2: Any) -> Any:
    a1, a2 = op.atleast_1d(a1, a2)
    n = max(a1.shape[0], a2.shape[0])
    a1, a2 = (op.cat([x.new_zeros(n - x.shape[0]), x]) for x in (a1, a2))
    return a1 + a2


@answers()
def polysub(a1: Any, a2: Any) -> Any:
    return polyadd(a1, -a2)


@answers()
def polymul(a1: Any, a2: Any) -> Any:
    return convolve(*op.atleast_1d(a1, a2))


@answers()
def polyder(p: Any, m: int = 1) -> Any:
    for _ in range(m):
        p = p[:-1] * op.arange(p.shape[0] - 1, 0, -1, device=p.device) if p.shape[0] > 1 else p[:0]
    return p


@answers()
def polyint(p: Any, m: int = 1) -> Any:
    for _ in range(m):
        p = op.cat([p / op.arange(p.shape[0], 0, -1, device=p.device), p.new_zeros(1)])
    return p


@answers()
def poly(seq_of_zeros: Any) -> Any:
    zeros = linalg.eigvals(seq_of_zeros) if seq_of_zeros.ndim == 2 else seq_of_zeros
    p = zeros.new_ones(1)
    for each in zeros.unbind(0):
        p = op.cat([p, p.new_zeros(1)]) - op.cat([p.new_zeros(1), p * each])
    return p


@answers()
def roots(p: Any) -> Any:
    n = p.shape[0] - 1
    companion = op.cat([(-p[1:] / p[0]).unsqueeze(0), op.eye(n, dtype=p.dtype, device=p.device)[: n - 1]])
    return linalg.eigvals(companion)


# -- complex numbers --------------------------------------------------------------------------------------------------


@answers()
def angle(z: Any, deg: bool = False) -> Any:
    made = op.angle(z)
    return op.rad2deg(made) if deg else made


@answers()
def iscomplex(x: Any) -> Any:
    return x.imag != 0 if x.is_complex() else op.zeros_like(x, dtype=dtypes.bool)


@answers()
def fix(x: Any) -> Any:
    return x.trunc()


@answers()
def real_if_close(a: Any, tol: float = 100) -> Any:
    least = tol * dtypes.finfo(a.dtype).eps if tol > 1 and a.is_complex() else tol
    return a.real if a.is_complex() and bool((a.imag.detach().abs() < least).all()) else a
