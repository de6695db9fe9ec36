"""Which checks there are and which of them an op and a dtype call for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

import torch

from tests.oracle import checks, edges, gradients, modes, transforms, writes
from tests.oracle.catalogue import Entry
from tests.oracle.library import Library, OnDevice, StandIn
from tests.oracle.trial import Check

CHECKS: dict[str, Check] = {
    check.name: check for check in [*checks.CHECKS, *gradients.CHECKS, *transforms.CHECKS, *writes.CHECKS]
}
# By name only: their samples are not op_db's, or a few of them.
ASKED_FOR: dict[str, Check] = {check.name: check for check in [*edges.CHECKS, *modes.CHECKS]}
DTYPES = ("float64", "float32")


def planned(
    entries: Iterable[Entry], dtypes: Iterable[str] = DTYPES, names: Iterable[str] = ()
) -> Iterator[tuple[Entry, torch.dtype, Check]]:
    """Yield what to run: for every op and dtype that torch supports, every check (of these names) that applies."""
    wanted, known = list(names) or list(CHECKS), CHECKS | ASKED_FOR
    kinds = [getattr(torch, d) for d in dtypes]
    for entry in entries:
        for dtype in kinds:
            if dtype in entry.dtypes():
                for name in wanted:
                    if known[name].applies(entry, dtype):
                        yield entry, dtype, known[name]


def library_named(name: str, device: str = "cpu") -> Library:
    """Import the library under test, to run on `device`."""
    if name == "torch":
        return StandIn()
    module = importlib.import_module(name)
    return Library(module) if device == "cpu" else OnDevice(module, device)
