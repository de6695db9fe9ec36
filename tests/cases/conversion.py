"""The cases of conversions, copies and drawn numbers. It must not know how they are tested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.cases import Case, normal

SHAPES = {"matrix": (2, 3), "0-d": (), "empty": (0, 3)}


def _polar_parts(shape: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    return lambda rng: (rng.uniform(0.3, 2, shape), rng.normal(size=shape))


CASES = [
    *(Case("copy", normal(shape), label=label, complex_=True) for label, shape in SHAPES.items()),
    *(Case("copy", normal(shape), {"keep": True}, f"keep-{label}", True) for label, shape in SHAPES.items()),
    *(Case("alias", normal(shape), label=label, complex_=True) for label, shape in SHAPES.items()),
    # Not smooth for differences in float64; tests/test_conversion.py compares the derivatives with torch's.
    *(Case("astype", normal(shape), {"dtype": np.dtype("float32")}, label, smooth=False) for label, shape in SHAPES.items()),
    Case("complex_of", normal((2, 3), (2, 1))),
    Case("complex_of", normal((), ()), label="0-d"),
    *(Case("polar", _polar_parts(shape), label=label) for label, shape in SHAPES.items()),
    Case("drawn", normal((2, 3), (2, 3)), complex_=True),
    Case("drawn", normal((), ()), label="0-d"),
    Case("drawn_of_two", normal((2, 1), (3,), (2, 3))),
]
