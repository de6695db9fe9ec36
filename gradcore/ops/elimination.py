"""torch.linalg: LU factorisations and what they solve. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.graph.modes import is_grad_enabled
from gradcore.ops.arguments import need_tensor
from gradcore.ops.conversion import contiguous
from gradcore.ops.filling import empty
from gradcore.ops.linalg import adjoint, check_floating, check_matrices, solved
from gradcore.ops.products import matmul
from gradcore.ops.registry import label, op
from gradcore.ops.return_types import Named, return_type
from gradcore.ops.shaping import broadcast_shapes, expand_to
from gradcore.primitives import elementwise as e
from gradcore.primitives import elimination as p
from gradcore.primitives import shape as s
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.joining import concatenate
from gradcore.primitives.products import matrix_transpose
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_Lu = return_type("linalg_lu", "P", "L", "U")
_LuFactor = return_type("linalg_lu_factor", "LU", "pivots")
_LuFactorEx = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")


def _factors(A: Tensor, pivot: bool, name: str) -> tuple[Tensor | None, Any, Tensor, Tensor, Tensor | None]:
    """P, the pivots, square L and U of as many rows and columns as both have, and what is below L or beside U."""
    need_tensor(A, name, "A")
    if A._array.ndim < 2:
        shape = list(A._array.shape)
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {shape} instead")
    check_floating(A, name)
    rows, columns = A._array.shape[-2:]
    P, pivots = p.pivoting(A) if pivot else (None, None)
    ordered = A if P is None else matmul(matrix_transpose(P), A)
    k = min(rows, columns)
    L, U = p.lu(ordered if rows == columns else basic_getitem(ordered, index=(..., slice(k), slice(k))))
    rest = None
    if rows > columns:
        ones = of(A._array).eye(k, dtype=A._array.dtype) * (U._array == 0)  # a column without a pivot is not divided
        rest = solved(e.add(U, wrap(ones)), basic_getitem(ordered, index=(..., slice(k, None), slice(None))), False, name)
    elif columns > rows:
        rest = solved(L, basic_getitem(ordered, index=(..., slice(k, None))), True, name)
    return P, pivots, L, U, rest


def _extended(A: Tensor, square: Tensor, rest: Tensor | None, below: bool) -> Tensor:
    if rest is None or below is not (A._array.shape[-2] > A._array.shape[-1]):
        return square
    return concatenate(square, rest, axis=A._array.ndim - 2 + (not below))  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True, node="LinalgLu")
def lu(A: Tensor, *, pivot: bool = True) -> Named:
    """Factorise A = P L U: a permutation (empty without `pivot`), unit lower and upper triangular matrices."""
    P, _, L, U, rest = _factors(A, pivot, "linalg.lu")
    P = empty(0, dtype=A.dtype, device=A.device) if P is None else P
    return _Lu((P, _extended(A, L, rest, True), _extended(A, U, rest, False)))


@op(namespace="linalg", method=False, out=True)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Named:
    """Factorise as `lu`, in one matrix, with LAPACK's pivots; `info` is the first zero pivot (0: there is none)."""
    name = "torch.linalg.lu_factor_ex" if check_errors else "linalg.lu_factor"
    _, pivots, L, U, rest = _factors(A, pivot, name)
    both = e.add(s.tril(L, k=-1), U)
    LU = _extended(A, _extended(A, both, rest, True), rest, False)
    label(LU, "LinalgLuFactorExBackward0", (A,))
    F = of(A._array)
    k = L._array.shape[-1]
    if pivots is None:
        pivots = wrap(F.copy(F.broadcast_to(F.astype(F.arange(1, k + 1), "int32"), (*A._array.shape[:-2], k))))
    zero = F.diagonal(U._array, 0, -2, -1) == 0 if k else F.zeros((*A._array.shape[:-2], 1), "bool")
    first = (F.argmax(zero, -1) + 1) * F.any(zero, -1)
    info = wrap(F.as_array(F.astype(F.as_array(first), "int32")))
    if check_errors:
        _refuse_zeros(info, name)
    return _LuFactorEx((LU, pivots, info))


