"""The reverse sweep: cotangents at results become cotangents at leaves. It must not know what a value is.

Values need only `+` and, once the sweep has allocated a sum itself, `+=`. The sweep changes nothing but the `saved` of
the nodes it passes; who asked for it decides what becomes of the cotangents, so an exception leaves every gradient as it was.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from gradcore.graph.node import FREED, Leaf, Node, Output, Target
from gradcore.graph.versions import newest

FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


class Swept:
    """What a sweep found: `cotangents` by target, and which of them nobody else can hold (`owned`)."""

    __slots__ = ("cotangents", "owned")

    def __init__(self) -> None:
        self.cotangents: dict[Target, Any] = {}
        self.owned: set[Target] = set()


def sweep(
    roots: list[tuple[Target, Any]], wanted: set[Target] | None = None, *, retain: bool = False, traced: bool = False
) -> Swept:
    """Pull the cotangents of `roots` back through the graph.

    The result has a cotangent for every leaf reached or, if `wanted` is given, for every target in it that was reached.
    `retain` keeps the saved values for another sweep; `traced` pulls back by operations that are themselves recorded.

    Raises RuntimeError if a node's saved values were freed, or overwritten since it was recorded.
    """
    found = Swept()
    landed, owned = found.cotangents, found.owned
    alive = None if wanted is None else _between(roots, wanted)
    heap: list[int] = []
    nodes: dict[int, Node] = {}
    pending: dict[int, Any] = {}
    summed: set[int] = set()

    def arrive(target: Target, c: Any, fresh: bool) -> None:
        if type(target) is Node:
            stamp = target.stamp
            if stamp not in pending:
                pending[stamp] = c
                nodes[stamp] = target
                heappush(heap, stamp)
            elif stamp in summed:
                pending[stamp] += c
            else:
                pending[stamp] = pending[stamp] + c
                if not traced:
                    summed.add(stamp)
        elif type(target) is Leaf:
            if target not in landed:
                landed[target] = c
                if fresh:
                    owned.add(target)
            elif target in owned and not traced:
                landed[target] += c
            else:
                landed[target] = landed[target] + c
                owned.add(target)
        else:
            assert type(target) is Output
            node = target.node
            parts = pending.get(node.stamp)
            if parts is None:
                parts = pending[node.stamp] = [None] * target.size
                nodes[node.stamp] = node
                heappush(heap, node.stamp)
            part = parts[target.index]
            parts[target.index] = c if part is None else part + c

    for target, g in roots:
        if alive is None or target in alive:
            arrive(target, g, False)

    while heap:
        stamp = heappop(heap)
        node = nodes.pop(stamp)
        g = pending.pop(stamp)
        while True:
            if node.hooks is not None:
                for hook in node.hooks:
                    g = hook(g)
            if wanted is not None:
                _capture(node, g, wanted, landed)
                step, targets = _narrow(node, alive)
            else:
                step = node.step
                targets = node.targets
            saved = node.saved
            if saved is FREED:
                raise RuntimeError(FREED_MESSAGE)
            if newest[0] < node.stamp:
                step.check(node)
            cotangents = step.traced(node, g) if traced else step.pull(g, saved)
            if saved and not retain:
                node.saved = FREED
            # The usual case, one way on and nothing else waiting, needs neither heap nor dictionary.
            if len(targets) == 1 and not heap:
                target = targets[0]
                if type(target) is Node:
                    g = cotangents[0]
                    if g is None:
                        break
                    node = target
                    continue
            for target, c in zip(targets, cotangents, strict=True):
                if c is not None:
                    arrive(target, c, c is not g)
            break

    if wanted is not None:
        found.cotangents = {target: landed[target] for target in wanted if target in landed}
    return found


def _between(roots: list[tuple[Target, Any]], wanted: set[Target]) -> set[Target]:
    """Every target from which a wanted one can be reached, the wanted ones among them."""
    seen: dict[Node, set[Target]] = {}
    stack = [target for target, _ in roots]
    while stack:
        target = stack.pop()
        if type(target) is Leaf:
            continue
        node = target.node if isinstance(target, Output) else target
        assert isinstance(node, Node)
        reached_as = seen.get(node)
        if reached_as is None:
            seen[node] = {target}
            stack.extend(node.targets)
        else:
            reached_as.add(target)
    alive = set(wanted)
    # Oldest first: a node's targets are decided before the node.
    for node in sorted(seen, key=lambda n: -n.stamp):
        leads = any(target in alive for target in node.targets)
        if leads:
            alive.update(seen[node])
            alive.add(node)
        elif not alive.isdisjoint(seen[node]):
            alive.add(node)
    return alive


def _capture(node: Node, g: Any, wanted: set[Target], landed: dict[Target, Any]) -> None:
    if node in wanted:
        landed[node] = g
    elif type(g) is list:
        for target in wanted:
            if type(target) is Output and target.node is node and g[target.index] is not None:
                landed[target] = g[target.index]


def _narrow(node: Node, alive: set[Target] | None) -> tuple[Any, tuple[Target, ...]]:
    """The node's step and targets, less what leads to nothing wanted."""
    assert alive is not None
    keep = tuple(target in alive for target in node.targets)
    if all(keep):
        return node.step, node.targets
    return node.step.narrowed(keep), node.targets
