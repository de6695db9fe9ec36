"""The gamma function and its kin, with derivatives in every argument. It must not know shapes or Tensors.

Where no closed form is known for a derivative, it is a series or an integral that is differentiable in its turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda F, g, x: g * F.digamma(x), to_float=True, refuses="c")
def lgamma(F: Any, x: Array) -> Array:
    """Return the logarithm of the absolute value of the gamma function."""
    size = F.absolute(x)
    # Where 1 / x or x is infinite, gammaln is not to be relied on.
    return F.where((size < 1e-300) | (size == math.inf), F.absolute(F.log(size)), F.special("gammaln", x))


@primitive("elementwise", x=lambda F, g, x: g * F.polygamma(x, order=1), to_float=True, refuses="c")
def digamma(F: Any, x: Array) -> Array:
    """Return the derivative of lgamma."""
    return F.special("psi", x)


@primitive("elementwise", x=lambda F, g, x, order: g * F.polygamma(x, order=order + 1), to_float=True, refuses="c")
def polygamma(F: Any, x: Array, *, order: int) -> Array:
    """Return derivative number `order` of the digamma function."""
    if order == 0:
        return F.special("psi", x)
    factor = math.factorial(order) if order <= 170 else math.inf
    return F.special("zeta", order + 1, x) * ((-1) ** (order + 1) * factor)


@primitive("elementwise", x=lambda F, g, x, out: g * out * F.digamma(x), to_float=True, refuses="c")
def gamma(F: Any, x: Array) -> Array:
    """Return the gamma function."""
    return F.special("gamma", x)


@primitive("elementwise", x=lambda F, g, x, out: -g * out * F.digamma(x), to_float=True, refuses="c")
def rgamma(F: Any, x: Array) -> Array:
    """Return 1 / gamma(x)."""
    return F.special("rgamma", x)


@primitive(
    "elementwise",
    z=lambda F, g, z, m, out: g * out * (F.digamma(z + m) - F.digamma(z)),
    m=lambda F, g, z, m, out: g * out * F.digamma(z + m),
    to_float=True,
    refuses="c",
)
def poch(F: Any, z: Array, m: Array) -> Array:
    """Return gamma(z + m) / gamma(z), Pochhammer's symbol."""
    return F.special("poch", z, m)


# -- Hurwitz's zeta function -----------------------------------------------------------------------------------------

_TERMS = 10
# B(2j) / (2j)!
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600)


def _zeta_slope(F: Any, s: Array, q: Array) -> Array:
    """The derivative of zeta by `s`: that of each term of the Euler-Maclaurin formula (DLMF 25.11.5)."""
    slope = F.zero(s * q)
    for n in range(_TERMS):
        slope = slope - F.log(q + n) * F.power(q + n, -s)
    end = q + _TERMS
    log, power = F.log(end), F.power(end, -s)
    slope = slope - end * power * (log / (s - 1) + F.reciprocal((s - 1) * (s - 1))) - log * power / 2
    rising, rising_slope = s, 1  # s (s+1) ... (s+2j-2)
    power = power / end
    for j, factor in enumerate(_BERNOULLI):
        slope = slope + power * (rising_slope - rising * log) * factor
        for m in (2 * j + 1, 2 * j + 2):
            rising, rising_slope = rising * (s + m), rising_slope * (s + m) + rising
        power = power / (end * end)
    return slope


@primitive(
    "elementwise",
    s=lambda F, g, s, q: g * _zeta_slope(F, s, q),
    q=lambda F, g, s, q: -g * s * F.zeta(s + 1, q),
    to_float=True,
    refuses="c",
    node="SpecialZeta",
)
def zeta(F: Any, s: Array, q: Array) -> Array:
    """Return Hurwitz's zeta function, the sum of (n + q)**-s over n from 0."""
    return F.special("zeta", s, q)


# -- the incomplete gamma function -----------------------------------------------------------------------------------


def _density(F: Any, a: Array, x: Array) -> Array:
    """The density at `x` of the gamma distribution with shape `a`."""
    return F.exp(F.xlogy(a - 1, x) - x - F.lgamma(a))


