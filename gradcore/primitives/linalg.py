"""Inverses and determinants of batches of matrices, with their derivatives. It must not know Tensors.

Matrices are in the last two dimensions; the others are a batch, the same for all inputs. What fails for
one matrix of a batch fails for all, with a LinAlgError that says where.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import comb, factorial
from typing import Any

from gradcore.recorder import primitive

Array = Any


class LinAlgError(RuntimeError):
    """A matrix that cannot be inverted or factorised; `info` says for each of a batch where (0: it can)."""

    __module__ = "gradcore.linalg"
    info: Any = None


def attempt(F: Any, function: Callable[..., Any], a: Array, *rest: Array, pivot: Callable[[Any], int]) -> Any:
    """What the backend's `function` makes of `a`. Raises LinAlgError with the bad `pivot` of each matrix."""
    try:
        return function(a, *rest)
    except F.LinAlgError as error:
        failure = LinAlgError(str(error))
    info = F.to_host(F.zeros(a.shape[:-2], "int32")).copy()
    flat, each = a.reshape(info.size, *a.shape[-2:]), info.reshape(-1)
    for i in range(len(flat)):
        try:
            function(flat[i], *(b.reshape(info.size, *b.shape[-2:])[i] for b in rest))
        except F.LinAlgError:
            each[i] = pivot(F.to_host(flat[i]))
    failure.info = info
    raise failure


def zero_pivot(a: Any) -> int:
    """Which pivot of the elimination of `a`, an array on the host, is zero."""
    a = a.copy()
    for k in range(len(a)):
        p = k + abs(a[k:, k]).argmax()
        a[[k, p]] = a[[p, k]]
        if a[k, k] == 0:
            return k + 1
        a[k + 1 :, k:] -= (a[k + 1 :, k] / a[k, k])[:, None] * a[k, k:]
    return len(a)


def adjoint(F: Any, x: Array, dtype: Any) -> Array:
    """The conjugate transpose of `x`, which has this dtype."""
    return F.conj(F.matrix_transpose(x)) if dtype.kind == "c" else F.matrix_transpose(x)


def _scalars(F: Any, x: Array) -> Array:
    """One number per matrix, in the shape of matrices."""
    return F.reshape(x, shape=(*x.shape, 1, 1))


# -- inverses and solutions --------------------------------------------------------------------------------


def _inverse(F: Any, x: Array) -> Array:
    """The inverse, with infinities and NaN where there is none."""
    try:
        return F.inv(x)
    except F.LinAlgError:
        finite = F.isfinite(F.sum(F.absolute(x), (-2, -1), keepdims=True))
        adjugate = F.matrix_transpose(_cofactors(F, F.where(finite, x, 0)))
        return F.where(finite, adjugate / _scalars(F, F.det(x)), math.nan)


def _inv_pull(F: Any, g: Array, out: Array) -> Array:
    transposed = F.matrix_transpose(out)
    return -F.matmul(F.matmul(transposed, g), transposed)


@primitive("general", x=_inv_pull, node="LinalgInvEx")
def inv(F: Any, x: Array, *, checked: bool = True) -> Array:
    """The inverse. Raises LinAlgError, or if not `checked` puts infinities and NaN for a singular matrix."""
    return attempt(F, F.inv, x, pivot=zero_pivot) if checked else _inverse(F, x)


_TRANSPOSED = {"lower": "upper", "upper": "lower", None: None}


def _solve_pull(
    F: Any, g: Array, needs: tuple[bool, ...], a: Array, out: Array, checked: bool, triangle: str | None
) -> tuple[Any, Any]:
    gb = F.solve(F.matrix_transpose(a), g, checked=checked, triangle=_TRANSPOSED[triangle])
    return -F.matmul(gb, F.matrix_transpose(out)) if needs[0] else None, gb


@primitive("general", vjp=_solve_pull, node="LinalgSolveEx")
def solve(F: Any, a: Array, b: Array, *, checked: bool = True, triangle: str | None = None) -> Array:
    """The solution of `a @ out = b`. Raises LinAlgError, or if not `checked` is not finite for a singular `a`.

    `triangle` "lower" or "upper" says where all of `a` is that is not 0.
    """
    if checked:
        return attempt(F, F.solve, a, b, pivot=zero_pivot)
    try:
        return F.solve_triangular(a, b, triangle == "lower") if triangle else F.solve(a, b)
    except F.LinAlgError:
        return F.matmul(_inverse(F, a), b)


# -- determinants ------------------------------------------------------------------------------------------
# The derivative of the determinant is the matrix of cofactors: det(x) times the transposed inverse, where
# there is one. The derivative of that is made of second minors. Both are polynomials in x, singular or not;
# singular values give them everywhere: the minors of x = u s v are those of the diagonal s, turned.


def _minors(F: Any, s: Array) -> Array:
    """The products of the last axis of `s` without one of them, each in turn."""
    zero = s == 0
    filled = s + zero
    return F.prod(filled, -1)[..., None] / filled * (F.sum(zero, -1)[..., None] == zero)


def _second_minors(F: Any, s: Array) -> Array:
    """The products of the last axis of `s` without two of them, for each pair; 0 for a pair of equal ones."""
    zero = s == 0
    filled = s + zero
    product, zeros = F.prod(filled, -1)[..., None, None], F.sum(zero, -1)[..., None, None]
    without = product / (filled[..., :, None] * filled[..., None, :])
    among_them = zeros == zero[..., :, None] * 1 + zero[..., None, :]
    return without * among_them * (1 - F.eye(s.shape[-1], dtype=s.dtype))


