"""The names of the tiers file and the OpInfo entries that test each. It must not know the library under test."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
COMPANION = "companion"
TIERS = ("tier1", "tier2", "tier3", COMPANION)

# op_db files the reflected operators under names of their own; they belong to the op they reflect.
REFLECTED = {
    "add": "__radd__",
    "sub": "__rsub__",
    "mul": "__rmul__",
    "div": "__rdiv__",
    "pow": "__rpow__",
    "remainder": "__rmod__",
    "matmul": "__rmatmul__",
    "bitwise_and": "__rand__",
    "bitwise_or": "__ror__",
    "bitwise_xor": "__rxor__",
}


@dataclass(frozen=True)
class Entry:
    """One OpInfo under one name of the tiers file."""

    name: str
    tier: str
    info: Any
    how: str  # how the name was found: "name", "alias" or "reflected"

    @property
    def label(self) -> str:
        """The name as it stands in test ids: the tiers file's name, then what tells this variant from the others."""
        own = self.info.name if self.how == "reflected" else ""
        return ".".join(part for part in (self.name, own, self.info.variant_test_name) if part)

    def dtypes(self) -> set[torch.dtype]:
        return set(self.info.dtypes)

    def differentiates(self, dtype: torch.dtype) -> bool:
        """Whether torch has first derivatives here."""
        floating = dtype.is_floating_point or dtype.is_complex
        return bool(floating and self.info.supports_autograd and dtype in self.info.backward_dtypes)


def tiers() -> dict[str, str]:
    """Read the tiers file and the companions: every name, and its tier."""
    rows = [line.split("\t") for line in (HERE / "ops_tiers.tsv").read_text().splitlines() if line.strip()]
    named = dict(rows)
    for line in (HERE / "ops_companions.txt").read_text().splitlines():
        if line.strip():
            named.setdefault(line.strip(), COMPANION)
    return named


@functools.cache
def database() -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Load op_db, by name and by alias."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own imports warn; the suite runs with warnings as errors
        from torch.testing._internal.common_methods_invocations import op_db
    by_name: dict[str, list[Any]] = defaultdict(list)
    by_alias: dict[str, list[Any]] = defaultdict(list)
    for info in op_db:
        by_name[info.name].append(info)
        for alias in info.aliases:
            by_alias[alias.name].append(info)
    return by_name, by_alias


def entries_of(name: str, tier: str) -> list[Entry]:
    """Find every OpInfo that tests `name`; an empty list says that torch has none."""
    by_name, by_alias = database()
    if name in by_name:
        found = [Entry(name, tier, info, "name") for info in by_name[name]]
    else:
        found = [Entry(name, tier, info, "alias") for info in by_alias.get(name, [])]
    reflected = by_name.get(REFLECTED.get(name, ""), [])
    return found + [Entry(name, tier, info, "reflected") for info in reflected]


def entries(wanted_tiers: Iterable[str] = TIERS, names: Iterable[str] = ()) -> Iterator[Entry]:
    """Yield the entries of these tiers, or of these names (or labels) whatever their tier.

    A name outside the tiers file may be asked for as well. Raises KeyError for a name that nothing tests.
    """
    listed, names, wanted = tiers(), list(names), set(wanted_tiers)
    if not names:
        for name, tier in listed.items():
            if tier in wanted:
                yield from entries_of(name, tier)
        return
    for asked in names:
        hits = entries_of(asked, listed.get(asked, "unlisted"))
        if not hits:  # perhaps a label: a name and a variant
            stem = next((s for s in prefixes(asked) if entries_of(s, "")), "")
            hits = [e for e in entries_of(stem, listed.get(stem, "unlisted")) if e.label == asked] if stem else []
        if not hits:
            raise KeyError(asked)
        yield from hits


def prefixes(label: str) -> Iterator[str]:
    parts = label.split(".")
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length])


def uncovered() -> list[str]:
    """Return the listed names that op_db knows neither as a name nor as an alias."""
    return [name for name, tier in tiers().items() if not entries_of(name, tier)]
