"""Gaussian elimination of batches of matrices, with its derivative. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _swapped(F: Any, k: int, p: Array, m: int) -> Array:
    """The numbers 0 to m - 1 with `k` and `p` exchanged, for each of the batch `p`."""
    order, p = F.arange(m), F.as_array(p)[..., None]
    return F.where(order == k, p, F.where(order == p, k, order))


def _permutation(F: Any, rows: Array, dtype: Any) -> Array:
    """The matrices with ones at (rows[j], j)."""
    return F.astype(rows[..., None, :] == F.arange(rows.shape[-1])[:, None], dtype)


@primitive("general", outputs=("permutation", "pivots"), constant=("permutation", "pivots"))
def pivoting(F: Any, x: Array) -> tuple[Array, Array]:
    """The permutation p that makes p^T x fit for elimination, as matrices and as LAPACK's numbers."""
    _, pivots, rows = F.eliminate(x, True)
    return _permutation(F, rows, x.dtype), pivots + 1


@primitive("general", outputs=("permutation",), constant=("permutation",))
def permutation_of(F: Any, pivots: Array, *, size: int, dtype: Any) -> Array:
    """The permutation, as matrices, that LAPACK's numbers `pivots` stand for."""
    rows = F.copy(F.broadcast_to(F.arange(size), (*pivots.shape[:-1], size)))
    for k in range(pivots.shape[-1]):
        rows = F.take_along_axis(rows, _swapped(F, k, pivots[..., k] - 1, size), -1)
    return _permutation(F, rows, dtype)


def _lu_pull(F: Any, g: Any, lower: Array, upper: Array) -> Array:
    g_lower, g_upper = g
    inner: Any = 0
    if g_lower is not None:
        inner = F.tril(F.matmul(F.matrix_transpose(lower), g_lower), k=-1)
    if g_upper is not None:
        inner = inner + F.triu(F.matmul(g_upper, F.matrix_transpose(upper)), k=0)
    left, right = F.inv(lower, checked=False), F.inv(upper, checked=False)
    return F.matmul(F.matmul(F.matrix_transpose(left), inner), F.matrix_transpose(right))


@primitive("general", x=_lu_pull, outputs=("lower", "upper"), partial=True, node="LinalgLu")
def lu(F: Any, x: Array) -> tuple[Array, Array]:
    """The triangular factors of square matrices whose rows are in the right order; the lower has ones on its diagonal."""
    factors, _, _ = F.eliminate(x, False)
    return F.tril(factors, -1) + F.eye(x.shape[-1], dtype=x.dtype), F.triu(factors)


@primitive("general", outputs=("factors", "pivots", "info"), constant=("factors", "pivots", "info"))
def ldl(F: Any, x: Array, *, hermitian: bool) -> tuple[Array, Array, Array]:
    """Bunch and Kaufman's factors of symmetric or hermitian matrices, the pivots, and the first zero on the diagonal."""
    return F.ldl(x, hermitian)  # type: ignore[no-any-return]


@primitive("general")
def ldl_solve(F: Any, factors: Array, pivots: Array, y: Array, *, hermitian: bool) -> Array:
    """What the matrix that `ldl` factorised makes `y`."""
    return F.ldl_solve(factors, pivots, y, hermitian)
