"""The cases of special functions. It must not know how they are tested."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, pointwise

CASES = [
    *pointwise("sinc", low=0.3, complex_=True),
    Case("sinc", lambda rng: (np.zeros(2),), label="0", smooth=False),
]