def _refuse_zeros(info: Tensor, name: str) -> None:
    each = info._array.reshape(-1).tolist()
    first = next((i for i, pivot in enumerate(each) if pivot), None)
    if first is not None:
        where, pivot = f" (Batch element {first}):" if info._array.ndim else "", each[first]
        raise RuntimeError(
            f"{name}:{where} U[{pivot},{pivot}] is zero and using it on lu_solve would result in a division by zero. If you "
            "still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )


@op(namespace="linalg", method=False, out=True)
def lu_factor(A: Tensor, *, pivot: bool = True) -> Named:
    """Factorise as `lu`, in one matrix, with LAPACK's pivots. Raises RuntimeError for a zero pivot."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    _refuse_zeros(info, "torch.linalg.lu_factor")
    return _LuFactor((LU, pivots))


@op(namespace="linalg", method=False, out=True, node="LinalgLuSolve")
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """Solve A X = B (X A = B if not `left`; with the conjugate transpose of A if `adjoint`) from `lu_factor`'s result."""
    name = "linalg.lu_solve"
    check_matrices(LU, name, letter="LU")
    check_matrices(B, name, square=False, letter="B")
    need_tensor(pivots, name, "pivots")
    if not left:
        return contiguous(_adjoint(lu_solve(LU, pivots, _adjoint(B), adjoint=not adjoint)))
    n = LU._array.shape[-1]
    P = p.permutation_of(pivots, size=n, dtype=LU._array.dtype)
    axes = (LU._array.ndim - 2, LU._array.ndim - 1)
    ones = s.diagonal_embed(
        e.add(s.diagonal(e.zero(LU), offset=0, axes=axes), 1), offset=0, axes=axes, shape=LU._array.shape
    )
    L, U = e.add(s.tril(LU, k=-1), ones), s.triu(LU, k=0)
    if adjoint:
        return matmul(P, solved(_adjoint(L), solved(_adjoint(U), B, True, name), True, name))
    return solved(U, solved(L, matmul(matrix_transpose(P), B), True, name), True, name)


_adjoint = adjoint


# -- symmetric matrices ----------------------------------------------------------------------------------------------

_Ldl = return_type("linalg_ldl_factor", "LD", "pivots")
_LdlEx = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")


def _refuse_gradients(name: str, *inputs: Tensor) -> None:
    if is_grad_enabled() and any(x.requires_grad for x in inputs):
        raise RuntimeError(f"derivative for aten::linalg_{name} is not implemented (call it with .detach() or no_grad)")


@op(namespace="linalg", method=False, out=True)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Named:
    """Factorise symmetric (`hermitian`) matrices as L D L^T by LAPACK's sytrf, of which `LD` and `pivots` are the form.

    Reads the lower triangle. `info` is the number of the first zero on D's diagonal, 0 if there is none. Without derivative:
    raises RuntimeError for a tensor that requires grad. Raises ImportError without SciPy.
    """
    check_matrices(A, "torch.linalg.ldl_factor_ex")
    check_floating(A, "torch.linalg.ldl_factor_ex")
    _refuse_gradients("ldl_factor_ex", A)
    made = p.ldl(A, hermitian=hermitian)
    if check_errors:
        _refuse_failure(made[2])
    return _LdlEx(made)


@op(namespace="linalg", method=False, out=True)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Named:
    """Factorise as `ldl_factor_ex`. Raises RuntimeError for a zero on D's diagonal."""
    LD, pivots, info = ldl_factor_ex(A, hermitian=hermitian)
    _refuse_failure(info)
    return _Ldl((LD, pivots))


def _refuse_failure(info: Tensor) -> None:
    code = next(filter(None, info._array.reshape(-1).tolist()), 0)
    if code:
        raise RuntimeError(f"torch.linalg.ldl_factor: error code {code}: D[{code},{code}] is zero (see ldl_factor_ex)")


@op(namespace="linalg", method=False, out=True)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """Solve A X = B from what `ldl_factor` made of A. Without derivative; raises as that does."""
    name = "torch.linalg.ldl_solve"
    check_matrices(LD, name, letter="LD")
    check_matrices(B, name, square=False, letter="B")
    need_tensor(pivots, name, "pivots")
    if LD._array.shape[-1] != B._array.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for torch.linalg.ldl_solve: each A matrix is {LD._array.shape[-2]} by "
            f"{LD._array.shape[-1]} but each b matrix is {B._array.shape[-2]} by {B._array.shape[-1]}"
        )
    _refuse_gradients("ldl_solve", LD, B)
    batch = broadcast_shapes(LD._array.shape[:-2], B._array.shape[:-2])
    n, k = B._array.shape[-2:]
    sizes = ((*batch, n, n), (*batch, n), (*batch, n, k))
    return p.ldl_solve(*map(expand_to, (LD, pivots, B), sizes), hermitian=hermitian)  # type: ignore[no-any-return]
