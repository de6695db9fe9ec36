"""torch.special. It must not know any derivative.

What is not in NumPy is SciPy's (CuPy's on a GPU), which must be installed for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.direct import public
from gradcore.ops.filling import arange
from gradcore.ops.logarithms import applied, named_by_numbers
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, label, methods, op
from gradcore.ops.selection import where
from gradcore.ops.shaping import unsqueeze
from gradcore.primitives import bessel as b
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import gamma as g
from gradcore.primitives import special as p
from gradcore.recorder import renamed
from gradcore.recorder.inplace import inplace

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

# -- as they are -----------------------------------------------------------------------------------------------------

sinc = public(p.sinc, "sinc", "special.sinc")
erfc = public(p.erfc, "erfc", "special.erfc")
erfinv = public(p.erfinv, "erfinv", "special.erfinv")
erfcx = public(p.erfcx, "special.erfcx")
ndtri = public(p.ndtri, "special.ndtri")
log_ndtr = public(p.log_ndtr, "special.log_ndtr")
entr = public(p.entr, "special.entr")
digamma = public(g.digamma, "digamma", "special.digamma", "special.psi")
lgamma = public(g.lgamma, "lgamma", "special.gammaln")
igamma = public(g.gammainc, "igamma", "special.gammainc", numbers="neither")
igammac = public(g.gammaincc, "igammac", "special.gammaincc", numbers="neither")
i0 = public(b.i0, "i0", "special.i0")
i0e = public(b.i0e, "special.i0e")
i1 = public(b.i1, "special.i1")
i1e = public(b.i1e, "special.i1e")
airy_ai = public(b.airy_ai, "special.airy_ai")
for _name in (
    "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_k0", "modified_bessel_k1",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
):  # fmt: skip
    public(getattr(b, _name), f"special.{_name}")
modified_bessel_i0 = public(b.i0, "special.modified_bessel_i0")
modified_bessel_i1 = public(b.i1, "special.modified_bessel_i1")


# -- compositions ----------------------------------------------------------------------------------------------------


_halved = renamed(e.multiply, "MulBackward1")


@op(namespace="special", method=False, out=True)
def ndtr(input: Tensor) -> Any:
    """Return the distribution function of the normal distribution."""
    need_tensor(input, "special.ndtr")
    return _halved(p.erfc(e.multiply(input, -math.sqrt(0.5))), 0.5)


@op(namespace="special", method=False, out=True)
def spherical_bessel_j0(input: Tensor) -> Any:
    """Return sin(x) / x, the spherical Bessel function of order 0."""
    need_tensor(input, "special.spherical_bessel_j0")
    return where(c.isinf(input), 0.0, p.sinc(e.multiply(input, 1 / math.pi)))


@op(method=False, out=True)
def polygamma(n: int, input: Tensor) -> Any:
    """Return derivative number `n` of the digamma function. Raises RuntimeError for a negative `n`."""
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    need_tensor(input, "polygamma")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return g.polygamma(input, order=n)


@op(function=False)
def polygamma_(self: Tensor, n: int) -> Any:
    """Return derivative number `n` of the digamma function. Raises RuntimeError for a negative `n`."""
    return polygamma(n, self)


def _polygamma(self: Tensor, n: int) -> Any:
    out = polygamma(n, self)
    label(out, "PolygammaBackward1", (self,))
    return out


methods["polygamma_"] = inplace(_polygamma, "polygamma_")


functions["special"]["polygamma"] = functions[""]["polygamma"]


@op(inplace=True, out=True, node="Mvlgamma")
def mvlgamma(input: Tensor, p: int) -> Any:
    """Return the logarithm of the gamma function of `p` dimensions. Raises RuntimeError for a `p` below 1."""
    need_tensor(input, "mvlgamma")
    dtype = dtypes.of(input._array.dtype)
    if dtype.is_complex or dtype is dtypes.bool:
        raise RuntimeError(f"mvlgamma: The input tensor may not be a boolean or complex tensor (got {dtype})")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    steps = arange(p, dtype=input.dtype if dtype.is_floating_point else None, device=input.device) / -2
    terms = g.lgamma(e.add(unsqueeze(input, -1), steps))
    return e.add(sum(terms, -1), p * (p - 1) / 4 * math.log(math.pi))


functions["special"]["multigammaln"] = functions[""]["mvlgamma"]


_xlog1py = named_by_numbers(p.xlog1py, "SpecialXlog1Py")


@op(namespace="special", method=False, out=True)
def xlog1py(input: Any, other: Any) -> Any:
    """Multiply by log(1 + other): 0 where `input` is 0, whatever `other` but NaN; one may be a number."""
    return applied(_xlog1py, "special.xlog1py", input, other)


_zeta = named_by_numbers(g.zeta, "SpecialZeta")


@op(namespace="special", method=False, out=True)
def zeta(input: Any, other: Any) -> Any:
    """Return Hurwitz's zeta function, the sum of (n + other)**-input over n from 0; one may be a number."""
    return applied(_zeta, "special.zeta", input, other)
