"""The cases of reductions into places. It must not know how they are tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Case

_PLACES = (np.array([[0, 2, 0], [2, 2, 1]]), np.array([[0, 0, 0], [1, 1, 1]]))
_FLAT = (np.array([1, 1, 3, 1, 0]),)


def _apart(*shapes: tuple[int, ...]) -> Any:
    """Arrays of which no two elements are near each other."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        sizes = [int(np.prod(shape)) for shape in shapes]
        all_ = rng.permutation(sum(sizes)) + rng.uniform(-0.3, 0.3, size=sum(sizes))
        parts = np.split(all_, np.cumsum(sizes)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    return make


CASES = [
    Case("index_extremum", make, {"index": index, "largest": largest, "include": include}, f"{label} {largest} {include}")
    for largest in (True, False)
    for include in (True, False)
    for make, index, label in ((_apart((3, 2), (2, 3)), _PLACES, "matrix"), (_apart((5,), (5,)), _FLAT, "row"))
] + [
    Case(
        "index_extremum",
        lambda rng: (np.array([1.0, 5.0, 2.0]), np.array([1.0, 1.0, 5.0, 5.0, 3.0])),
        {"index": (np.array([0, 0, 1, 1, 1]),), "largest": True, "include": True},
        "ties",
        smooth=False,
    )
]
