"""The beta function and the beta distribution, with derivatives in every argument. It must not know shapes or Tensors."""

from __future__ import annotations

import math
from typing import Any

from gradcore.primitives.gamma import half_line
from gradcore.recorder import primitive

Array = Any


@primitive(
    "elementwise",
    a=lambda F, g, a, b, out: g * out * (F.digamma(a) - F.digamma(a + b)),
    b=lambda F, g, a, b, out: g * out * (F.digamma(b) - F.digamma(a + b)),
    to_float=True,
    refuses="c",
)
def beta(F: Any, a: Array, b: Array) -> Array:
    """Return gamma(a) * gamma(b) / gamma(a + b)."""
    return F.special("beta", a, b)


@primitive(
    "elementwise",
    a=lambda F, g, a, b: g * (F.digamma(a) - F.digamma(a + b)),
    b=lambda F, g, a, b: g * (F.digamma(b) - F.digamma(a + b)),
    to_float=True,
    refuses="c",
)
def betaln(F: Any, a: Array, b: Array) -> Array:
    """Return the logarithm of the absolute value of the beta function."""
    return F.special("betaln", a, b)


def _density(F: Any, a: Array, b: Array, x: Array) -> Array:
    return F.exp(F.xlogy(a - 1, x) + F.xlog1py(b - 1, -x) - F.betaln(a, b))


@primitive(
    "elementwise",
    a=lambda F, g, a, b, x: g * F.beta_moment(a, b, x, j=1, k=0),
    b=lambda F, g, a, b, x: g * F.beta_moment(a, b, x, j=0, k=1),
    x=lambda F, g, a, b, x: g * _density(F, a, b, x),
    to_float=True,
    refuses="c",
)
def betainc(F: Any, a: Array, b: Array, x: Array) -> Array:
    """Return the distribution function at `x` of the beta distribution with shapes `a` and `b`."""
    return F.special("betainc", a, b, x)


@primitive(
    "elementwise",
    a=lambda F, g, a, b, x: -g * F.beta_moment(a, b, x, j=1, k=0),
    b=lambda F, g, a, b, x: -g * F.beta_moment(a, b, x, j=0, k=1),
    x=lambda F, g, a, b, x: -g * _density(F, a, b, x),
    to_float=True,
    refuses="c",
)
def betaincc(F: Any, a: Array, b: Array, x: Array) -> Array:
    """Return 1 - betainc(a, b, x), accurate where betainc(a, b, x) is near 1."""
    return F.special("betaincc", a, b, x)


def _moment(F: Any, a: Array, b: Array, x: Array, j: int, k: int) -> Array:
    return F.betainc(a, b, x) if j == k == 0 else F.beta_moment(a, b, x, j=j, k=k)


def _first_pull(F: Any, g: Array, a: Array, b: Array, x: Array, j: int, k: int) -> Array:
    slope, both = _moment(F, a, b, x, j + 1, k), F.polygamma(a + b, order=1)
    if j:
        slope = slope - (F.polygamma(a, order=1) - both) * _moment(F, a, b, x, j - 1, k) * j
    return g * (slope + both * _moment(F, a, b, x, j, k - 1) * k if k else slope)


def _second_pull(F: Any, g: Array, a: Array, b: Array, x: Array, j: int, k: int) -> Array:
    slope, both = _moment(F, a, b, x, j, k + 1), F.polygamma(a + b, order=1)
    if k:
        slope = slope - (F.polygamma(b, order=1) - both) * _moment(F, a, b, x, j, k - 1) * k
    return g * (slope + both * _moment(F, a, b, x, j - 1, k) * j if j else slope)


def _bound_pull(F: Any, g: Array, a: Array, b: Array, x: Array, j: int, k: int) -> Array:
    both = F.digamma(a + b)
    first = F.power_number(F.log(x) - (F.digamma(a) - both), exponent=j) if j else 1
    second = F.power_number(F.log1p(-x) - (F.digamma(b) - both), exponent=k) if k else 1
    return g * first * second * _density(F, a, b, x)


@primitive("elementwise", a=_first_pull, b=_second_pull, x=_bound_pull, refuses="biuc")
def beta_moment(F: Any, a: Array, b: Array, x: Array, *, j: int, k: int) -> Array:
    """Return the integral from 0 to `x` of (log t - m)**j (log(1 - t) - n)**k over the beta distribution.

    m and n are the means of the two logarithms. These are the derivatives of betainc by `a` and `b`, up to lower ones; by
    the quadrature of `gamma_moment` over log t from `x` down or, beyond the mean, over log(1 - t).
    """
    dtype = x.dtype
    a, b, x = (F.expand_dims(F.astype(each, "float64"), -1) for each in (a, b, x))
    psi = [F.special("psi", each) for each in (a, b, a + b)]
    beyond = x * (a + b) > a
    p, q = F.where(beyond, b, a), F.where(beyond, a, b)
    end, rest = F.where(beyond, 1 - x, x), F.where(beyond, x, 1 - x)
    log_end, log_beta = F.log(end), F.special("betaln", a, b)
    rate = 1.1 * p - (q - 1) * end / rest + F.sqrt(F.maximum(q - 1, 0.0) * end) / rest

    def integrand(s: Array) -> Array:
        step = s / rate
        log_t, log_u = log_end - step, F.log(rest - end * F.expm1(-step))
        height = F.exp(p * log_t + (q - 1) * log_u - log_beta)
        first, second = F.where(beyond, log_u, log_t), F.where(beyond, log_t, log_u)
        part = height * (first - (psi[0] - psi[2])) ** j * (second - (psi[1] - psi[2])) ** k * step
        return F.where(height == 0, 0.0, part)

    total = half_line(F, integrand, (a * b * x).size)
    whole = _whole_moment(F, a[..., 0], b[..., 0], j, k)
    return F.astype(F.where(beyond[..., 0], whole - total, total), dtype)


def _cumulant(F: Any, a: Array, b: Array, j: int, k: int) -> Array:
    """The joint cumulant of log t and log(1 - t)."""
    n = j + k
    factor = (-1) ** n * math.factorial(n - 1)  # of the polygamma of order n - 1, as a zeta function
    both = -factor * F.special("zeta", n, a + b)
    return both + factor * F.special("zeta", n, b if k == n else a) if n in (j, k) else both


def _whole_moment(F: Any, a: Array, b: Array, j: int, k: int) -> Array:
    """The central moment of orders `j` and `k` of log t and log(1 - t), from their cumulants."""
    if j == k == 0:
        return 1.0
    if j == 0:
        return _whole_moment(F, b, a, k, 0)
    total = F.zeros_like(a * b)
    for i in range(j):
        for m in range(k + 1):
            if i + m:  # the means are subtracted
                rest = _whole_moment(F, a, b, j - 1 - i, k - m)
                total = total + math.comb(j - 1, i) * math.comb(k, m) * _cumulant(F, a, b, i + 1, m) * rest
    return total