def _turned(F: Any, u: Array, v: Array, inner: Array) -> Array:
    made = F.matmul(F.matmul(F.conj(u), inner), F.conj(v))
    return _scalars(F, F.det(u) * F.det(v)) * made


def _cofactors(F: Any, x: Array) -> Array:
    u, s, v = F.svd(x)
    return _turned(F, u, v, F.eye(x.shape[-1], dtype=x.dtype) * _minors(F, s)[..., None])


@primitive("general", x=lambda F, g, x: F.cofactor(x) * _scalars(F, g), node="LinalgDet")
def det(F: Any, x: Array) -> Array:
    """The determinant."""
    return F.det(x)


@primitive("general", x=lambda F, g, x: F.det_hessian(x, g))
def cofactor(F: Any, x: Array) -> Array:
    """The matrix of cofactors, which is the derivative of the determinant."""
    try:
        return _scalars(F, F.det(x)) * F.matrix_transpose(F.inv(x))
    except F.LinAlgError:
        return _cofactors(F, x)


def _third(F: Any, g: Array, x: Array, y: Array) -> Array:
    """The third derivative of the determinant along `g` and `y`, for invertible `x` only."""
    b = F.matrix_transpose(F.inv(x))
    axes = (x.ndim - 2, x.ndim - 1)

    def along(h: Array) -> tuple[Array, Array]:
        return F.sum(h * b, axis=axes, keepdims=True), F.matmul(b, F.matrix_transpose(h))

    (tg, mg), (ty, my) = along(g), along(y)
    crossed = F.sum(mg * F.matrix_transpose(my), axis=axes, keepdims=True)
    turned = F.matmul(mg, my) + F.matmul(my, mg) - ty * mg - tg * my
    return _scalars(F, F.det(x)) * ((tg * ty - crossed) * b + F.matmul(turned, b))


@primitive("general", x=_third, y=lambda F, g, x: F.det_hessian(x, g))
def det_hessian(F: Any, x: Array, y: Array) -> Array:
    """The second derivative of the determinant along `y`: the derivative of the cofactors, symmetric."""
    u, s, v = F.svd(x)
    inner = F.matmul(F.matmul(F.conj(F.matrix_transpose(u)), y), F.conj(F.matrix_transpose(v)))
    minors = F.astype(_second_minors(F, s), x.dtype)
    eye = F.eye(x.shape[-1], dtype=x.dtype)
    traces = F.matmul(minors, F.sum(inner * eye, -1)[..., None])
    return _turned(F, u, v, eye * traces - F.matrix_transpose(minors * inner))


def _slogdet_pull(F: Any, g: Any, x: Array, sign: Array, x_dtype: Any) -> Array:
    g_sign, g_log = g
    if x_dtype.kind == "c":
        g_log = g_log - F.imag(F.conj(g_sign) * sign) * 1j
    return _scalars(F, g_log) * adjoint(F, F.inv(x, checked=False), x_dtype)


@primitive("general", x=_slogdet_pull, outputs=("sign", "logabsdet"), holomorphic=False, node="LinalgSlogdet")
def slogdet(F: Any, x: Array) -> tuple[Array, Array]:
    """The sign of the determinant, a complex number of modulus 1 for complex matrices, and log |det|."""
    sign, logabsdet = F.slogdet(x)
    return sign, logabsdet


# -- the exponential -----------------------------------------------------------------------------------------
# Scaling, a Pade approximant of degree 13 and squaring, as in Higham, "The scaling and squaring method for the
# matrix exponential revisited" (2005), whose bound on the norm is 5.37.

_PADE = tuple(factorial(26 - i) * comb(13, i) / factorial(26) for i in range(14))
_BOUND = 5.37


def _exp_pull(F: Any, g: Array, x: Array, x_shape: tuple[int, ...]) -> Array:
    n = x_shape[-1]
    turned = F.matrix_transpose(x)
    rows, columns = len(x_shape) - 2, len(x_shape) - 1
    above = F.concatenate(turned, g, axis=columns)
    below = F.concatenate(F.zero(g), turned, axis=columns)
    both = F.matrix_exp(F.concatenate(above, below, axis=rows))
    return F.basic_getitem(both, index=(..., slice(n), slice(n, None)))


@primitive("general", x=_exp_pull, node="LinalgMatrixExp")
def matrix_exp(F: Any, x: Array) -> Array:
    """The exponential of square matrices. Its derivative is a block of the exponential of a block matrix."""
    if not x.size:
        return F.copy(x)
    norm = F.max(F.sum(F.absolute(x), -1), -1)
    wanted = F.ceil(F.log2(F.maximum(norm / _BOUND, 1)))
    wanted = F.where(F.isfinite(wanted), wanted, 0)  # NaN and infinity stay what they are
    squarings = int(F.to_host(F.as_array(F.max(wanted))))
    scale = _scalars(F, F.exp2(wanted))
    a, eye = x / scale, F.eye(x.shape[-1], dtype=x.dtype)
    a2 = F.matmul(a, a)
    even, odd, power = eye * _PADE[0], eye * _PADE[1], eye
    for i in range(2, 14, 2):
        power = F.matmul(power, a2)
        even, odd = even + power * _PADE[i], odd + power * _PADE[i + 1]
    odd = F.matmul(a, odd)
    out = F.solve(even - odd, even + odd)
    for i in range(squarings):
        out = F.where(_scalars(F, wanted) > i, F.matmul(out, out), out)
    return out
