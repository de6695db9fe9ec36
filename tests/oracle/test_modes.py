"""Second derivatives of every op by reverse and forward mode in any order, with batches among them: all are the same.

`python -m tests.oracle --check modes --tier 1 2 3` goes as many ways, on as many samples, as `MODES_WAYS` and `MODES_DRAWS`
say; here a few in each run, others in the next.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from gradcore.transforms import tangents  # noqa: E402
from tests.oracle import catalogue, modes, plan, trial  # noqa: E402  (they import torch)

CHECK = plan.ASKED_FOR["modes"]


def entries() -> list[Any]:
    """Each OpInfo once, whatever names of the tiers it serves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [entry for entry, _, _ in plan.planned(catalogue.entries(), ["float64"], ["modes"])]
    return list({id(entry.info): entry for entry in found}.values())


ENTRIES = entries()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.tier}-{entry.label}")
def test_every_way_to_a_second_derivative_is_reverse_mode_twice(entry: Any) -> None:
    outcome = trial.run(CHECK, entry, torch.float64, plan.library_named("gradcore"))
    assert outcome.passed, outcome.story()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nn.functional.layer_norm", "nn.functional.cross_entropy"])
def test_a_lost_tangent_is_seen(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(tangents, "_tangent_again", lambda *_: None)
    monkeypatch.setattr(modes, "DRAWS", 100)
    monkeypatch.setattr(modes, "WAYS", 100)
    (entry,) = catalogue.entries(names=[name])
    assert not trial.run(CHECK, entry, torch.float64, plan.library_named("gradcore")).passed


def test_what_is_spared_is_an_op_of_the_tiers() -> None:
    assert set(modes.SPARED) <= {entry.label for entry in catalogue.entries(catalogue.TIERS)}
