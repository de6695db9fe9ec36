"""torch.linalg: factorisations. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.backends import of
from gradcore.ops.filling import empty, eye
from gradcore.ops.linalg import adjoint, attempt, check, check_floating, check_matrices, info_of
from gradcore.ops.registry import label, op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import factorizations as f
from gradcore.primitives import products
from gradcore.primitives import shape as s
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.joining import concatenate
from gradcore.primitives.linalg import LinAlgError
from gradcore.primitives.selection import where

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_INDEFINITE = (
    "The factorization could not be completed because the input is not positive-definite (the leading minor "
    "of order {} is not positive-definite)."
)
_DIVERGED = (
    "The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated "
    "eigenvalues (error code: {})."
)
_NOT_FINITE = "The algorithm failed to converge because the input matrix contained non-finite values."


# -- factorisations ----------------------------------------------------------------------------------------


def _cholesky(A: Tensor, upper: bool, name: str) -> Tensor:
    return attempt(name, _INDEFINITE, f.cholesky, A, upper=upper)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """Return the lower (or upper) triangular factor of positive-definite matrices, A = L L^H (or U^H U).

    Only that triangle of `A` is read. Raises LinAlgError for a matrix that is not positive-definite.
    """
    check(A, "linalg.cholesky")
    return _cholesky(A, upper, "linalg.cholesky")


_CholeskyEx = return_type("linalg_cholesky_ex", "L", "info")


@op(namespace="linalg", method=False, out=True)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Named:
    """Factorise as `linalg.cholesky`; `info` is not 0, and the factor NaN, for a matrix that has none."""
    check(A, "linalg.cholesky")
    try:
        return _CholeskyEx((_cholesky(A, upper, "linalg.cholesky_ex"), info_of(A)))
    except LinAlgError as failure:
        if check_errors:
            raise
        info = info_of(A, failure)
    failed = s.reshape(c.not_equal(info, 0), shape=(*info._array.shape, 1, 1))
    one = eye(A._array.shape[-1], dtype=A.dtype, device=A.device)
    made = where(failed, float("nan"), _cholesky(where(failed, one, A), upper, "linalg.cholesky_ex"))
    return _CholeskyEx((made, info))


@op(out=True)
def cholesky_(input: Tensor, upper: bool = False) -> Tensor:
    """Return the triangular factor of positive-definite matrices: `linalg.cholesky`."""
    check_matrices(input, "cholesky")
    check_floating(input, "cholesky")
    made = _cholesky(input, upper, "cholesky")
    label(made, "CholeskyBackward0", (input,))
    return made


_Eigh = return_type("linalg_eigh", "eigenvalues", "eigenvectors")


def _eigh(A: Tensor, UPLO: str) -> tuple[Tensor, Tensor]:
    check(A, "linalg.eigh")
    if str(UPLO).upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return attempt("linalg.eigh", _DIVERGED, f.eigh, adjoint(A) if UPLO in "Uu" else A)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def eigh(A: Tensor, UPLO: str = "L") -> Named:
    """Return the eigenvalues, ascending, and eigenvectors of hermitian matrices; a triangle of `A` is read."""
    return _Eigh(_eigh(A, UPLO))


@op(namespace="linalg", method=False, out=True)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues, ascending, of hermitian matrices; one triangle of `A` is read."""
    return _eigh(A, UPLO)[0]


_Eig = return_type("linalg_eig", "eigenvalues", "eigenvectors")


def _eig(A: Tensor) -> tuple[Tensor, Tensor]:
    check(A, "linalg.eig")
    F = of(A._array)
    if not hasattr(F, "interpreter") and not bool(F.isfinite(A._array).all()):  # of a batch, LAPACK's caller looks
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return attempt("linalg.eig", _DIVERGED, f.eig, A)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def eig(A: Tensor) -> Named:
    """Return the eigenvalues and eigenvectors of square matrices, which are complex."""
    return _Eig(_eig(A))


@op(namespace="linalg", method=False, out=True)
def eigvals(A: Tensor) -> Tensor:
    """Return the eigenvalues of square matrices, which are complex."""
    return _eig(A)[0]


_Svd = return_type("linalg_svd", "U", "S", "Vh")


def _svd(A: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    check(A, "linalg.svd", square=False)
    return attempt("linalg.svd", _NOT_FINITE, f.svd, A, full=full)  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Named:
    """Return U, S, Vh with A = U diag(S) Vh; without `full_matrices` U and Vh are cut to the length of S."""
    return _Svd(_svd(A, full_matrices))


@op(namespace="linalg", method=False, out=True)
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Return the singular values in descending order."""
    return _svd(A, False)[1]


_Qr = return_type("linalg_qr", "Q", "R")


@op(namespace="linalg", method=False, out=True)
def qr(A: Tensor, mode: str = "reduced") -> Named:
    """Return Q with orthonormal columns and upper triangular R with A = Q R.

    `mode` "complete" makes Q square, which has no derivative for more rows than columns; "r" leaves it out.
    """
    check(A, "linalg.qr", square=False)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    rows, columns = A._array.shape[-2:]
    if rows < columns:  # Q is that of the first columns, and R what Q makes of the others too
        q, r = f.qr(basic_getitem(A, index=(..., slice(rows))), mode="reduced")
        rest = products.matmul(adjoint(q), basic_getitem(A, index=(..., slice(rows, None))))
        r = concatenate(r, rest, axis=A._array.ndim - 1)
        label(r, "LinalgQrBackward0")
    else:
        q, r = f.qr(A, mode="complete" if mode == "complete" else "reduced")
    return _Qr((empty(0, dtype=A.dtype, device=A.device) if mode == "r" else q, r))


# -- torch.svd and torch.qr ------------------------------------------------------------------------------------

_OldSvd = return_type("svd", "U", "S", "V")
_OldQr = return_type("qr", "Q", "R")


@op(out=True)
def svd_(input: Tensor, some: bool = True, compute_uv: bool = True) -> Named:
    """Return U, S, V with A = U diag(S) V^H; without `compute_uv` U and V are zeros. `linalg.svd` has V^H."""
    u, values, vh = _svd(input, not some or not compute_uv)
    v = adjoint(vh)
    label(v, "TransposeBackward0")
    return _OldSvd((u, values, v) if compute_uv else (e.zero(u.detach()), values, e.zero(v.detach())))


@op(out=True)
def qr_(input: Tensor, some: bool = True) -> Named:
    """Return Q and R with A = Q R: `linalg.qr`, in mode "complete" if not `some`."""
    return _OldQr(qr(input, "reduced" if some else "complete"))
