"""Cases of the primitives behind adaptive pools, resampling and grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcore.primitives.resampling import Sampling
from tests.cases import Case, normal, pointwise

SAMPLINGS = [
    ("nearest", Sampling("nearest", 5, 8, 5 / 8)),
    ("nearest, fewer", Sampling("nearest-exact", 7, 3, 7 / 3)),
    ("linear", Sampling("linear", 4, 9, 4 / 9)),
    ("linear, aligned", Sampling("linear", 5, 3, 2.0, aligned=True)),
    ("cubic", Sampling("cubic", 3, 7, 3 / 7)),
    ("area", Sampling("area", 8, 5, 8 / 5)),
    ("wide linear", Sampling("linear", 9, 4, 9 / 4, wide=True)),
    ("wide cubic", Sampling("cubic", 6, 4, 3 / 2, wide=True)),
    ("wide lanczos", Sampling("lanczos", 7, 3, 7 / 3, wide=True)),
    ("one cell", Sampling("linear", 1, 3, 1 / 3)),
]

RESAMPLING = [
    Case(
        "resample",
        normal((2, sampling.out if transposed else sampling.size, 3)),
        {"axis": 1, "sampling": sampling, "transposed": transposed},
        f"{label}{', transposed' * transposed}",
    )
    for label, sampling in SAMPLINGS
    for transposed in (False, True)
]


def numbered(*shapes: tuple[int, ...], cells: tuple[int, int, int], size: int) -> Callable[..., tuple[Any, ...]]:
    """Normal arrays of these shapes, then numbers of cells below `size`."""
    return lambda rng: (*(np.asarray(rng.normal(size=shape)) for shape in shapes), rng.integers(0, size, cells))


GRIDS = [
    case
    for label, n, c, k, size, places in [
        ("bilinear", 2, 3, 4, 12, 5),
        ("one cell", 1, 2, 1, 4, 6),
        ("nothing", 2, 3, 2, 4, 0),
    ]
    for case in [
        Case("gather_weighted", numbered((n, c, size), (n, k, places), cells=(n, k, places), size=size), {}, label),
        Case(
            "scatter_weighted",
            numbered((n, c, places), (n, k, places), cells=(n, k, places), size=size),
            {"size": size},
            label,
        ),
        Case("gather_products", numbered((n, c, size), (n, c, places), cells=(n, k, places), size=size), {}, label),
    ]
]

PLACES = [
    case
    for size in ((4, 5), (3, 2, 4))
    for case in [
        *(Case("in_cells", normal((2, 6, len(size))), {"size": size, "aligned": a}, f"{size}, {a}") for a in (True, False)),
        Case("corners", normal((2, len(size), 6), low=-2.0, high=5.0), {"size": size}, f"{size}"),
    ]
]

MAXIMA = [
    Case("argmax_at", numbered((3, 8), cells=(4, rows, 5), size=8), {}, f"{rows} rows of places") for rows in (1, 3)
]

POWERS = [
    *pointwise("polynomial", coefficients=(0.5, -2.0, 0.0, 1.5), complex_=True),
    *pointwise("polynomial", coefficients=(2.0,)),
]

CASES = [*RESAMPLING, *GRIDS, *PLACES, *MAXIMA, *POWERS]
