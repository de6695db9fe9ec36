"""Cases of the sums over paths behind ctc_loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Case, normal


def labelled(rng: np.random.Generator) -> tuple[Any, ...]:
    """Logarithms of 5 steps of 2 samples in 7 states; the moves of a labelling with blanks between."""
    allowed = np.ones((3, 1, 2, 7), bool)
    allowed[2, :, :, ::2] = False
    return rng.normal(size=(5, 2, 7)), allowed


CASES = [
    Case("trellis", lambda rng: (rng.normal(size=(6, 3, 2)), np.ones((3, 1, 3, 2), bool)), label="two states"),
    # What cannot be reached has a number so far below the others that differences see nothing beside it.
    Case("trellis", labelled, label="labelled", smooth=False),
    Case("trellis", lambda rng: (rng.normal(size=(1, 2, 3)), np.ones((3, 1, 2, 3), bool)), label="one step", smooth=False),
    *(
        Case("flow", normal((4, 2, states), (3, 3, 2, states)), {"back": back}, f"{states} states{', back' * back}")
        for states in (5, 1)
        for back in (False, True)
    ),
]
