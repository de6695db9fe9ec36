"""Error functions, integrals of exponentials and others, with derivatives. It must not know shapes or Tensors."""

from __future__ import annotations

import math
from typing import Any

from gradcore.primitives.elementwise import like
from gradcore.recorder import primitive

Array = Any

_ROOT_PI = math.sqrt(math.pi)
_ROOT_HALF = math.sqrt(0.5)


def _sinc_pull(F: Any, g: Array, x: Array) -> Array:
    z = x * math.pi
    return F.where(x * x == 0, F.zero(x), g * ((z * F.cos(z) - F.sin(z)) / (x * z)))


@primitive("elementwise", x=_sinc_pull, to_float=True)
def sinc(F: Any, x: Array) -> Array:
    """Return sin(pi * x) / (pi * x), which is 1 at 0."""
    z = x * math.pi
    return like(F, F.where(x == 0, 1, F.sin(z) / z), x)


# -- the normal distribution -----------------------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.exp(-(x * x)) * (-2 / _ROOT_PI), to_float=True, refuses="c")
def erfc(F: Any, x: Array) -> Array:
    """Return 1 - erf(x), accurate where erf(x) is near 1."""
    return F.erfc(x)


@primitive("elementwise", x=lambda F, g, x: g * F.exp(F.erfinv(x) ** 2) * (_ROOT_PI / 2), to_float=True, refuses="c")
def erfinv(F: Any, x: Array) -> Array:
    """Return the number whose error function is `x`; infinite at -1 and 1, NaN beyond."""
    return F.special("erfinv", x)


@primitive("elementwise", x=lambda F, g, out: g * F.exp(out * out) * (-_ROOT_PI / 2), to_float=True, refuses="c")
def erfcinv(F: Any, x: Array) -> Array:
    """Return the number whose complementary error function is `x`."""
    return F.special("erfcinv", x)


@primitive(
    "elementwise", x=lambda g, x, out: g * ((x + x) * out - 2 / _ROOT_PI), to_float=True, refuses="c", node="SpecialErfcx"
)
def erfcx(F: Any, x: Array) -> Array:
    """Return exp(x**2) * erfc(x), without overflow for positive `x`."""
    return F.special("erfcx", x)


@primitive(
    "elementwise",
    x=lambda F, g, out: g * F.exp(out * out / 2) * math.sqrt(2 * math.pi),
    to_float=True,
    refuses="c",
    node="SpecialNdtri",
)
def ndtri(F: Any, x: Array) -> Array:
    """Return the quantile of the normal distribution for the probability `x`; NaN outside [0, 1]."""
    return F.special("ndtri", x)


@primitive(
    "elementwise",
    x=lambda F, g, x: g / F.erfcx(x * -_ROOT_HALF) * math.sqrt(2 / math.pi),
    to_float=True,
    refuses="c",
    node="SpecialLogNdtr",
)
def log_ndtr(F: Any, x: Array) -> Array:
    """Return the logarithm of the normal distribution function, accurate in both tails."""
    return F.special("log_ndtr", x)


# -- entropies -------------------------------------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: -g * (F.log(x) + 1), to_float=True, refuses="c", node="SpecialEntr")
def entr(F: Any, x: Array) -> Array:
    """Return -x * log(x): 0 at 0, minus infinity below."""
    out = F.where(x > 0, -x * F.log(x), F.where(x == 0, x, -math.inf))
    return like(F, F.where(F.isnan(x), x, out), x)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: F.masked(g * F.log1p(y), F.logical_not((x == 0) & (y <= -1))),
    y=lambda g, x, y: g * x / (y + 1),
    to_float=True,
    refuses="c",
    node="SpecialXlog1Py",
)
def xlog1py(F: Any, x: Array, y: Array) -> Array:
    """Return x * log(1 + y), which is 0 for x = 0 unless y is NaN."""
    return F.where((x == 0) & (y == y), F.zeros_like(x), x * F.log1p(y))


@primitive(
    "elementwise",
    x=lambda F, g, x, y: g * (F.log(x / y) + 1),
    y=lambda g, x, y: -g * (x / y),
    to_float=True,
    refuses="c",
)
def rel_entr(F: Any, x: Array, y: Array) -> Array:
    """Return x * log(x / y): 0 for x = 0 and y of at least 0, infinity for negative numbers."""
    return F.special("rel_entr", x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: g * F.log(x / y),
    y=lambda g, x, y: g - g * (x / y),
    to_float=True,
    refuses="c",
)
def kl_div(F: Any, x: Array, y: Array) -> Array:
    """Return x * log(x / y) - x + y: 0 where both are equal, infinity for negative numbers."""
    return F.special("kl_div", x, y)


# -- Fresnel's, Faddeeva's and Struve's functions ----------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.sin(x * x * (math.pi / 2)), to_float=True, refuses="c")
def fresnel_s(F: Any, x: Array) -> Array:
    """Return Fresnel's integral of sin(pi t**2 / 2) up to `x`."""
    return F.special("fresnel", x)[0]


@primitive("elementwise", x=lambda F, g, x: g * F.cos(x * x * (math.pi / 2)), to_float=True, refuses="c")
def fresnel_c(F: Any, x: Array) -> Array:
    """Return Fresnel's integral of cos(pi t**2 / 2) up to `x`."""
    return F.special("fresnel", x)[1]


@primitive("elementwise", x=lambda g, x, out: g * ((-2 * x) * out + 2j / _ROOT_PI), refuses="biuf")
def wofz(F: Any, x: Array) -> Array:
    """Return Faddeeva's function exp(-x**2) erfc(-i x) of complex numbers."""
    return F.special("wofz", x)


def _struve_pull(F: Any, g: Array, x: Array, out: Array, v: float) -> Array:
    return g * (F.struve(x, v=v - 1) - out / x * v)


