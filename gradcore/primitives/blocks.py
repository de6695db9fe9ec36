"""Samples in parts that stay in a processor's cache while they are worked on. It must not know what the work is."""

from __future__ import annotations

from typing import Any

CACHE = 1 << 18


def blocks(F: Any, n: int, each: int, cache: int = CACHE) -> list[slice]:
    """`n` samples of `each` bytes in parts that are worked on one after the other: on a device all at once."""
    step = max(1, cache // max(each, 1)) if F.device_type == "cpu" else max(n, 1)
    return [slice(start, start + step) for start in range(0, max(n, 1), step)]
