"""Factorisations of batches of matrices, with their derivatives. It must not know Tensors.

Matrices are in the last two dimensions. None of these functions is holomorphic; the rules are in torch's
convention for complex cotangents. Factors that are unique only up to a sign or a phase have a derivative if
the result does not depend on these; phases are checked. Formulas: Giles, "Collected matrix derivative results
for forward and reverse mode algorithmic differentiation" (2008), and Walter and Lehmann, "Algorithmic
differentiation of linear algebra functions" (2010) for QR.
"""

from __future__ import annotations

from typing import Any

from gradcore.primitives.linalg import adjoint, attempt
from gradcore.recorder import primitive

Array = Any


def _leading_minor(a: Any) -> int:
    """The order of the first leading minor of `a`, an array on the host, that is not positive-definite."""
    a = a.copy()
    for k in range(len(a)):
        if not a[k, k].real > 0:
            return k + 1
        a[k + 1 :, k + 1 :] -= (a[k + 1 :, k] / a[k, k].real)[:, None] * a[k + 1 :, k].conj()
    return len(a)


def _column(F: Any, x: Array) -> Array:
    return F.reshape(x, shape=(*x.shape, 1))


def _row(F: Any, x: Array) -> Array:
    return F.reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def _diagonal(F: Any, x: Array) -> Array:
    """Matrices with `x` on the diagonal."""
    n = x.ndim
    return F.diagonal_embed(x, offset=0, axes=(n - 1, n), shape=(*x.shape, x.shape[-1]))


def _ones(F: Any, x: Array) -> Array:
    """Identity matrices of the size of the last axis of `x`."""
    return _diagonal(F, F.zero(x) + 1)


# -- Cholesky ----------------------------------------------------------------------------------------------


def _cholesky_pull(F: Any, g: Array, out: Array, upper: bool, x_dtype: Any) -> Array:
    above, g = (out, adjoint(F, g, x_dtype)) if upper else (adjoint(F, out, x_dtype), g)
    inner = F.matmul(above, g)
    inner = (F.tril(inner, k=0) + adjoint(F, F.tril(inner, k=-1), x_dtype)) / 2
    return adjoint(F, F.solve(above, adjoint(F, F.solve(above, inner), x_dtype)), x_dtype)


@primitive("general", x=_cholesky_pull, holomorphic=False, node="LinalgCholeskyEx")
def cholesky(F: Any, x: Array, *, upper: bool) -> Array:
    """The lower (or `upper`) triangular factor of hermitian matrices, of which only that triangle is read."""
    if not upper:
        return attempt(F, F.cholesky, x, pivot=_leading_minor)
    return adjoint(F, attempt(F, F.cholesky, adjoint(F, x, x.dtype), pivot=_leading_minor), x.dtype)


# -- phases ----------------------------------------------------------------------------------------------------


@primitive("general")
def check_phases(F: Any, x: Array, *, rule: str, vectors: str) -> Array:
    """`x`, whose imaginary diagonal is the change of the loss with the phases of vectors: an error unless it is 0."""
    if x.size and not float(F.to_host(F.max(F.absolute(F.imag(F.diagonal(x, 0, -2, -1)))))) <= 1e-2:
        raise RuntimeError(
            f"{rule}: The {vectors} in the complex case are specified up to multiplication by e^{{i phi}}. The "
            "specified loss function depends on this quantity, so it is ill-defined."
        )
    return x


# -- eigenvalues -------------------------------------------------------------------------------------------


def _eigh_pull(F: Any, g: Any, values: Array, vectors: Array, x_dtype: Any) -> Array:
    g_values, g_vectors = g
    back = adjoint(F, vectors, x_dtype)
    if g_vectors is None:
        return F.matmul(vectors * _row(F, g_values), back)
    ones = _ones(F, values)
    inner = F.matmul(back, g_vectors)
    if x_dtype.kind == "c":
        F.check_phases(inner, rule="linalg_eigh_backward", vectors="eigenvectors")
    gaps = _row(F, values) - _column(F, values) + ones
    inner = (inner - adjoint(F, inner, x_dtype)) / (gaps + gaps) * (1 - ones)
    if g_values is not None:
        inner = inner + _diagonal(F, g_values)
    return F.matmul(F.matmul(vectors, inner), back)


