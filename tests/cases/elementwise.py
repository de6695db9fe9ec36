"""The cases of pointwise primitives. It must not know how they are tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases import Case, pointwise

Rng = np.random.Generator


def between_integers(rng: Rng, shape: tuple[int, ...]) -> Any:
    """Numbers of both signs that no numerical difference carries over an integer or a half."""
    halves = rng.integers(-6, 6, size=shape) + rng.uniform(0.2, 0.8, size=shape)
    return halves / 2


def apart(n: int, shape: tuple[int, ...] = (2, 3)) -> Callable[[Rng], tuple[Any, ...]]:
    """`n` arrays that differ by at least 0.2 everywhere."""

    def make(rng: Rng) -> tuple[Any, ...]:
        ranks = np.argsort(rng.uniform(size=(n, *shape)), axis=0)
        return tuple(ranks + rng.uniform(-0.4, 0.4, size=(n, *shape)) + rng.integers(-3, 3, size=shape))

    return make


def chosen(*shapes: tuple[int, ...]) -> Callable[[Rng], tuple[Any, ...]]:
    """A boolean array and two others."""
    return lambda rng: (
        rng.uniform(size=shapes[0]) < 0.5,
        *(np.asarray(rng.normal(size=s)) for s in shapes[1:]),
    )


def divided(*shapes: tuple[int, ...]) -> Callable[[Rng], tuple[Any, ...]]:
    """A dividend and a divisor whose quotient is not near an integer."""

    def make(rng: Rng) -> tuple[Any, ...]:
        divisor = np.asarray(rng.uniform(1.5, 3, size=shapes[1]) * rng.choice([-1, 1], size=shapes[1]))
        quotient = rng.integers(-4, 4, size=shapes[0]) + rng.uniform(0.3, 0.7, size=shapes[0])
        return np.asarray(quotient * divisor), divisor

    return make


def integers(n: int, low: int = -9, high: int = 9) -> Callable[[Rng], tuple[Any, ...]]:
    return lambda rng: tuple(rng.integers(low, high, size=(2, 3)) for _ in range(n))


CASES = [
    *(case for name in ("add", "subtract", "reverse_subtract", "multiply") for case in pointwise(name, 2, complex_=True)),
    *(
        case
        for name in ("negative", "zero", "exp", "expm1", "sin", "cos", "sinh", "cosh")
        for case in pointwise(name, complex_=True)
    ),
    *(case for name in ("sigmoid", "erf", "tanh") for case in pointwise(name)),
    *(case for name in ("sigmoid_backward", "tanh_backward") for case in pointwise(name, 2, complex_=True)),
    *(
        case
        for name in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal")
        for case in pointwise(name, low=0.5, complex_=True)
    ),
    *(case for name in ("tan", "arctan", "tanh") for case in pointwise(name, low=-0.7, high=0.7, complex_=True)),
    *(case for name in ("arcsin", "arccos") for case in pointwise(name, low=-0.7, high=0.7)),
    *pointwise("log1p", low=-0.5),
    *pointwise("divide", 2, low=0.5, complex_=True),
    *pointwise("arctan2", 2, low=0.3),
    Case("arctan2", lambda rng: (rng.normal(size=4), -rng.uniform(1, 2, size=4)), label="behind"),
    Case("arctan2", lambda rng: (np.zeros(3), np.zeros(3)), label="origin", smooth=False),
    *pointwise("absolute", low=0.5, complex_=True),
    *pointwise("sign", low=0.5),
    *pointwise("sgn", low=0.5, complex_=True),
    Case("absolute", lambda rng: (np.array([0.0, 1.0, -1.0]),), label="zero", smooth=False),
    *pointwise("power", 2, low=0.5, complex_=True),
    Case("power", lambda rng: (np.zeros(3), np.array([0.0, 1.0, 2.5])), label="zero", smooth=False),
    *(
        Case("power_number", lambda rng: (rng.uniform(0.5, 2, size=(2, 3)),), {"exponent": k}, str(k), True)
        for k in (0, 1, 2, 3, 4, 0.5, -1, -2.5)
    ),
    Case("power_number", lambda rng: (rng.normal(size=(2, 3)),), {"exponent": 2}, "negative", True),
    *pointwise("number_power", base=2, complex_=True),
    Case("number_power", lambda rng: (np.array([-1.0, 0.0, 2.5]),), {"base": 0}, smooth=False),
    *(Case(name, divided((2, 3), (2, 3))) for name in ("floor_divide", "trunc_divide", "remainder", "fmod")),
    *(
        Case(name, divided((4, 3), (3,)), label="broadcast")
        for name in ("floor_divide", "trunc_divide", "remainder", "fmod")
    ),
    *(Case(name, lambda rng: (between_integers(rng, (2, 3)),)) for name in ("floor", "ceil", "trunc", "round_half_even")),
    Case("round_half_even", lambda rng: (between_integers(rng, (2, 3)) / 10,), {"decimals": 1}),
    Case("round_half_even", lambda rng: (between_integers(rng, (2, 3)) * 10,), {"decimals": -1}),
    *(Case(name, apart(2)) for name in ("maximum", "minimum", "clip_below", "clip_above")),
    *(
        Case(name, lambda rng: (np.ones((2, 3)), np.ones(3)), label="tie", smooth=False)
        for name in ("maximum", "minimum", "clip_below", "clip_above")
    ),
    Case("clip_between", apart(3)),
    Case("clip_between", lambda rng: (np.ones(3), np.ones(3), np.ones(())), label="tie", smooth=False),
    *(
        Case("clip", lambda rng: (between_integers(rng, (2, 3)),), {"lo": lo, "hi": hi})
        for lo, hi in ((-1, 1), (None, 0.5), (0, None), (1, -1))
    ),
    Case("where", chosen((2, 3), (2, 3), (2, 3)), complex_=True),
    Case("where", chosen((4, 1), (3,), ()), label="broadcast", complex_=True),
    Case("fill", lambda rng: (rng.normal(size=(2, 3)), np.asarray(rng.normal())), complex_=True),
    *pointwise("conj", complex_=True),
    *pointwise("angle", low=0.5, complex_=True),
    *(Case("real", lambda rng, s=s: (np.asarray(rng.normal(size=s)),), complex_=True) for s in ((2, 3), ())),  # type: ignore[misc]
    *(Case("imag", lambda rng, s=s: (np.asarray(rng.normal(size=s) + 1j * rng.normal(size=s)),)) for s in ((2, 3), ())),  # type: ignore[misc]
    *(
        Case("view_as_real", lambda rng, s=s: (np.asarray(rng.normal(size=s) + 1j * rng.normal(size=s)),))  # type: ignore[misc]
        for s in ((2, 3), ())
    ),
    *(Case("view_as_complex", lambda rng, s=s: (np.asarray(rng.normal(size=s)),)) for s in ((2, 3, 2), (2,))),  # type: ignore[misc]
    *(
        Case(
            name,
            lambda rng: tuple(rng.integers(-2, 2, size=(2, 3)) * 1.0 for _ in range(2)),
            complex_=name in ("equal", "not_equal"),
            smooth=False,
        )
        for name in (
            "equal",
            "not_equal",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
            "logical_and",
            "logical_or",
            "logical_xor",
        )
    ),
    *(
        Case(name, lambda rng: (np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan]),), smooth=False)
        for name in ("isnan", "isinf", "isfinite", "signbit", "logical_not")
    ),
    *(Case(name, integers(2)) for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm")),
    *(Case(name, integers(2, 0, 9)) for name in ("left_shift", "right_shift")),
    Case("bitwise_not", integers(1)),
    *pointwise("hypot", 2, low=0.3),
    *pointwise("ldexp", 2, complex_=True),
    *pointwise("lerp", 3, low=0.6, high=2.0, complex_=True),
    *pointwise("lerp", 3, low=-0.4, high=0.4, complex_=True),
]
