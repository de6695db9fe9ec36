"""Products of Householder reflections, and torch's older names of LU. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.elimination import lu_factor_ex
from gradcore.ops.elimination import lu_solve as solved_by_lu
from gradcore.ops.filling import empty, eye
from gradcore.ops.linalg import adjoint, check_floating, check_matrices, solve_triangular
from gradcore.ops.out import put_out
from gradcore.ops.products import matmul
from gradcore.ops.registry import functions, label, op
from gradcore.ops.return_types import Named, return_type
from gradcore.ops.shaping import broadcast_shapes, expand_to
from gradcore.primitives import complex_parts
from gradcore.primitives import elementwise as e
from gradcore.primitives import elimination as p
from gradcore.primitives import shape as s
from gradcore.primitives.conversion import copy
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.products import matrix_transpose

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _reflected(A: Tensor, tau: Tensor, C: Tensor, turned: bool) -> Tensor:
    """H1 H2 ... C, or the adjoint of that product times C, for Hi = 1 - tau[i] v v^H with v in the column i of `A`."""
    m, count = A._array.shape[-2], tau._array.shape[-1]
    ones = eye(m, count, dtype=A.dtype, device=A.device)
    vectors = e.add(s.tril(basic_getitem(A, index=(..., slice(count))), k=-1), ones)
    for i in range(count) if turned else reversed(range(count)):
        v = basic_getitem(vectors, index=(..., slice(i, i + 1)))
        factor = basic_getitem(tau, index=(..., slice(i, i + 1), None))
        if turned and tau._array.dtype.kind == "c":
            factor = complex_parts.conj(factor)
        C = e.subtract(C, matmul(e.multiply(v, factor), matmul(adjoint(v), C)))
    return C


def _check(A: Any, tau: Any, name: str, *, tall: bool) -> None:
    check_matrices(A, name, square=False)
    check_floating(A, name)
    need_tensor(tau, name, "tau")
    rows, columns = A._array.shape[-2:]
    if tall and rows < columns:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tau._array.shape[-1] > columns:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")


@op("orgqr", out=True, node="LinalgHouseholderProduct")
def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """Return the first columns of H1 H2 ..., reflections 1 - tau v v^H whose `v` stand below the diagonal of `input`."""
    _check(input, tau, "torch.linalg.householder_product", tall=True)
    rows, columns = input._array.shape[-2:]
    start = e.add(e.zero(input), eye(rows, columns, dtype=input.dtype, device=input.device))
    return _reflected(input, tau, start, False)


functions["linalg"]["householder_product"] = functions[""]["orgqr"]


@op(out=True, node="Ormqr")
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """Multiply `input3` by the product of reflections (its adjoint if `transpose`), from the right if not `left`.

    `input` has their vectors below its diagonal, `input2` their factors.
    """
    _check(input, input2, "torch.ormqr", tall=False)
    other = e.add(input3, 0)
    if left:
        return _reflected(input, input2, other, transpose)
    return adjoint(_reflected(input, input2, adjoint(other), not transpose))


# -- torch.lu and its kin ------------------------------------------------------------------------------------

_LuWithInfo = return_type("_lu_with_info", "LU", "pivots", "info")
_LuUnpack = return_type("lu_unpack", "P", "L", "U")


@op()
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> tuple[Tensor, ...]:
    """Factorise as `linalg.lu_factor`; with `get_infos` also return the numbers of zero pivots.

    As torch's, it converts its results to the dtypes of `out`.
    """
    made = lu_factor_ex(A, pivot=pivot)
    results = _LuWithInfo(made) if get_infos else tuple(made[:2])
    if out is None:
        return results
    fitting = tuple(converted(each, into.dtype, "lu") for each, into in zip(results, out, strict=True))
    return put_out("lu", lambda A: fitting, out, (A,), {})  # type: ignore[no-any-return]


@op(out=True)
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """Solve A X = `input` from what `linalg.lu_factor` makes of A: `linalg.lu_solve`."""
    return solved_by_lu(LU_data, LU_pivots, input)


@op(method=False, out=True, node="LuUnpack")
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Named:
    """Return P, L and U from what `linalg.lu_factor` makes of P L U; what is not asked for is empty."""
    need_tensor(LU_data, "lu_unpack", "LU_data")
    nothing = empty(0, dtype=LU_data.dtype, device=LU_data.device)
    rows, columns = LU_data._array.shape[-2:]
    k = min(rows, columns)
    P: Any = nothing
    L, U = nothing, nothing
    if unpack_pivots:
        P = p.permutation_of(LU_pivots, size=rows, dtype=LU_data._array.dtype)
        P = P[0] if isinstance(P, tuple) else P
    if unpack_data:
        ones = eye(rows, k, dtype=LU_data.dtype, device=LU_data.device)
        L = e.add(s.tril(basic_getitem(LU_data, index=(..., slice(k))), k=-1), ones)
        U = s.triu(basic_getitem(LU_data, index=(..., slice(k), slice(None))), k=0)
    return _LuUnpack((P, L, U))


_TriangularSolve = return_type("triangular_solve", "solution", "cloned_coefficient")


@op(out="exact")
def triangular_solve(
    input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Named:
    """Solve A X = `input`, or A^T X = `input`, for a triangular `A`: (X, a copy of `A`). See `linalg.solve_triangular`."""
    check_matrices(input, "triangular_solve", square=False, letter="b")
    check_matrices(A, "triangular_solve")
    lead = broadcast_shapes(input._array.shape[:-2], A._array.shape[:-2])
    b, A = (expand_to(x, (*lead, *x._array.shape[-2:])) for x in (input, A))
    matrix, upper = (matrix_transpose(A), not upper) if transpose else (A, upper)
    solution = solve_triangular(matrix, b, upper=upper, unitriangular=unitriangular)
    label(solution, "TriangularSolveBackward0", (b, A))
    return _TriangularSolve((solution, copy(A)))
