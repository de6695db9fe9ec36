"""The table of edge gradients against torch itself: what gradcore is held to is what torch gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_edge_gradients import ROWS, gradient

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", ROWS)
def test_torch_gives_these(name: str) -> None:
    f, at, expected = ROWS[name]
    np.testing.assert_allclose(gradient(torch, f, at), np.asarray(expected), rtol=1e-12)
