"""Programs of this repository run by torch itself: the notebook's cells and the cases of bench/."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cases import Case
from bench.libraries import Library, load
from bench.operations import CASES
from tests.test_notebook import CELLS, comparable, printed_by

torch = pytest.importorskip("torch")


def test_torch_prints_what_the_notebook_shows() -> None:
    # This holds the expected texts to torch 2.13, which is younger than the notebook.
    assert [comparable(each) for each in printed_by("torch")] == [comparable(shown) for _, shown in CELLS]


def test_gradients_that_share_memory_on_their_way_stay_apart() -> None:
    # What reaches x through the view is the memory of a's gradient; then x gets a second contribution.
    gradients = []
    for library in map(load, ("gradcore", "torch")):
        a, x = library.leaf(np.ones((2, 2))), library.leaf(np.arange(1.0, 5.0))
        more = (x * 3).sum()
        (((a + x.view(2, 2)) ** 2).sum() + more).backward()
        gradients.append([library.numpy(a.grad).tolist(), library.numpy(x.grad).tolist()])
    assert gradients == [[[[4, 6], [8, 10]], [7, 9, 11, 13]]] * 2


def arrays(library: Library, result: object) -> list[np.ndarray]:
    if isinstance(result, list | tuple):
        return [array for each in result for array in arrays(library, each)]
    return [library.numpy(result)]


def results(case: Case, library: Library) -> list[np.ndarray]:
    run = case.build(library)
    library.manual_seed(0)
    return arrays(library, run())


@pytest.mark.parametrize(
    "case", [case for case in CASES if (case.size or 0) <= 1e6], ids=lambda case: case.name
)
def test_torch_computes_the_same_in_a_case(case: Case) -> None:
    ours, theirs = (results(case, library) for library in map(load, ("gradcore", "torch")))
    for one, other in zip(ours, theirs, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6 * max(1, abs(other).max()))
