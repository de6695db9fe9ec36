"""Gaussian elimination of batches of matrices, with its derivative. It must not know Tensors.

LAPACK's own factorisation is not to be had from NumPy, so these loops run over the columns, for all matrices of a
batch at once.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _eliminate(F: Any, a: Array, k: int) -> None:
    """Make column `k` below the diagonal zero, and put the factors there instead."""
    pivot = a[..., k, k]
    a[..., k + 1 :, k] /= (pivot + (pivot == 0))[..., None]
    a[..., k + 1 :, k + 1 :] -= a[..., k + 1 :, k, None] * a[..., None, k, k + 1 :]


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
    m, a = x.shape[-2], F.copy(x)
    rows = F.copy(F.broadcast_to(F.arange(m), x.shape[:-1]))
    pivots = F.zeros((*x.shape[:-2], min(x.shape[-2:])), "int32")
    for k in range(pivots.shape[-1]):
        column = a[..., k:, k]
        size = F.absolute(F.real(column)) + F.absolute(F.imag(column)) if x.dtype.kind == "c" else F.absolute(column)
        p = F.argmax(size, -1) + k
        pivots[..., k] = p + 1
        order = _swapped(F, k, p, m)
        a = F.take_along_axis(a, F.broadcast_to(order[..., None], a.shape), -2)
        rows = F.take_along_axis(rows, order, -1)
        _eliminate(F, a, k)
    return _permutation(F, rows, x.dtype), pivots


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
    n, a = x.shape[-1], F.copy(x)
    for k in range(n - 1):
        _eliminate(F, a, k)
    return F.tril(a, -1) + F.eye(n, dtype=x.dtype), F.triu(a)
