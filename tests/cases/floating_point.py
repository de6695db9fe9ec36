"""The cases of operations on floating-point numbers. It must not know how they are tested."""

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
    *pointwise("frac", low=0.1, high=0.9),
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
    *(Case("frexp", lambda rng, s=s: (np.asarray(rng.uniform(1.1, 1.9, size=s) * 4),)) for s in ((2, 3), (), (0, 3))),  # type: ignore[misc]
    *pointwise("nextafter", 2),
]