@primitive(
    "elementwise",
    a=lambda F, g, a, x: g * F.gamma_moment(a, x, k=1),
    x=lambda F, g, a, x: g * _density(F, a, x),
    to_float=True,
    refuses="c",
    node="Igamma",
)
def gammainc(F: Any, a: Array, x: Array) -> Array:
    """Return the distribution function at `x` of the gamma distribution with shape `a`."""
    return F.special("gammainc", a, x)


@primitive(
    "elementwise",
    a=lambda F, g, a, x: -g * F.gamma_moment(a, x, k=1),
    x=lambda F, g, a, x: -g * _density(F, a, x),
    to_float=True,
    refuses="c",
    node="Igammac",
)
def gammaincc(F: Any, a: Array, x: Array) -> Array:
    """Return 1 - gammainc(a, x), accurate where gammainc(a, x) is near 1."""
    return F.special("gammaincc", a, x)


@primitive(
    "elementwise",
    a=lambda F, g, a, out: -g * F.gamma_moment(a, out, k=1) / _density(F, a, out),
    y=lambda F, g, a, out: g / _density(F, a, out),
    to_float=True,
    refuses="c",
)
def gammaincinv(F: Any, a: Array, y: Array) -> Array:
    """Return the quantile for the probability `y` of the gamma distribution with shape `a`."""
    return F.special("gammaincinv", a, y)


def _shape_pull(F: Any, g: Array, a: Array, x: Array, k: int) -> Array:
    lower = F.gammainc(a, x) if k == 1 else F.gamma_moment(a, x, k=k - 1) * k
    return g * (F.gamma_moment(a, x, k=k + 1) - F.polygamma(a, order=1) * lower)


def _bound_pull(F: Any, g: Array, a: Array, x: Array, k: int) -> Array:
    return g * F.power_number(F.log(x) - F.digamma(a), exponent=k) * _density(F, a, x)


@primitive("elementwise", a=_shape_pull, x=_bound_pull, refuses="biuc")
def gamma_moment(F: Any, a: Array, x: Array, *, k: int) -> Array:
    """Return the integral from 0 to `x` of (log t - digamma(a))**k over the gamma distribution with shape `a`.

    These are the derivatives by `a` of gammainc, up to lower ones. By double-exponential quadrature: over log t from `x`
    down or, where `x` is beyond the mode, over t from `x` up, to be taken from the whole.
    """
    dtype = x.dtype
    a, x = (F.expand_dims(F.astype(each, "float64"), -1) for each in (a, x))
    psi, log_gamma, log_x, up = F.special("psi", a), F.special("gammaln", a), F.log(x), x > a
    rate = F.where(up, (x - a + F.sqrt(x)) / x, 1.1 * a - x + F.sqrt(F.minimum(x, a)))

    def integrand(s: Array) -> Array:
        step = s / rate
        log_t = F.where(up, F.log(x + step), log_x - step)
        height = F.exp(F.where(up, a - 1, a) * log_t - F.exp(log_t) - log_gamma)
        return F.where(height == 0, 0.0, height * (log_t - psi) ** k * step)

    total = half_line(F, integrand, (a * x).size)
    return F.astype(F.where(up[..., 0], _whole_moment(F, a[..., 0], k) - total, total), dtype)


_COUNT, _STEP = 110, 0.11


def half_line(F: Any, integrand: Callable[[Array], Array], size: int) -> Array:
    """Integrate over s > 0 what falls off about like exp(-s), by double-exponential quadrature.

    `integrand` is the function times s, of places along the last axis; as many at once as memory is fit for.
    """
    total, block = 0.0, max(1, min(_COUNT, 10**6 // max(size, 1)))
    for start in range(0, _COUNT, block):
        tau = F.arange(start, min(start + block, _COUNT)) * _STEP - 4
        fall = F.exp(-tau)
        total = total + F.sum(integrand(F.exp(tau - fall)) * ((fall + 1) * _STEP), -1)
    return total


def _whole_moment(F: Any, a: Array, k: int) -> Array:
    """The moment of order `k` of log t - digamma(a) over the gamma distribution, whose cumulants are polygammas."""
    moments = [1.0, 0.0]
    for m in range(2, k + 1):
        parts = [
            math.comb(m - 1, j) * polygamma.primitive.forward(F, a, order=j) * moments[m - 1 - j]  # type: ignore[attr-defined]
            for j in range(1, m)
        ]
        moments.append(sum(parts[1:], parts[0]))
    return moments[k]
