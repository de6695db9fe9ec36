"""Hooks of several tensors, called when all their gradients of one sweep are there. It must not know any operation."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from gradcore import engine
from gradcore.graph import Output
from gradcore.graph.node import Target
from gradcore.graph.sweep import _between
from gradcore.recorder import inplace
from gradcore.recorder.around import nodes_behind
from gradcore.recorder.hooks import RemovableHandle
from gradcore.tensor import Tensor


def register_multi_grad_hook(
    tensors: Sequence[Tensor],
    fn: Callable[[Sequence[Tensor | None]], None] | Callable[[Tensor], None],
    *,
    mode: Literal["all", "any"] = "all",
) -> RemovableHandle:
    """Call `fn` once in a backward pass, when the gradients of `tensors` have been computed.

    With mode "all", `fn` gets them all, None for tensors to which this pass does not lead. With "any", it gets the first
    that is computed. Returns a handle whose `remove()` takes the hook off. Raises ValueError for another mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    for i, t in enumerate(tensors):
        if not t.requires_grad:
            raise AssertionError(f"Expected gradient function to be set (tensor {i} requires no gradient)")
    several = _Several([inplace.target(t) for t in tensors], fn, mode == "any")
    handles = [t.register_hook(several.arrival(i)) for i, t in enumerate(tensors)]

    def remove() -> None:
        several.leave()
        for handle in handles:
            handle.remove()

    return RemovableHandle(remove)


class _Pass:
    """What one sweep has brought to the tensors of one hook."""

    def __init__(self, expected: int, n: int) -> None:
        self.expected = expected
        self.gradients: list[Tensor | None] = [None] * n
        self.seen = 0


class _Several:
    """A hook of several tensors. Only their hooks hold it, and it holds no node, so that nothing is held in a circle."""

    def __init__(self, targets: Sequence[Target], fn: Callable[[Any], None], first_only: bool) -> None:
        self.fn, self.first_only = fn, first_only
        # Nodes weakly, with the index of the output or None.
        self.places: list[tuple[weakref.ref[Any], int | None]] = [
            (weakref.ref(t.node), t.index) if isinstance(t, Output) else (weakref.ref(t), None) for t in targets
        ]
        self.local = threading.local()
        me = weakref.ref(self)

        @contextmanager
        def observer(targets: Sequence[Target], wanted: set[Target] | None) -> Iterator[None]:
            several = me()
            if several is None:
                yield
            else:
                passes = several.passes()
                passes.append(_Pass(several.expected(targets, wanted), len(several.places)))
                try:
                    yield
                finally:
                    passes.pop()

        engine.observers.append(observer)
        self.leave = weakref.finalize(self, engine.observers.remove, observer)

    def passes(self) -> list[_Pass]:
        """The sweeps of this thread that are going on, the innermost last."""
        if not hasattr(self.local, "passes"):
            self.local.passes = []
        return self.local.passes  # type: ignore[no-any-return]

    def expected(self, targets: Sequence[Target], wanted: set[Target] | None) -> int:
        """To how many of the tensors a sweep leads."""
        reached: set[Any] = set(targets)
        for node in nodes_behind(targets):
            reached.update(node.targets)
        if wanted is not None:
            reached &= _between(targets, wanted)
        places = [(ref(), index) for ref, index in self.places]
        return sum(
            node is not None and (node if index is None else Output(node, index, 0)) in reached for node, index in places
        )

    def arrival(self, i: int) -> Callable[[Tensor], None]:
        """The hook of tensor `i`."""

        @functools.wraps(self.fn, assigned=("__name__", "__qualname__"), updated=())
        def arrived(gradient: Tensor) -> None:
            passes = self.passes()
            if not passes:
                return  # registered in the middle of this sweep
            now = passes[-1]
            now.gradients[i] = gradient
            now.seen += 1
            if self.first_only and now.seen == 1:
                self.fn(gradient)
            elif not self.first_only and now.seen == now.expected:
                self.fn(now.gradients)

        return arrived
