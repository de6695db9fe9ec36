"""torch.special: orthogonal polynomials, by their recurrences. It must not know any derivative.

Everything is a sum and a product, so these have derivatives of every order, which torch's have not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore.backends import of
from gradcore.ops.arguments import not_a_tensor
from gradcore.ops.numbers import floating, full, promoted
from gradcore.ops.registry import named, op
from gradcore.ops.shaping import broadcast_shapes, expand_to
from gradcore.primitives import elementwise as e
from gradcore.primitives.selection import where
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value, wrap

# One polynomial from the two before it: step(k, x, p[k], p[k-1]) is p[k+1].
Step = Callable[[int, Any, Any, Any], Any]


def _family(name: str, what: str, first: Callable[[Any], Any], step: Step) -> None:
    """Publish special.`name`(input, n), whose polynomial of degree 0 is 1 and of degree 1 is `first`."""

    def polynomial(input: Any, n: Any) -> Any:
        x, degree = operand(input), operand(n)
        if x is NotImplemented:
            raise not_a_tensor(f"special.{name}", "input", 1, input)
        if degree is NotImplemented or not (isinstance(x, Value) or isinstance(degree, Value)):
            raise not_a_tensor(f"special.{name}", "n", 2, n)
        dtype = promoted(x, degree)
        if dtype.kind == "c":
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for complex numbers")
        x = full(x, degree, floating(dtype))
        if isinstance(degree, Value):
            return _of_degrees(x, degree, first, step)
        return _of_degree(x, int(degree), first, step)

    named(polynomial, name, "special")
    polynomial.__doc__ = f"Return {what} of the degree `n`, a number or a tensor of them, at `input`; 0 for a negative `n`."
    op(namespace="special", method=False, out=True)(polynomial)


def _of_degree(x: Any, n: int, first: Callable[[Any], Any], step: Step) -> Any:
    if n <= 0:
        return e.add(e.zero(x), 1 if n == 0 else 0)
    before, here = e.add(e.zero(x), 1), first(x)
    for k in range(1, n):
        before, here = here, step(k, x, here, before)
    return here


def _of_degrees(x: Any, degrees: Any, first: Callable[[Any], Any], step: Step) -> Any:
    """The polynomials of several degrees, as far as the highest: to know that one, a device has to be waited for."""
    F = of(degrees._array)
    n = F.astype(degrees._array, "int64")
    shape = broadcast_shapes(x._array.shape, n.shape)
    x = expand_to(x, shape)
    top = int(F.max(n)) if n.size else 0
    one = e.add(e.zero(x), 1)
    out = where(wrap(F.as_array(n == 0)), one, 0)
    before, here = one, first(x)
    for k in range(1, top + 1):
        out = where(wrap(F.as_array(n == k)), here, out)
        before, here = here, step(k, x, here, before)
    return out


def _doubling(k: int, x: Any, here: Any, before: Any) -> Any:
    return (x + x) * here - before


_CHEBYSHEV = {"t": lambda x: x, "u": lambda x: x + x, "v": lambda x: x + x - 1, "w": lambda x: x + x + 1}
for _kind, _first in _CHEBYSHEV.items():
    _family(f"chebyshev_polynomial_{_kind}", f"the Chebyshev polynomial {_kind.upper()}", _first, _doubling)
    _family(
        f"shifted_chebyshev_polynomial_{_kind}",
        f"the Chebyshev polynomial {_kind.upper()} at 2 x - 1",
        lambda x, first=_first: first(x + x - 1),  # type: ignore[misc]
        lambda k, x, here, before: _doubling(k, x + x - 1, here, before),
    )
_family(
    "hermite_polynomial_h",
    "the physicist's Hermite polynomial",
    lambda x: x + x,
    lambda k, x, here, before: (x + x) * here - before * (2 * k),
)
_family(
    "hermite_polynomial_he",
    "the probabilist's Hermite polynomial",
    lambda x: e.add(x, 0),
    lambda k, x, here, before: x * here - before * k,
)
_family(
    "laguerre_polynomial_l",
    "the Laguerre polynomial",
    lambda x: 1 - x,
    lambda k, x, here, before: ((2 * k + 1 - x) * here - before * k) / (k + 1),
)
_family(
    "legendre_polynomial_p",
    "the Legendre polynomial",
    lambda x: e.add(x, 0),
    lambda k, x, here, before: (x * here * (2 * k + 1) - before * k) / (k + 1),
)
