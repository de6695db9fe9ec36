"""torch.random: the default generators, and a block that leaves them as they were. It must not know any distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gradcore.generator import default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from gradcore.utils.random_state import RandomState

__all__ = [
    "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state",
]  # fmt: skip


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, device_type: str | None = None) -> Iterator[None]:
    """Leave the default generators after a `with` block as they were before it, or as they are if not `enabled`.

    All devices in use are forked, whatever `devices` says. Those whose state cannot be read go on from a new seed, inside
    and afterwards.
    """
    if not enabled:
        yield
        return
    host, others = get_rng_state(), RandomState()
    try:
        yield
    finally:
        others.restore()
        set_rng_state(host)
