"""Programs of this repository run by torch itself: the notebook's cells and the cases of bench/."""

from __future__ import annotations

import pytest

from tests.test_notebook import CELLS, comparable, printed_by

torch = pytest.importorskip("torch")


def test_torch_prints_what_the_notebook_shows() -> None:
    # This holds the expected texts to torch 2.13, which is younger than the notebook.
    assert [comparable(each) for each in printed_by("torch")] == [comparable(shown) for _, shown in CELLS]
