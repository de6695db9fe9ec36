"""The cases of discrete Fourier transforms. It must not know how they are tested."""

from __future__ import annotations

from typing import Any

from tests.cases import Case, normal


def _halves(*shape: int) -> Any:
    return lambda rng: (rng.normal(size=shape) + 1j * rng.normal(size=shape),)


CASES = [
    *(
        Case("fft", normal(shape), {"axes": axes, "inverse": inverse, "norm": norm}, label, complex_=True)
        for shape, axes, inverse, norm, label in (
            ((5,), (0,), False, "backward", "odd"),
            ((2, 4), (1,), True, "backward", "inverse"),
            ((3, 4), (1, 0), False, "ortho", "two axes"),
            ((2, 3, 2), (0, 2), True, "forward", "inverse, two axes"),
            ((0, 3), (1,), False, "backward", "empty"),
        )
    ),
    *(
        Case("rfft", normal(shape), {"axes": axes, "norm": norm, "weighted": weighted}, f"{label} {weighted}")
        for shape, axes, norm, label in (
            ((5,), (0,), "backward", "odd"),
            ((2, 6), (1,), "ortho", "even"),
            ((4, 3), (1, 0), "forward", "two axes"),
            ((2, 1), (1,), "backward", "one element"),
        )
        for weighted in (False, True)
    ),
    *(
        Case(
            "irfft",
            _halves(*shape),
            {"axes": axes, "length": length, "norm": norm, "weighted": weighted},
            f"{label} {weighted}",
        )
        for shape, axes, length, norm, label in (
            ((3,), (0,), 5, "backward", "odd"),
            ((2, 4), (1,), 6, "ortho", "even"),
            ((3, 3), (1, 0), 4, "forward", "two axes"),
            ((2, 1), (1,), 1, "backward", "one element"),
        )
        for weighted in (False, True)
    ),
]
