"""The cases of distances. It must not know how they are tested."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, pointwise

CASES = [
    *pointwise("huber", low=-0.4, high=0.4, delta=0.5),
    *pointwise("huber", low=0.6, high=2.0, delta=0.5),
    *pointwise("huber", low=-2.0, high=-0.6, delta=0.5),
    Case("huber", lambda rng: (np.array([-0.5, 0.0, 0.5]),), {"delta": 0.5}, "kink", smooth=False),
]
