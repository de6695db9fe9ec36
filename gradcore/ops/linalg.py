"""torch.linalg: inverses, solutions and determinants. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.numbers import in_dtype
from gradcore.ops.products import broadcast, expanded
from gradcore.ops.registry import functions, op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import comparison as c
from gradcore.primitives import complex_parts, products
from gradcore.primitives import elementwise as e
from gradcore.primitives import linalg as p
from gradcore.primitives import shape as s
from gradcore.primitives import transcendental as t
from gradcore.primitives.linalg import LinAlgError
from gradcore.primitives.selection import where
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


# -- what torch refuses ------------------------------------------------------------------------------------


def check_floating(x: Tensor, name: str) -> None:
    """Raise RuntimeError or NotImplementedError for integers and for the 16-bit dtypes, for which there is no LAPACK."""
    dtype = dtypes.of(x._array.dtype)
    is_number = dtype.is_floating_point or dtype.is_complex
    if name in _KERNELS and (dtype.itemsize == 2 if is_number else name in _LET_IN):
        raise NotImplementedError(
            f"\"{_KERNELS[name]}\" not implemented for '{dtype._title}' ({name}: convert it to float32 or float64)"
        )
    if not is_number:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtype._title}")
    if dtype.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtype._title}")


# What torch's kernels are called that refuse a dtype by themselves, and functions that leave integers to them, too.
_KERNELS: Final = {
    "cholesky": "cholesky_cpu", "linalg.cholesky": "cholesky_cpu", "cholesky_solve": "cholesky_solve_cpu",
    "linalg.eig": "linalg_eig_out_cpu", "linalg.eigh": "linalg_eigh_cpu", "linalg.svd": "linalg_svd_cpu",
    "linalg.cond": "linalg_svd_cpu", "linalg.qr": "geqrf_cpu", "linalg.det": "lu_cpu", "linalg.solve": "lu_cpu",
    "linalg.lu": "lu_cpu", "linalg.lu_factor": "lu_cpu", "torch.linalg.ldl_factor_ex": "ldl_factor_kernel_cpu",
    "linalg.solve_triangular": "triangular_solve_cpu",
}  # fmt: skip
_LET_IN: Final = frozenset({"cholesky", "linalg.eigh", "linalg.lu", "linalg.lu_factor", "linalg.solve_triangular"})


def check_matrices(A: Any, name: str, *, square: bool = True, letter: str = "A") -> None:
    """Raise for what is no batch of (square) matrices."""
    need_tensor(A, name, letter)
    shape = A._array.shape
    if len(shape) < 2:
        raise RuntimeError(f"{name}: The input tensor {letter} must have at least 2 dimensions.")
    if square and shape[-1] != shape[-2]:
        raise RuntimeError(
            f"{name}: {letter} must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} matrices"
        )


def check(A: Any, name: str, *, square: bool = True) -> None:
    check_matrices(A, name, square=square)
    check_floating(A, name)


def attempt(name: str, reason: str, function: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """The result, or torch's error for the first bad matrix of the batch; `{}` in `reason` is its pivot."""
    try:
        return function(*args, **params)
    except LinAlgError as failure:
        info = failure.info
    batch = info.reshape(-1).tolist()
    first = next(i for i, pivot in enumerate(batch) if pivot)
    where = f" (Batch element {first}):" if info.ndim else ""
    error = LinAlgError(f"{name}:{where} {reason.format(batch[first])}")
    error.info = info
    raise error from None


_SINGULAR = "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."
_UNSOLVED = "The solver failed because the input matrix is singular."


def info_of(A: Tensor, failure: LinAlgError | None = None) -> Tensor:
    """torch's `info`: one int32 for each matrix, 0 where all went well."""
    F = of(A._array)
    lead = A._array.shape[:-2]
    return wrap(F.zeros(lead, "int32") if failure is None else F.from_host(failure.info))  # type: ignore[no-any-return]


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    made = products.matrix_transpose(x)
    return complex_parts.conj(made) if x._array.dtype.kind == "c" else made  # type: ignore[no-any-return]


# -- inverses and solutions --------------------------------------------------------------------------------


@op(namespace="linalg", method=False, out=True)
def inv(A: Tensor) -> Tensor:
    """Invert square matrices. Raises LinAlgError for a singular one, RuntimeError for others."""
    check(A, "linalg.inv")
    return attempt("linalg.inv", _SINGULAR, p.inv, A)  # type: ignore[no-any-return]