@primitive(
    "general",
    x=_eigh_pull,
    outputs=("values", "vectors"),
    partial=True,
    holomorphic=False,
    node="LinalgEigh",
)
def eigh(F: Any, x: Array) -> tuple[Array, Array]:
    """Ascending eigenvalues and eigenvectors of hermitian matrices, read on and below the diagonal."""
    values, vectors = attempt(F, F.eigh, x, pivot=len)
    return values, vectors


def _eig_pull(F: Any, g: Any, values: Array, vectors: Array, x_dtype: Any) -> Array:
    g_values, g_vectors = g
    back = F.conj(F.matrix_transpose(vectors))
    inner: Any = 0 if g_values is None else _diagonal(F, g_values)
    if g_vectors is not None:
        ones = _ones(F, values)
        turned = F.matmul(back, g_vectors)
        F.check_phases(turned, rule="linalg_eig_backward", vectors="eigenvectors")
        scaled = ones * F.real(turned)  # that the vectors have length 1
        gaps = F.conj(_row(F, values) - _column(F, values)) + ones
        inner = inner + (turned - F.matmul(F.matmul(back, vectors), scaled)) / gaps * (1 - ones)
    made = F.solve(back, F.matmul(inner, back))
    return made if x_dtype.kind == "c" else F.real(made)


@primitive(
    "general",
    x=_eig_pull,
    outputs=("values", "vectors"),
    partial=True,
    holomorphic=False,
    node="LinalgEig",
)
def eig(F: Any, x: Array) -> tuple[Array, Array]:
    """Complex eigenvalues and eigenvectors of length 1."""
    values, vectors = attempt(F, F.eig, x, pivot=len)
    dtype = "complex64" if x.dtype.itemsize == (8 if x.dtype.kind == "c" else 4) else "complex128"
    return F.astype(values, dtype), F.astype(vectors, dtype)


# -- singular values ---------------------------------------------------------------------------------------


def _svd_pull(F: Any, g: Any, u: Array, s: Array, v: Array, full: bool, x_shape: tuple[int, ...], x_dtype: Any) -> Array:
    gu, gs, gv = g
    if full:  # no function with a derivative depends on the extra columns of `u` and rows of `v`
        columns, rows = (..., slice(s.shape[-1])), (..., slice(s.shape[-1]), slice(None))
        u, v = F.basic_getitem(u, index=columns), F.basic_getitem(v, index=rows)
        gu = gu if gu is None else F.basic_getitem(gu, index=columns)
        gv = gv if gv is None else F.basic_getitem(gv, index=rows)
    if gu is None and gv is None:
        return F.matmul(u * _row(F, gs), v)
    row, column, ones = _row(F, s), _column(F, s), _ones(F, s)
    turn_u: Any = 0 if gu is None else F.matmul(adjoint(F, u, x_dtype), gu)
    turn_v: Any = 0 if gv is None else F.matmul(v, adjoint(F, gv, x_dtype))
    if x_dtype.kind == "c":
        F.check_phases(turn_u + turn_v, rule="svd_backward", vectors="singular vectors")
    inner: Any = 0
    if gu is not None:
        turn_u = turn_u - adjoint(F, turn_u, x_dtype)
        inner = turn_u * row
    if gv is not None:
        inner = inner + column * (turn_v - adjoint(F, turn_v, x_dtype))
    inner = inner / (row * row - column * column + ones) * (1 - ones)
    if gu is not None and x_dtype.kind == "c":
        inner = inner + ones * turn_u / (row + row)
    if gs is not None:
        inner = inner + _diagonal(F, gs)
    if gu is not None and x_shape[-2] > s.shape[-1]:
        outer = gu / row
        outer = outer - F.matmul(u, F.matmul(adjoint(F, u, x_dtype), outer))
        return F.matmul(F.matmul(u, inner) + outer, v)
    inner = F.matmul(inner, v)
    if gv is not None and x_shape[-1] > s.shape[-1]:
        outer = gv / column
        inner = inner + outer - F.matmul(F.matmul(outer, adjoint(F, v, x_dtype)), v)
    return F.matmul(u, inner)


