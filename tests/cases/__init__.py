"""The case table: inputs for every primitive, of which all properties are tested. It must not know how.

Each module lists `CASES` of one family. `make(rng)` returns the positional inputs as float64 NumPy arrays (None or
a Python number where the primitive takes that; integer, bool and complex arrays where it needs them); NumPy arrays
inside `params` (an index, say) are moved to the device with them. `tests/test_cases.py` runs each case in float64,
float32 and, if `complex_`, in complex dtypes; with contiguous and non-contiguous inputs; on NumPy, the strict
double and, when there is one, a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of a primitive: `gradcore.primitives.*.<primitive>(*make(rng), **params)`."""

    primitive: str
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    params: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    complex_: bool = False
    smooth: bool = True  # False: a kink or tie may be hit, so no numerical differences
    waits: bool = False  # True: on a device it must wait, because the shape of its result depends on values
    host: bool = False  # True: CuPy has no such function


def normal(*shapes: tuple[int, ...], low: float | None = None, high: float | None = None) -> Callable[..., Any]:
    """Inputs of these shapes: normal numbers, or uniform between `low` and `high`."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        if low is None or high is None:
            return tuple(np.asarray(rng.normal(size=shape)) for shape in shapes)
        return tuple(np.asarray(rng.uniform(low, high, size=shape)) for shape in shapes)

    return make


def pointwise(
    primitive: str,
    n: int = 1,
    *,
    low: float = -2.0,
    high: float = 2.0,
    complex_: bool = False,
    host: bool = False,
    **params: Any,
) -> list[Case]:
    """The cases of an elementwise primitive of `n` inputs: same shapes, 0-d, empty and, if n > 1, broadcasting ones."""
    shapes = {"same": [(2, 3)] * n, "0-d": [()] * n, "empty": [(0, 3)] * n}
    if n > 1:
        shapes["broadcast"] = [(2, 1, 3), (4, 1), ()][:n]
    return [
        Case(primitive, normal(*s, low=low, high=high), params, label, complex_, host=host) for label, s in shapes.items()
    ]
