"""torch.linalg: pseudoinverses, least squares, rank and condition. It must not know any derivative."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.extrema import amax, amin
from gradcore.ops.factorizations import eigvalsh, svdvals
from gradcore.ops.filling import empty
from gradcore.ops.linalg import attempt, check, check_matrices, inv_ex
from gradcore.ops.norms import matrix_norm
from gradcore.ops.products import matmul
from gradcore.ops.reductions import sum
from gradcore.ops.registry import label, op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import factorizations as f
from gradcore.primitives import shape as s
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.selection import where
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_NOT_FINITE = "The algorithm failed to converge because the input matrix contained non-finite values."


def _tolerances(A: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """torch's: 0 and eps times the longer side, where the other one is not given; numbers or one for each matrix."""
    default = dtypes.finfo(dtypes.of(A._array.dtype)).eps * max(A._array.shape[-2:])
    raw_atol, raw_rtol = (x._array[..., None] if isinstance(x, Value) else x for x in (atol, rtol))
    if raw_rtol is None:
        raw_rtol = default if raw_atol is None else default * (raw_atol <= 0)
    return 0.0 if raw_atol is None else raw_atol, raw_rtol


@op(namespace="linalg", method=False, out=True)
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """Return the pseudoinverse; singular values up to `atol` or `rtol` times the largest count as 0."""
    need_tensor(A, "linalg.pinv", "A")
    dtype = dtypes.of(A._array.dtype)
    if A._array.ndim < 2 or not (dtype.is_floating_point or dtype.is_complex) or dtype.itemsize == 2:
        raise RuntimeError(
            f"linalg.pinv({dtype._title}{{{list(A._array.shape)}}}): expected a tensor with 2 or more dimensions of "
            "float, double, cfloat or cdouble types"
        )
    if hermitian:
        check_matrices(A, "linalg.pinv")
    low, relative = _tolerances(A, atol, rcond if rtol is None else rtol)
    return attempt(  # type: ignore[no-any-return]
        "linalg.svd", _NOT_FINITE, f.pinv, A, atol=low, rtol=relative, hermitian=hermitian
    )


@op()
def pinverse(input: Tensor, rcond: Any = 1e-15) -> Tensor:
    """Return the pseudoinverse: `linalg.pinv`."""
    return pinv(input, rcond)


@op(namespace="linalg", method=False, out=True)
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """Return how many singular values are above `atol` and `rtol` times the largest; `tol` is an old name of `atol`."""
    check_matrices(A, "torch.linalg.matrix_rank", square=False, letter="input")
    if A._array.dtype.kind in "biu":
        raise RuntimeError(f"torch.linalg.matrix_rank: integers have no tolerance. Got {A.dtype}; convert it by .float()")
    if not A._array.size:
        return wrap(of(A._array).zeros(A._array.shape[:-2], "int64"))  # type: ignore[no-any-return]
    low, relative = _tolerances(A, atol, rtol) if tol is None else _tolerances(A, tol, 0.0)
    sizes = e.absolute(eigvalsh(A)) if hermitian else svdvals(A)
    F, raw = of(A._array), sizes._array
    kept = raw > F.maximum(low, relative * F.max(raw, -1, keepdims=True))
    return wrap(F.as_array(F.sum(F.astype(kept, "int64"), -1)))  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True)
def cond(A: Tensor, p: Any = None) -> Tensor:
    """Return the condition number in the norm `p`, which is any of `matrix_norm`'s; None means 2."""
    check(A, "linalg.cond", square=False)
    if not A._array.size and p != "nuc":
        return sum(e.absolute(A), (-2, -1))
    if p is None or p in (2, -2):
        values = svdvals(A)
        largest, smallest = amax(values, -1), amin(values, -1)
        made = e.divide(*((smallest, largest) if p == -2 else (largest, smallest)))
        label(made, "SqueezeBackward1", (A,))
        return made  # type: ignore[no-any-return]
    check_matrices(A, f"linalg.cond(ord={p})")
    made = e.multiply(matrix_norm(A, p), matrix_norm(inv_ex(A)[0], p))
    if p != "nuc":  # 0 times infinity
        made = where(c.isnan(made), inf, made)
        label(made, "NanToNumBackward0", (A,))
    return made  # type: ignore[no-any-return]


_Lstsq = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


@op(namespace="linalg", method=False, out=True)
def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> Named:
    """Return X that makes A X - B least, the squared residuals, the rank and the singular values of A.

    As in torch the drivers differ in what they return: "gelsy" (the default) no residuals, "gels" no rank, and only
    "gelsd" and "gelss" singular values. Residuals are there if `A` has full rank and more rows than columns.
    """
    name = "torch.linalg.lstsq"
    need_tensor(A, name)
    need_tensor(B, name, "other")
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    if A._array.dtype != B._array.dtype:
        have, other = (dtypes.of(x._array.dtype)._title for x in (A, B))
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype {have} and other's "
            f"dtype {other}"
        )
    vector = B._array.ndim == 1 or B._array.shape == A._array.shape[:-1]
    if vector:
        B = s.reshape(B, shape=(*B._array.shape, 1))
    rows, columns = A._array.shape[-2:]
    if rows != B._array.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-{1 if vector else 2})")
    X = matmul(pinv(A, rcond), B)
    rank = matrix_rank(A, rtol=rcond)
    if driver not in (None, "gelsy") and rows > columns and (rank == columns).all():
        missed = e.absolute(e.subtract(matmul(A, X), B))
        residuals = sum(e.multiply(missed, missed), -2)
    else:
        residuals = s.reshape(basic_getitem(e.absolute(X), index=(..., slice(0), slice(None))), shape=(0,))
    if vector:
        X = s.reshape(X, shape=X._array.shape[:-1])
    label((X, residuals), "LinalgLstsqBackward0", (A, B))
    if driver == "gels":
        rank = empty(0, dtype=rank.dtype, device=B.device)
    values = svdvals(A).detach() if driver in ("gelsd", "gelss") else empty(0, dtype=residuals.dtype, device=B.device)
    return _Lstsq((X, residuals, rank, values))
