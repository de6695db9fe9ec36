"""The cases of rare pointwise primitives. It must not know how they are tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Case, pointwise

_NAN, _INF = np.nan, np.inf


def _apart(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.permutation(6.0 * np.arange(1, 7)), rng.permutation(6.0 * np.arange(1, 7) + 3)


def _nans(rng: np.random.Generator) -> tuple[Any, ...]:
    return np.array([_NAN, 1.0, _NAN, 2.0]), np.array([1.0, _NAN, _NAN, 2.0])


CASES = [
    *(case for name in ("arcsinh", "exp2") for case in pointwise(name, complex_=True)),
    *pointwise("arctanh", low=-0.7, high=0.7, complex_=True),
    *pointwise("arccosh", low=1.2, high=3.0),
    *(case for name in ("logaddexp", "logaddexp2") for case in pointwise(name, 2)),
    *pointwise("xlogy", 2, low=0.5),
    Case("xlogy", lambda rng: (np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 2.0, _NAN, 0.0])), label="0", smooth=False),
    *pointwise("logit", low=0.1, high=0.9),
    *pointwise("logit", low=0.3, high=0.7, eps=0.2),
    Case("logit", lambda rng: (np.array([-1.0, 0.0, 0.1, 1.0, 2.0]),), {"eps": 0.2}, "kept", smooth=False),
    Case("logit", lambda rng: (np.array([-1.0, 0.0, 1.0, 2.0]),), label="outside", smooth=False),
    *pointwise("sinc", low=0.3, complex_=True),
    Case("sinc", lambda rng: (np.zeros(2),), label="0", smooth=False),
    *pointwise("frac", low=0.1, high=0.9),
    *pointwise("hypot", 2, low=0.3),
    *pointwise("copysign", 2, low=0.3),
    *pointwise("copysign", 2, low=-2.0, high=-0.3),
    Case("copysign", lambda rng: (np.array([0.0, 1.0, -1.0]), np.array([-1.0, -0.0, 0.0])), label="0", smooth=False),
    *(Case(name, _apart, label="apart") for name in ("fmax", "fmin")),
    *(Case(name, _nans, label="nan", smooth=False) for name in ("fmax", "fmin")),
    *pointwise("nan_to_num", nan=0.0, posinf=1e9, neginf=-1e9),
    Case(
        "nan_to_num",
        lambda rng: (np.array([_NAN, _INF, -_INF, 1.0]),),
        {"nan": 1.0, "posinf": 2.0, "neginf": -2.0},
        "replaced",
        smooth=False,
    ),
    *pointwise("lerp", 3, low=0.6, high=2.0, complex_=True),
    *pointwise("lerp", 3, low=-0.4, high=0.4, complex_=True),
]
