"""NumPy's products, linear algebra and signal functions, composed of operations in NumPy's spelling. It must not know
how NumPy calls, nor any derivative."""

from __future__ import annotations

from typing import Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.numpy_functions import answers, functional, linalg, op, trace
from gradcore.ops.numpy_shapes import host

# -- products ---------------------------------------------------------------------------------------------------------


@answers()
def dot(a: Any, b: Any) -> Any:
    if not a.ndim or not b.ndim:
        return a * b
    return op.tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


@answers("outer", "linalg.outer")
def outer(a: Any = None, b: Any = None, x1: Any = None, x2: Any = None) -> Any:
    a, b = (x1, x2) if a is None else (a, b)
    return a.reshape(-1, 1) * b.reshape(1, -1)


@answers()
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    axes = host(axes)
    if not isinstance(axes, int):
        axes = [[each] if isinstance(each, int) else list(each) for each in axes]
    return op.tensordot(a, b, axes)


@answers("linalg.tensordot")
def linalg_tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    return tensordot(x1, x2, axes)


@answers()
def einsum(*operands: Any) -> Any:
    return op.einsum(*operands)


@answers()
def cross(a: Any, b: Any, axis: int = -1) -> Any:
    return linalg.cross(*op.broadcast_tensors(a, b), dim=axis)


@answers()
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    return correlate(a, v.flip(0).conj(), mode) if a.shape[0] >= v.shape[0] else convolve(v, a, mode)


@answers()
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    if a.shape[0] < v.shape[0]:
        return correlate(v, a, mode).conj().flip(0)
    n = v.shape[0]
    before = {"full": n - 1, "same": n // 2, "valid": 0}[mode]
    after = {"full": n - 1, "same": (n - 1) // 2, "valid": 0}[mode]
    dtype = dtypes.promote_types(a.dtype, v.dtype)
    signal = functional.pad(a.to(dtype), (before, after))
    return signal.unfold(0, n, 1) @ v.to(dtype).conj()


# -- linear algebra ---------------------------------------------------------------------------------------------------


@answers("linalg.solve")
def solve(a: Any, b: Any) -> Any:
    if b.ndim == 1:  # and only then a vector
        return linalg.solve(a, b.unsqueeze(-1)).squeeze(-1)
    return linalg.solve(a, b.reshape((*(1,) * (a.ndim - b.ndim), *b.shape)))


@answers("linalg.svd")
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    return linalg.svd(a, full_matrices=full_matrices) if compute_uv else linalg.svdvals(a)


@answers("linalg.pinv")
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:
    return linalg.pinv(a, rtol=rcond if rtol is None else rtol, hermitian=hermitian)


@answers("linalg.cond")
def cond(x: Any, p: Any = None) -> Any:
    return linalg.cond(x, host(p))


@answers("linalg.tensorsolve")
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    return linalg.tensorsolve(a, b, axes)


@answers("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x: Any) -> Any:
    return x.mT


@answers("linalg.trace")
def linalg_trace(x: Any, offset: int = 0, dtype: Any = None) -> Any:
    return trace(x, offset, -2, -1, dtype)


@answers()
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    powers = linalg.vander(x, N=N)
    return powers if increasing else powers.flip(-1)


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
    spacing = [host(x) for x in varargs] or [1.0]
    spacing = spacing * len(axes) if len(spacing) == 1 else spacing
    if any(isinstance(x, (list, tuple)) for x in spacing):
        spacing = [op.tensor(x, dtype=f.dtype, device=f.device) if isinstance(x, (list, tuple)) else
                   op.arange(f.shape[at], dtype=f.dtype, device=f.device) * x
                   for x, at in zip(spacing, axes, strict=True)]
    slopes = op.gradient(f, spacing=spacing, dim=axes, edge_order=edge_order)
    return slopes[0] if len(axes) == 1 else tuple(slopes)


@answers()
def polyval(p: Any, x: Any) -> Any:
    y = op.zeros_like(x)
    for each in p.unbind(0):
        y = y * x + each
    return y


@answers()
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
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
