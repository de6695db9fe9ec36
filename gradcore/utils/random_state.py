"""The state of the default random generators, to run something twice with one set of numbers. It must not know what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradcore import generator
from gradcore.backends import of
from gradcore.generator import Generator
from gradcore.recorder.value import Value


class RandomState:
    """What the default generators are about to give, of the host and of the devices of `tensors` and those in use.

    The state of a device's generator cannot be read. So it goes on from a new seed, a function of the last one, which
    is remembered: its numbers are others than they would have been, but they can be had again.
    """

    def __init__(self, tensors: Sequence[Any] = (), last: RandomState | None = None) -> None:
        known = {} if last is None else {id(each): state for each, state in last._states}
        for t in tensors:
            if isinstance(t, Value):
                F = of(t._array)
                generator.default(getattr(F, "base", F), F.device_of(t._array)[1])  # an array of a transform holds others
        self._states: list[tuple[Generator, Any]] = []
        self._seeds: list[tuple[Generator, int]] = []
        for each in tuple(generator._defaults.values()):
            if hasattr(each.source, "state"):
                state, before = each.source.state(), known.get(id(each))
                self._states.append((each, before if state == before else state))  # many that are equal are one
            else:
                self._seeds.append((each, reseeded(each)))

    def restore(self) -> None:
        """Let the generators give what they gave after this state was taken."""
        for each, state in self._states:
            each.source.restore(state)
        for each, seed in self._seeds:
            restore(each, seed)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, the generators give what they gave after this state was taken; then they go on as if nothing had been."""
        now = [(each, each.source.state()) for each, _ in self._states]
        sources = [(each, each._source) for each, _ in self._seeds]
        self.restore()
        try:
            yield
        finally:
            for each, state in now:
                each.source.restore(state)
            for each, source in sources:
                each._source = source


def reseeded(each: Generator) -> int:
    """Let a generator whose state cannot be read go on from a new seed, and return that."""
    seed = _next_seed(each)
    each._source = _source(each, seed)
    _chains[each] = (each._source, seed)
    return seed


def restore(each: Generator, seed: int) -> None:
    """Let a generator give what it gave after it was reseeded."""
    each._source = _source(each, seed)


def _source(each: Generator, seed: int) -> Any:
    with each._backend.on_device(each._device.index):
        return each._backend.generator(seed)


# The last source that was made here for a generator, and its seed.
_chains: dict[Generator, tuple[Any, int]] = {}


def _next_seed(each: Generator) -> int:
    """The seed after the last one of a generator that is not seeded anew meanwhile."""
    source, seed = _chains.get(each, (None, 0))
    if source is not each._source:
        seed = each._initial
    return (seed * 6364136223846793005 + 1442695040888963407) % 2**64  # Knuth's generator modulo 2**64
