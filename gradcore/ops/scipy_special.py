"""Special functions that SciPy has and torch has not, in gradcore.special. It must not know any derivative.

They have SciPy's names and order of arguments. Parameters that must be numbers have no derivative in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.creation import as_tensor
from gradcore.ops.direct import public
from gradcore.ops.registry import functions, named, op
from gradcore.ops.selection import where
from gradcore.primitives import bessel_orders as b
from gradcore.primitives import beta as distribution
from gradcore.primitives import elementwise as e
from gradcore.primitives import gamma as g
from gradcore.primitives import special as p
from gradcore.primitives import transcendental as t
from gradcore.primitives.complex_parts import real
from gradcore.primitives.logarithms import logaddexp
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

# -- as they are -----------------------------------------------------------------------------------------------------

for _one in (p.erfcinv, p.expi, p.exp1, p.exprel, p.dawsn, p.lambertw, p.spence, p.ellipk, p.ellipe, g.gamma, g.rgamma):
    public(_one, f"special.{_one.primitive.name}")  # type: ignore[attr-defined]


def _as_exact(x: Any, *others: Any) -> Any:
    """`x` as a tensor: a number in the dtype of the first tensor among the others, of which it takes no precision."""
    like = next((each for each in others if isinstance(each, Value)), None)
    if isinstance(x, Value) or like is None:
        return x if isinstance(x, Value) else as_tensor(x)
    given: Any = like
    return as_tensor(x, dtype=given.dtype if given.is_floating_point() else None, device=given.device)


def _of_several(function: Callable[..., Any]) -> None:
    """Publish a primitive of several arguments, of which all but one may be numbers."""
    op_ = function.primitive  # type: ignore[attr-defined]

    def public_form(*values: Any) -> Any:
        if len(values) != len(op_.inputs):
            raise TypeError(f"special.{op_.name}() takes {', '.join(op_.inputs)}, not {len(values)} arguments")
        like = next((x for x in values if isinstance(x, Value)), None)
        if like is None:
            raise TypeError(f"special.{op_.name}(): one of {', '.join(op_.inputs)} must be a Tensor")
        return function(*(_as_exact(x, like) for x in values))

    _publish(op_.name, public_form, f"{function.__doc__} All but one may be numbers.")


def _publish(name: str, form: Callable[..., Any], what: str) -> None:
    named(form, name, "special").__doc__ = what


for _several in (
    distribution.beta, distribution.betaln, distribution.betainc, distribution.betaincc, g.gammaincinv, g.poch,
    p.rel_entr, p.kl_div, p.ellipkinc, p.ellipeinc, b.jv, b.yv, b.iv, b.kv, b.ive, b.kve,
):  # fmt: skip
    _of_several(_several)
functions["special"]["jn"], functions["special"]["yn"] = functions["special"]["jv"], functions["special"]["yv"]


# -- with numbers for parameters -------------------------------------------------------------------------------------


def _number(x: Any) -> Any:
    """A Python number for a constant 0-d tensor, which NumPy's protocol makes of one."""
    plain = isinstance(x, Value) and not x._array.ndim and x._node is None
    return x._array.item() if plain else x


def _with_numbers(function: Callable[..., Any], *parameters: str) -> None:
    name = function.primitive.name  # type: ignore[attr-defined]

    def public_form(*values: Any) -> Any:
        if len(values) != len(parameters) + 1:
            raise TypeError(f"special.{name}() takes {', '.join(parameters)} and x, not {len(values)} arguments")
        *numbers, x = values
        need_tensor(x, f"special.{name}", "x")
        numbers = [_number(each) for each in numbers]
        for parameter, number in zip(parameters, numbers, strict=True):
            if type(number) not in (int, float):
                raise TypeError(
                    f"special.{name}(): argument '{parameter}' must be a number, not {type(number).__name__}: the "
                    "derivative by it is not known"
                )
        return function(x, **dict(zip(parameters, numbers, strict=True)))

    _publish(name, public_form, f"{function.__doc__} It takes {', '.join(parameters)}, numbers, and `x`, a tensor.")