@op(out=True)
def inverse(input: Tensor) -> Tensor:
    """Invert square matrices: `linalg.inv`."""
    return inv(input)


_InvEx = return_type("linalg_inv_ex", "inverse", "info")


@op(namespace="linalg", method=False, out=True)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Named:
    """Invert square matrices; `info` is not 0 for a singular one, whose inverse is then not finite."""
    check(A, "linalg.inv")
    try:
        return _InvEx((attempt("linalg.inv_ex", _SINGULAR, p.inv, A), info_of(A)))
    except LinAlgError as failure:
        if check_errors:
            raise
        return _InvEx((p.inv(A, checked=False), info_of(A, failure)))


@op(namespace="linalg", method=False, out=True, node="LinalgSolveEx")
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Solve A X = B, or X A = B if not `left`; batch dimensions broadcast.

    `B` is a vector if it has one dimension, several if it has the shape of `A` without the last one.
    Raises LinAlgError for a singular matrix, RuntimeError for shapes and dtypes that do not fit.
    """
    return attempt("torch.linalg.solve", _UNSOLVED, _solution, p.solve, A, B, left)  # type: ignore[no-any-return]


_SolveEx = return_type("linalg_solve_ex", "result", "info")


@op(namespace="linalg", method=False, out=True, node="LinalgSolveEx")
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Named:
    """Solve A X = B; `info` is not 0 for a singular matrix, whose solution is then not finite."""
    try:
        made = attempt("torch.linalg.solve_ex", _UNSOLVED, _solution, p.solve, A, B, left)
    except LinAlgError as failure:
        if check_errors:
            raise
        made = _solution(_unchecked, A, B, left)
        return _SolveEx((made, info_of(A, failure)))
    return _SolveEx((made, info_of(A)))


def _solution(
    solver: Callable[..., Any], A: Tensor, B: Tensor, left: bool, name: str = "linalg.solve", vectors: bool = True
) -> Tensor:
    """What `solver` finds for matrices A and B of one batch, in the shape that torch gives it."""
    check_matrices(A, name)
    need_tensor(B, name, "B")
    if not B._array.ndim:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    have, want = (dtypes.of(x._array.dtype)._title for x in (A, B))
    if have != want:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {have} and B of type {want} instead"
        )
    check_floating(A, name)
    vector = vectors and (B._array.ndim == 1 or B._array.shape == A._array.shape[:-1])
    if vector:
        B = s.reshape(B, shape=(*B._array.shape, 1))
    a, b = A._array.shape, B._array.shape
    if a[-1] != (b[-2] if left else b[-1]):
        equation, shapes = ("AX = B" if left else "XA = B"), f"{a[-2]}x{a[-1]} and {b[-2]}x{b[-1]}"
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {equation} ({shapes})")
    mismatch = broadcast_mismatch(b[:-2], a[:-2])
    if mismatch:
        raise RuntimeError(f"{mismatch} ({name} of shapes {list(a)} and {list(b)})")
    lead = broadcast(a[:-2], b[:-2])
    A, B = expanded(A, lead + a[-2:]), expanded(B, lead + b[-2:])
    if left:
        made = solver(A, B)
    else:
        transposed = products.matrix_transpose
        made = transposed(solver(transposed(A), transposed(B)))
    return s.reshape(made, shape=made._array.shape[:-1]) if vector else made  # type: ignore[no-any-return]


@op(namespace="linalg", method=False, out=True, node="LinalgSolveTriangular")
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """Solve A X = B (or X A = B) with only one triangle of `A`, whose diagonal counts as 1 if `unitriangular`.

    A zero on the diagonal gives a solution that is not finite.
    """
    name = "linalg.solve_triangular"
    check_matrices(A, name)
    check_matrices(B, name, square=False, letter="B")
    check_floating(A, name)
    triangle = s.triu(A, k=int(unitriangular)) if upper else s.tril(A, k=-int(unitriangular))
    if unitriangular:
        ones = s.diagonal(e.zero(A), offset=0, axes=(A._array.ndim - 2, A._array.ndim - 1)) + 1
        axes = (A._array.ndim - 2, A._array.ndim - 1)
        triangle = e.add(triangle, s.diagonal_embed(ones, offset=0, axes=axes, shape=A._array.shape))
    return solved(triangle, B, left, name, "upper" if upper is left else "lower")


def solved(A: Tensor, B: Tensor, left: bool, name: str, triangle: str | None = None) -> Tensor:
    """The solution for matrices B, not finite for a singular A, which if not `left` is transposed to a `triangle`."""
    return _solution(partial(_unchecked, triangle=triangle), A, B, left, name, vectors=False)


_unchecked = partial(p.solve, checked=False)


def _triangle(x: Tensor, upper: bool) -> Tensor:
    """A triangle of `x`, of which as in torch the other half has a gradient too, as if it were not 0 by definition."""
    still = x.detach()
    rest = s.tril(still, k=-1) if upper else s.triu(still, k=1)
    finite = c.isfinite(rest)
    return e.subtract(where(finite, x, 0.0), where(finite, rest, 0.0))  # type: ignore[no-any-return]


@op(out=True, node="CholeskySolve")
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """Solve A X = `input` with the triangular factor L = `input2` of A, A = L L^H, or A = L^H L if `upper`."""
    for x, name in ((input, "b"), (input2, "u")):
        need_tensor(x, "cholesky_solve", name)
        if x._array.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {x._array.ndim} dimensions instead")
    check_matrices(input2, "cholesky_solve")
    factor = _triangle(input2, upper)
    turned = adjoint(factor)
    first, second = (turned, factor) if upper else (factor, turned)
    return solved(second, solved(first, input, True, "cholesky_solve"), True, "cholesky_solve")


@op(out=True, node="CholeskyInverse")
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """Invert A from its triangular factor L, A = L L^H, or A = L^H L if `upper`. Raises LinAlgError for a zero pivot."""
    check_matrices(input, "cholesky_inverse", letter="L")
    factor = _triangle(input, upper)
    inverse = attempt("cholesky_inverse", _SINGULAR, p.inv, factor)
    turned = adjoint(inverse)
    return products.matmul(inverse, turned) if upper else products.matmul(turned, inverse)  # type: ignore[no-any-return]


@op(out=False)
def matrix_exp(input: Tensor) -> Tensor:
    """Return the exponential of square matrices, the sum of their powers over factorials."""
    check_matrices(input, "linalg.matrix_exp")
    dtype = input._array.dtype
    if dtype.itemsize == 2 and dtype.kind in "fV":  # there is no LAPACK in it
        return in_dtype(p.matrix_exp(in_dtype(input, dtypes.float32.numpy)), dtype)  # type: ignore[no-any-return]
    check_floating(input, "linalg.matrix_exp")
    return p.matrix_exp(input)  # type: ignore[no-any-return]


functions["linalg"]["matrix_exp"] = functions[""]["matrix_exp"]


# -- determinants ------------------------------------------------------------------------------------------


@op(namespace="linalg", method=False, out=True)
def det(A: Tensor) -> Tensor:
    """Return the determinants of square matrices. The gradient is right for singular matrices too."""
    check(A, "linalg.det")
    return p.det(A)  # type: ignore[no-any-return]


_Slogdet = return_type("linalg_slogdet", "sign", "logabsdet")


@op(namespace="linalg", method=False, out=True)
def slogdet(A: Tensor) -> Named:
    """Return the sign of the determinants of square matrices and the logarithm of their absolute values."""
    check(A, "linalg.slogdet")
    return _Slogdet(p.slogdet(A))


# torch.det and torch.slogdet, beside torch.linalg's above.
@op()
def det_(input: Tensor) -> Tensor:
    """Return the determinants of square matrices: `linalg.det`."""
    return det(input)


_OldSlogdet = return_type("slogdet", "sign", "logabsdet")


@op(out=True)
def slogdet_(input: Tensor) -> Named:
    """Return sign and logarithm of the determinants of square matrices: `linalg.slogdet`."""
    return _OldSlogdet(slogdet(input))


@op()
def logdet(input: Tensor) -> Tensor:
    """Return the logarithm of the determinants of square matrices: NaN for a negative one."""
    check(input, "logdet")
    sign, logabsdet = p.slogdet(input)
    if input._array.dtype.kind == "c":
        return e.add(logabsdet, t.log(sign))  # type: ignore[no-any-return]
    return where(c.equal(sign, -1.0), float("nan"), logabsdet)  # type: ignore[no-any-return]