@primitive("general", x=_svd_pull, outputs=("u", "s", "v"), partial=True, holomorphic=False, node="LinalgSvd")
def svd(F: Any, x: Array, *, full: bool) -> tuple[Array, Array, Array]:
    """`u`, `s`, `v` with x = u diag(s) v; singular values descend. `full`: `u` and `v` are square."""
    u, s, v = attempt(F, lambda a: F.svd(a, full_matrices=full), x, pivot=len)
    return u, s, F.swapaxes(F.ascontiguousarray(F.swapaxes(v, -1, -2)), -1, -2)  # as LAPACK has it: v^H is contiguous


# -- orthogonal and triangular -----------------------------------------------------------------------------


def _qr_pull(F: Any, g: Any, q: Array, r: Array, x_dtype: Any) -> Array:
    gq, gr = g
    if q.shape[-1] != r.shape[-1]:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols "
            f"(linalg.qr gave Q of shape {list(q.shape)}); use mode='reduced'"
        )
    inner: Any = 0
    if gr is not None:
        inner = F.matmul(r, adjoint(F, gr, x_dtype))
    if gq is not None:
        inner = inner - F.matmul(adjoint(F, gq, x_dtype), q)
    inner = F.tril(inner, k=0) + F.tril(inner, k=-1)
    both = F.matmul(q, inner + adjoint(F, inner, x_dtype)) / 2
    both = both if gq is None else both + gq
    return adjoint(F, F.solve(r, adjoint(F, both, x_dtype), checked=False), x_dtype)


@primitive("general", x=_qr_pull, outputs=("q", "r"), partial=True, holomorphic=False, node="LinalgQr")
def qr(F: Any, x: Array, *, mode: str) -> tuple[Array, Array]:
    """`q` with orthonormal columns and upper triangular `r` with x = q r; no more columns than rows.

    `mode` is "reduced" or "complete"; the derivative is that of "reduced".
    """
    q, r = F.qr(x, mode)
    return q, r


# -- pseudoinverses ----------------------------------------------------------------------------------------


def _pinv_pull(F: Any, g: Array, x: Array, out: Array, x_shape: tuple[int, ...], x_dtype: Any) -> Array:
    back, g = adjoint(F, out, x_dtype), adjoint(F, g, x_dtype)
    if x_shape[-2] <= x_shape[-1]:
        turned = F.matmul(g, out)
        outer = F.matmul(turned, back)
        rest = g - F.matmul(turned, x)
        inner = outer - F.matmul(F.matmul(x, out), outer) + F.matmul(F.matmul(back, out), rest)
        return inner - adjoint(F, F.matmul(out, turned), x_dtype)
    turned = F.matmul(out, g)
    outer = F.matmul(back, turned)
    rest = g - F.matmul(x, turned)
    inner = outer - F.matmul(F.matmul(outer, out), x) + F.matmul(F.matmul(rest, out), back)
    return inner - adjoint(F, F.matmul(turned, out), x_dtype)


@primitive("general", x=_pinv_pull, holomorphic=False, node="LinalgPinv")
def pinv(F: Any, x: Array, *, atol: Any, rtol: Any, hermitian: bool) -> Array:
    """The pseudoinverse, for which singular values up to atol or rtol times the largest are 0.

    The tolerances are numbers or arrays of one for each matrix. Formula: Golub and Pereyra, "The differentiation
    of pseudo-inverses and nonlinear least squares problems whose variables separate" (1973).
    """
    if not x.size:
        return F.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    if hermitian:
        s, u = attempt(F, F.eigh, x, pivot=len)
        v, size = adjoint(F, u, x.dtype), F.absolute(s)
    else:
        u, s, v = attempt(F, lambda a: F.svd(a, full_matrices=False), x, pivot=len)
        size = s
    kept = size > F.maximum(atol, rtol * F.max(size, -1, keepdims=True))
    inverse = kept / (s + ((s == 0) > kept))
    return F.matmul(adjoint(F, v, x.dtype) * inverse[..., None, :], adjoint(F, u, x.dtype))
