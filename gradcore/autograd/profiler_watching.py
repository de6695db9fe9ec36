"""Watching a thread: its operations and named blocks, and the nodes that its sweeps pass. It must not know what for.

While somebody watches, operations take the recorder's general path, which is slower than the usual one.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gradcore import engine
from gradcore.graph import Node, modes
from gradcore.graph.node import Target, stamps
from gradcore.ops.aten import aten_name
from gradcore.recorder.around import Around, nodes_behind, standing


class _Running(threading.local):
    """Who watches a thread."""

    watching: Watching | None = None


running = _Running()


class Watching:
    """What is told of everything in one thread between `begin` and `end`."""

    def event(
        self, name: str, kind: str, inputs: Sequence[Any] = (), sequence: int = -1
    ) -> AbstractContextManager[Any]:
        """What goes on around an operation, a node or a block.

        The node that an operation makes, if it makes one, is the first whose `_sequence_nr()` is at least its `sequence`;
        that of a node is its own.
        """
        raise NotImplementedError

    def made(self, event: Any, results: Any, inputs: Sequence[Any]) -> None:
        """Look at what an operation or a node made of `inputs`, inside its event."""

    def begin(self) -> None:
        """Watch this thread. Raises RuntimeError if somebody does."""
        if running.watching is not None:
            raise RuntimeError("Profiler is already enabled on this thread.")
        running.watching = self
        self.thread = threading.get_ident()
        modes.unusual.append(self)
        modes.watchers[self.thread] = self._operation
        engine.observers.append(self._sweep)

    def end(self) -> None:
        """Watch no longer."""
        engine.observers.remove(self._sweep)
        modes.watchers.pop(self.thread, None)
        modes.unusual.remove(self)
        running.watching = None

    def _operation(self, op: Any, inputs: Sequence[Any], run: Callable[[], Any]) -> Any:
        sequence = -next(stamps) if modes.is_grad_enabled() else -1  # stamps descend from -1, these numbers ascend from 0
        try:
            with self.event(f"aten::{aten_name(op.node_name)}", "cpu_op", inputs, sequence) as event:
                result = run()
                self.made(event, result, inputs)
                return result
        finally:
            modes.watchers[self.thread] = self._operation

    def _sweep(self, targets: Sequence[Target], wanted: set[Target] | None) -> AbstractContextManager[None]:
        if threading.get_ident() != self.thread:
            return nullcontext()
        return standing(nodes_behind(targets), functools.partial(_Watched, self))


class _Watched(Around):
    """A step that somebody watches."""

    def __init__(self, by: Watching, node: Node) -> None:
        super().__init__(node.step)
        self.by, self.sequence = by, node._sequence_nr()

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Tell of the step, unless it is another thread's sweep that passes."""
        if threading.get_ident() != self.by.thread:
            return pull(g)
        inputs = g if isinstance(g, (tuple, list)) else (g,)
        with self.by.event(self.step.name, "cpu_op", inputs, self.sequence) as event:
            cotangents = pull(g)
            self.by.made(event, cotangents, inputs)
            return cotangents


def shapes(inputs: Iterable[Any]) -> list[list[int]]:
    """The shapes of inputs; [] for what is no tensor."""
    return [list(getattr(x, "shape", ())) for x in inputs]
