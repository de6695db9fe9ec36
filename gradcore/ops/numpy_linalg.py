"""NumPy's products and linear algebra, composed of operations in NumPy's spelling. It must not know how NumPy calls, nor
any derivative."""

from __future__ import annotations

from typing import Any

from gradcore import dtypes
from gradcore.ops.numpy_functions import answers, functional, linalg, op, trace
from gradcore.ops.numpy_shapes import host

# -- products ---------------------------------------------------------------------------------------------------------


@answers()
def dot(a: Any, b: Any) -> Any:
    if not a.ndim or not b.ndim:
        return a * b
    return op.tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


@answers()
def vdot(a: Any, b: Any) -> Any:
    return op.vdot(a.reshape(-1), b.reshape(-1))


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


@answers("linalg.lstsq")
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    dtype = dtypes.promote_types(a.dtype, b.dtype)
    a, b = a.to(dtype), b.to(dtype)
    found = linalg.lstsq(a, b if b.ndim > 1 else b.unsqueeze(-1), rcond=rcond)
    x = found.solution if b.ndim > 1 else found.solution.squeeze(-1)
    m, n = a.shape
    values = linalg.svdvals(a)
    cut = values.detach()[0] * (dtypes.finfo(dtype).eps * max(m, n) if rcond is None else rcond)
    rank = int((values.detach() > cut).sum())
    left = b - a @ x
    residuals = (left * left.conj()).real.sum(0).reshape(-1) if rank == n and m > n else x.real.new_zeros(0)
    return x, residuals, rank, values


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
