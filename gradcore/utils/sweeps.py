"""What a checkpoint knows of the sweeps that are going on: what they computed again, and to what end. It must not know how.

It is kept for a sweep, or for all sweeps of a `GraphExecGroup`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradcore import engine
from gradcore.graph.node import Target


class _Sweeps(threading.local):
    """Of a thread: what sweeps that are going on have found, the innermost last, and whether they are for `.grad` of all."""

    def __init__(self) -> None:
        self.found: list[dict[Any, Any]] = []
        self.whole: list[bool] = []
        self.group: GraphExecGroup | None = None


_sweeps = _Sweeps()


def watch() -> None:
    """Take note of sweeps from now on."""
    if _observe not in engine.observers:
        engine.observers.append(_observe)


def found() -> dict[Any, Any] | None:
    """What was found in the innermost sweep, to be added to; None outside of all."""
    return _sweeps.found[-1] if _sweeps.found else None


def accumulates() -> bool:
    """Whether the innermost sweep adds to the gradients of all leaves: `backward` without `inputs`."""
    return not _sweeps.whole or _sweeps.whole[-1]


@contextmanager
def _observe(targets: Sequence[Target], wanted: set[Target] | None) -> Iterator[None]:
    _sweeps.found.append({} if _sweeps.group is None else _sweeps.group.found)
    _sweeps.whole.append(wanted is None)
    try:
        yield
    finally:
        _sweeps.found.pop()
        _sweeps.whole.pop()


class GraphExecGroup:
    """Sweeps inside this block compute what a checkpoint forgot once for all of them, rather than once for each.

    No two of them may read the same saved tensor; what nobody reads is kept until the block ends. Raises RuntimeError if
    nested.
    """

    def __enter__(self) -> GraphExecGroup:
        if _sweeps.group is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {_sweeps.group}")
        self.found: dict[Any, Any] = {}
        _sweeps.group = self
        return self

    def __exit__(self, *exception: object) -> None:
        _sweeps.group = None
        self.found = {}
