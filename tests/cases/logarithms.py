"""The cases of logarithms and their kin. It must not know how they are tested."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, pointwise

CASES = [
    *(case for name in ("arcsinh", "exp2") for case in pointwise(name, complex_=True)),
    *pointwise("arctanh", low=-0.7, high=0.7, complex_=True),
    *pointwise("arccosh", low=1.2, high=3.0),
    *(case for name in ("logaddexp", "logaddexp2") for case in pointwise(name, 2)),
    *pointwise("xlogy", 2, low=0.5),
    Case("xlogy", lambda rng: (np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 2.0, np.nan, 0.0])), label="0", smooth=False),
    *pointwise("logit", low=0.1, high=0.9),
    *pointwise("logit", low=0.3, high=0.7, eps=0.2),
    Case("logit", lambda rng: (np.array([-1.0, 0.0, 0.1, 1.0, 2.0]),), {"eps": 0.2}, "kept", smooth=False),
    Case("logit", lambda rng: (np.array([-1.0, 0.0, 1.0, 2.0]),), label="outside", smooth=False),
]
