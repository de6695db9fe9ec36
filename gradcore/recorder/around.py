"""Steps with something done around them, for single nodes: hooks, unpacking, watching. It must not know any operation.

A node with none of this has its plain step, so that what is unused costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Self

from gradcore.graph import Leaf, Node, Output
from gradcore.graph.node import Step, Target

# What goes on around every sweep while somebody looks at sweeps: from its roots and what is wanted to a context manager.
observers: list[Callable[[Sequence[Target], set[Target] | None], AbstractContextManager[Any]]] = []


def observed(targets: Sequence[Target], wanted: set[Target] | None) -> ExitStack:
    """All observers of one sweep, entered."""
    with ExitStack() as stack:
        for observer in sorted(observers, key=lambda observer: getattr(observer, "last", False)):
            stack.enter_context(observer(targets, wanted))
        return stack.pop_all()


class Around:
    """A step that stands before another, which it calls."""

    def __init__(self, step: Step) -> None:
        self.step: Any = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["step"], name)

    def before(self, step: Step) -> Self:
        """The same, before another step."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, step=step)
        return other

    def narrowed(self, wanted: tuple[bool, ...]) -> Self:
        """The step that computes only some of the cotangents."""
        return self.before(self.step.narrowed(wanted))

    def relabelled(self, name: str) -> Self:
        """The same step, shown as `name`."""
        return self.before(self.step.relabelled(name))

    def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
        """Pull a raw cotangent back."""
        return self.around(g, lambda g: self.step.pull(g, saved))

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        """Pull a cotangent back by recorded operations."""
        return self.around(cotangent, lambda g: self.step.traced(node, g))

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Do what is to be done before and after `pull`."""
        return pull(g)


def find(step: Any, kind: type[Any]) -> Any:
    """The step of class `kind` among those that stand before one another, or None."""
    while isinstance(step, Around):
        if isinstance(step, kind):
            return step
        step = step.step
    return None


def plain(step: Any) -> Any:
    """The step that does the work, behind all that stand before it."""
    while isinstance(step, Around):
        step = step.step
    return step


def nodes_behind(targets: Sequence[Target]) -> Iterator[Node]:
    """Every node from which a sweep that starts at `targets` may pull."""
    seen: set[Node] = set()
    stack = list(targets)
    while stack:
        target = stack.pop()
        node = target.node if isinstance(target, Output) else target
        if isinstance(node, Leaf) or node in seen:
            continue
        seen.add(node)
        stack.extend(node.targets)
        yield node


_changing = threading.Lock()


@contextmanager
def standing(nodes: Iterable[Node], watching: Callable[[Node], Around]) -> Iterator[None]:
    """Let `watching(node)` stand before the step of every one of `nodes`, inside."""
    made = []
    try:
        for node in nodes:
            with _changing:
                step = watching(node)
                node.step = step
            made.append((node, step))
        yield
    finally:
        for node, step in made:
            with _changing:
                _take_out(node, step)


def _take_out(node: Node, step: Around) -> None:
    """Let `step` stand before that of `node` no longer; others may have come to stand before it."""
    before: Any = node.step
    if before is step:
        node.step = step.step
        return
    while isinstance(before, Around):
        if before.step is step:
            before.step = step.step
            return
        before = before.step