@primitive("elementwise", x=_struve_pull, to_float=True, refuses="c")
def struve(F: Any, x: Array, *, v: float) -> Array:
    """Return Struve's function of order `v`."""
    return like(F, F.special("struve", v, x), x)


# -- integrals and inverses of exponentials --------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.exp(x) / x, to_float=True, refuses="c")
def expi(F: Any, x: Array) -> Array:
    """Return the exponential integral Ei(x), the integral of exp(t) / t up to `x`."""
    return F.special("expi", x)


@primitive("elementwise", x=lambda F, g, x: -g * F.exp(-x) / x, to_float=True, refuses="c")
def exp1(F: Any, x: Array) -> Array:
    """Return the exponential integral E1(x), the integral of exp(-t) / t from `x` on."""
    return F.special("exp1", x)


def _expn_pull(F: Any, g: Array, x: Array, out: Array, n: int) -> Array:
    return -g * (F.expn(x, n=n - 1) if n else out + out / x)


@primitive("elementwise", x=_expn_pull, to_float=True, refuses="c")
def expn(F: Any, x: Array, *, n: int) -> Array:
    """Return the generalised exponential integral, of exp(-x t) / t**n from 1 on."""
    return like(F, F.special("expn", n, x), x)


@primitive("elementwise", x=lambda F, g, x: g * F.hyp1f1(x, a=2, b=3) / 2, to_float=True, refuses="c")
def exprel(F: Any, x: Array) -> Array:
    """Return (exp(x) - 1) / x, which is 1 at 0."""
    return F.special("exprel", x)


@primitive("elementwise", x=lambda g, x, out: g * (1 - (x + x) * out), to_float=True, refuses="c")
def dawsn(F: Any, x: Array) -> Array:
    """Return Dawson's integral, exp(-x**2) times the integral of exp(t**2) from 0 to `x`."""
    return F.special("dawsn", x)


@primitive("elementwise", x=lambda F, g, x, out: g / (x + F.exp(out)), to_float=True, refuses="c")
def lambertw(F: Any, x: Array) -> Array:
    """Return the w of at least -1 with w * exp(w) = x; NaN below -1/e."""
    w = F.astype(F.special("lambertw", x), x.dtype)
    return like(F, F.where(x < -math.exp(-1), math.nan, w), x)


@primitive("elementwise", x=lambda F, g, x: -g * F.hyp2f1(1 - x, a=1, b=1, c=2), to_float=True, refuses="c")
def spence(F: Any, x: Array) -> Array:
    """Return the dilogarithm Li2(1 - x), the integral of log(t) / (1 - t) from 1 to `x`."""
    return F.special("spence", x)


# -- hypergeometric functions, and the elliptic integrals of the parameter m = k**2 that are some ---------------------


@primitive(
    "elementwise", x=lambda F, g, x, a, b: g * F.hyp1f1(x, a=a + 1, b=b + 1) * (a / b), to_float=True, refuses="c"
)
def hyp1f1(F: Any, x: Array, *, a: float, b: float) -> Array:
    """Return the confluent hypergeometric function 1F1(a; b; x)."""
    return F.special("hyp1f1", a, b, x)


@primitive(
    "elementwise",
    x=lambda F, g, x, a, b, c: g * F.hyp2f1(x, a=a + 1, b=b + 1, c=c + 1) * (a * b / c),
    to_float=True,
    refuses="c",
)
def hyp2f1(F: Any, x: Array, *, a: float, b: float, c: float) -> Array:
    """Return the hypergeometric function 2F1(a, b; c; x) for `x` up to 1."""
    return like(F, F.special("hyp2f1", a, b, c, x), x)


@primitive(
    "elementwise", x=lambda F, g, x: g * F.hyp2f1(x, a=1.5, b=1.5, c=2) * (math.pi / 8), to_float=True, refuses="c"
)
def ellipk(F: Any, x: Array) -> Array:
    """Return the complete elliptic integral of the first kind with the parameter `x`."""
    return F.special("ellipk", x)


@primitive(
    "elementwise", x=lambda F, g, x: g * F.hyp2f1(x, a=0.5, b=1.5, c=2) * (-math.pi / 8), to_float=True, refuses="c"
)
def ellipe(F: Any, x: Array) -> Array:
    """Return the complete elliptic integral of the second kind with the parameter `x`."""
    return F.special("ellipe", x)


def _root(F: Any, phi: Array, m: Array) -> Array:
    sine = F.sin(phi)
    return F.sqrt(1 - m * (sine * sine))


def _incomplete_pull(F: Any, g: Array, phi: Array, m: Array, out: Array) -> Array:
    rest = 1 - m
    part = F.ellipeinc(phi, m) / (m * rest) - out / m - F.sin(phi + phi) / (rest * _root(F, phi, m)) / 2
    return g * part / 2


@primitive(
    "elementwise",
    phi=lambda F, g, phi, m: g / _root(F, phi, m),
    m=_incomplete_pull,
    to_float=True,
    refuses="c",
)
def ellipkinc(F: Any, phi: Array, m: Array) -> Array:
    """Return the elliptic integral of the first kind up to `phi`; the derivative by `m` at 0 is NaN."""
    return F.special("ellipkinc", phi, m)


@primitive(
    "elementwise",
    phi=lambda F, g, phi, m: g * _root(F, phi, m),
    m=lambda F, g, phi, m, out: g * (out - F.ellipkinc(phi, m)) / (m + m),
    to_float=True,
    refuses="c",
)
def ellipeinc(F: Any, phi: Array, m: Array) -> Array:
    """Return the elliptic integral of the second kind up to `phi`; the derivative by `m` at 0 is NaN."""
    return F.special("ellipeinc", phi, m)