_with_numbers(p.expn, "n")
_with_numbers(p.struve, "v")
_with_numbers(p.hyp1f1, "a", "b")
_with_numbers(p.hyp2f1, "a", "b", "c")


# -- compositions ----------------------------------------------------------------------------------------------------


@op(namespace="special", method=False)
def exp10(x: Tensor) -> Any:
    """Return 10 to the power of each element."""
    need_tensor(x, "special.exp10", "x")
    return e.number_power(e.add(x, 0.0), base=10.0)


@op(namespace="special", method=False)
def cosm1(x: Tensor) -> Any:
    """Return cos(x) - 1, accurate near 0."""
    need_tensor(x, "special.cosm1", "x")
    half = t.sin(e.divide(x, 2))
    return e.multiply(e.multiply(half, half), -2)


@op(namespace="special", method=False)
def log_expit(x: Tensor) -> Any:
    """Return the logarithm of the logistic function, accurate where that is near 0 or 1."""
    need_tensor(x, "special.log_expit", "x")
    return e.negative(logaddexp(e.negative(x), e.zero(x)))


@op(namespace="special", method=False)
def fresnel(z: Tensor) -> tuple[Any, Any]:
    """Return Fresnel's integrals of sin and cos of pi t**2 / 2 up to `z`, real."""
    need_tensor(z, "special.fresnel", "z")
    return p.fresnel_s(z), p.fresnel_c(z)


@op(namespace="special", method=False)
def wofz(z: Tensor) -> Any:
    """Return Faddeeva's function exp(-z**2) erfc(-i z), complex."""
    need_tensor(z, "special.wofz", "z")
    return p.wofz(e.add(z, 0j))


@op(namespace="special", method=False)
def voigt_profile(x: Any, sigma: Any, gamma: Any) -> Any:
    """Return the density at `x` of the sum of a normal and a Cauchy distributed number, of positive scale `sigma` and
    scale `gamma`; differentiable in all."""
    width = e.multiply(_as_exact(sigma, x, gamma), math.sqrt(2))
    turned = e.divide(e.add(e.multiply(_as_exact(gamma, x, sigma), 1j), x), width)
    return e.divide(real(p.wofz(turned)), e.multiply(width, math.sqrt(math.pi)))


@op(namespace="special", method=False)
def log1pexp(x: Tensor) -> Any:
    """Return log(1 + exp(x)), without overflow."""
    need_tensor(x, "special.log1pexp", "x")
    return logaddexp(x, e.zero(x))


@op(namespace="special", method=False)
def huber(delta: Any, r: Tensor) -> Any:
    """Return r**2 / 2 up to abs(r) = delta, and from there on the line that continues it."""
    size = e.absolute(r)
    return where(size <= delta, e.multiply(e.multiply(r, r), 0.5), (size - delta / 2) * delta)


@op(namespace="special", method=False)
def pseudo_huber(delta: Any, r: Tensor) -> Any:
    """Return delta**2 * (sqrt(1 + (r / delta)**2) - 1), a smooth `huber`."""
    z = e.divide(r, delta)
    square = z * z
    return square / (e.sqrt(square + 1) + 1) * delta * delta


@op(namespace="special", method=False)
def boxcox(x: Any, lmbda: Any) -> Any:
    """Return (x**lmbda - 1) / lmbda, which is log(x) for lmbda = 0; differentiable in both."""
    log = t.log(_as_exact(x, lmbda))
    return e.multiply(log, p.exprel(e.multiply(log, lmbda)))


@op(namespace="special", method=False)
def inv_boxcox(y: Any, lmbda: Any) -> Any:
    """Return the number whose `boxcox` is `y`; differentiable in both."""
    z = e.multiply(_as_exact(y, lmbda), lmbda)
    return t.exp(e.multiply(p.hyp2f1(e.negative(z), a=1, b=1, c=2), y))
