"""Versions of storages by stamp: who wrote last, and when. It must not know what a storage is, but for weak references.

Nothing is kept, and nothing paid, for a storage that was never written in place.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

from gradcore.graph.node import stamps

# The stamp of the newest in-place write anywhere. Stamps descend: a node with a greater stamp is older than the write.
newest: list[int] = [0]


class Own:
    """A version counter of a tensor's own, which others of the same memory do not share.

    A silent one is the only note that writes through the tensor leave: `x.data`. Else saved values are checked, too.
    """

    __slots__ = ("count", "silent")

    def __init__(self, count: int, silent: bool) -> None:
        self.count = count
        self.silent = silent


class Write:
    """The in-place writes of one storage: how many, the last one's stamp, and what made it."""

    __slots__ = ("by", "count", "stamp", "storage")

    def __init__(self, stamp: int, by: str, storage: weakref.ref[Any]) -> None:
        self.count = 0
        self.stamp = stamp
        self.by = by
        self.storage = storage


_writes: dict[int, Write] = {}


def bump(storage: Any, by: str, counted: int = 1) -> None:
    """Note an in-place write of `storage` by the operation `by`; 0 is for one that counts elsewhere."""
    # Another thread may come in between wherever something is called, and only there: a lock would cost more than all this.
    stamp = next(stamps)
    if stamp < newest[0]:
        newest[0] = stamp
    key = id(storage)
    write = _writes.get(key)
    if write is None:
        write = Write(stamp, by, weakref.ref(storage, partial(_writes.pop, key)))  # in C, where no Ctrl-C is swallowed
        write = _writes.setdefault(key, write)
    write.count += counted
    if stamp <= write.stamp:
        write.stamp = stamp
        write.by = by


def count(storage: Any) -> int:
    """How often `storage` was written in place."""
    write = _writes.get(id(storage))
    return 0 if write is None else write.count


def write_after(stamp: int, storage: Any) -> Write | None:
    """The last write of `storage` if it came after `stamp`, else None."""
    write = _writes.get(id(storage))
    return write if write is not None and write.stamp < stamp else None
