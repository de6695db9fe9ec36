"""Singular values and principal components of low rank, by random projections. It must not know any derivative.

After N. Halko, P.-G. Martinsson and J. Tropp, Finding structure with randomness, SIAM Review 53 (2011), algorithms 4.4
and 5.1, which are torch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.factorizations import qr, svd
from gradcore.ops.linalg import adjoint
from gradcore.ops.products import matmul
from gradcore.ops.reductions import mean
from gradcore.ops.registry import op
from gradcore.ops.sampling import randn
from gradcore.primitives import elementwise as e

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _range_of(A: Any, q: int, rounds: int) -> Any:
    """A matrix whose `q` orthonormal columns span about what `A` maps to."""
    R = randn(A.shape[-1], q, dtype=A.dtype, device=A.device)
    Q = qr(matmul(A, R))[0]
    for _ in range(rounds):
        Q = qr(matmul(adjoint(A), Q))[0]
        Q = qr(matmul(A, Q))[0]
    return Q


@op(method=False)
def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return U, S and V of about the `q` largest singular values of `A`, or of A - M; random, but for matrices of rank q."""
    need_tensor(A, "svd_lowrank", "A")
    if M is not None:
        A = e.subtract(A, M)
    return _lowrank(A, 6 if q is None else q, 2 if niter is None else niter)


def _lowrank(A: Any, q: int, rounds: int) -> tuple[Any, ...]:
    rows, columns = A.shape[-2:]
    wide = rows < columns  # project the shorter side
    B = adjoint(A) if wide else A
    Q = _range_of(B, q, rounds)
    U, S, Vh = svd(matmul(adjoint(Q), B), full_matrices=False)
    left, right = matmul(Q, U), adjoint(Vh)
    return (right, S, left) if wide else (left, S, right)


@op(method=False)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, ...]:
    """Return U, S and V of about the `q` largest principal components of the rows of `A`, centred if `center`.

    Raises ValueError for a `q` below 0 or above a side of `A`, and for a negative `niter`.
    """
    need_tensor(A, "pca_lowrank", "A")
    rows, columns = A.shape[-2:]
    q = min(6, rows, columns) if q is None else q
    if not 0 <= q <= min(rows, columns):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(rows, columns)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return _lowrank(e.subtract(A, mean(A, -2, keepdim=True)) if center else A, q, niter)
