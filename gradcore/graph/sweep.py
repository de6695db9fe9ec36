"""The reverse sweep: cotangents at results become cotangents at leaves. It must not know what a value is.

Values need only `+` and, once the sweep has allocated a sum itself, `+=`. The sweep changes nothing but the `saved` of the
nodes it passes; who asked for it decides what becomes of the cotangents, so an exception leaves every gradient as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from gradcore.graph.node import FREED, Leaf, Node, Output, Step, Target
from gradcore.graph.versions import newest

FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


# Cotangents by target; and of the targets whose cotangent nobody else can hold, whether the sweep made it as a sum.
Swept = tuple[dict[Target, Any], dict[Target, bool]]


def sweep(
    targets: Sequence[Target],
    cotangents: Sequence[Any],
    wanted: set[Target] | None = None,
    retain: bool | None = False,
    traced: bool = False,
) -> Swept:
    """Pull `cotangents`, one for each of `targets`, back through the graph.

    Returns the cotangent of every leaf reached or, if `wanted` is given, of every target in it that was reached; and, as
    keys, the leaves whose cotangent nobody else can hold. `retain` keeps the saved values for another sweep; `traced`
    pulls back by operations that are themselves recorded.

    Raises RuntimeError if a node's saved values were freed, or overwritten since it was recorded.
    """
    landed: dict[Target, Any] = {}
    owned: dict[Target, bool] = {}  # a cotangent that was not allocated here may be a view of another's
    alive = None if wanted is None else _between(targets, wanted)
    # What waits: stamps in a heap, and by stamp the node, its cotangent so far, and whether that is a sum made here.
    heap: list[int] = []
    waiting: dict[int, tuple[Node, Any, bool]] = {}
    # What is pulled: the cotangent, which others may hold unless it is `passed`, a sum made here that goes to one place.
    g = passed = _NOTHING
    summed = False
    node: Any = None
    if len(targets) == 1 and wanted is None and type(targets[0]) is Node:
        node, g = targets[0], cotangents[0]
    while True:
        # Along a chain, where nothing else waits, the next node is at hand.
        while node is not None:
            if node.hooks is not None:
                summed = False
                before = g
                for hook in node.hooks:
                    g = hook(g)
            step: Any = node.step
            if wanted is not None:
                summed = False
                step = _narrowed(node, alive)
                # As torch: hooks change what is captured where the sweep ends, not where it goes on through the node.
                _capture(node, g if step is None or node.hooks is None else before, wanted, landed)
                if step is None:
                    targets = cotangents = ()
                    break
            saved = node.saved
            if saved is FREED:
                raise RuntimeError(FREED_MESSAGE)
            if newest[0] < node.stamp:
                step.check(node, traced)
            cotangents = step.traced(node, g) if traced else step.pull(g, saved)
            if step.frees and not retain:
                node.saved = FREED
            targets = node.targets
            if len(targets) != 1:
                passed = _NOTHING
                break
            following = targets[0]
            if heap or type(following) is not Node or wanted is not None or cotangents[0] is None:
                passed = g if summed else _NOTHING
                break
            node = following
            if cotangents[0] is not g:
                g = cotangents[0]
                summed = False

        # A node that is alone needs neither heap nor dictionary: it goes ahead.
        ahead: Any = None
        c_ahead: Any = None
        summed = False
        i = 0  # half the cost of a zip
        for c in cotangents:
            target: Any = targets[i]
            i += 1
            if c is None or (alive is not None and target not in alive):
                continue
            kind = type(target)
            if kind is Node:
                if target is ahead:
                    if summed:
                        c_ahead = _more(c_ahead, c)
                    else:
                        c_ahead = c_ahead + c
                        summed = not traced
                elif ahead is None and not heap:
                    ahead = target
                    c_ahead = c
                    summed = c is passed
                else:
                    _wait(target, c, waiting, heap, traced)
            elif kind is Leaf:
                if target not in landed:
                    landed[target] = c
                    if c is passed or (c is not g and g is not _NOTHING):
                        owned[target] = False
                elif owned.get(target):
                    landed[target] = _more(landed[target], c)
                else:
                    landed[target] = landed[target] + c
                    if not traced:
                        owned[target] = True
            else:
                _arrive_at_other(target, c, waiting, heap, traced)

        if ahead is not None and not heap:
            node = ahead
            g = c_ahead
        elif heap:
            if ahead is not None:
                waiting[ahead.stamp] = (ahead, c_ahead, summed)
                heappush(heap, ahead.stamp)
            node, g, summed = waiting.pop(heappop(heap))
        else:
            break

    if wanted is not None:
        landed = {target: landed[target] for target in wanted if target in landed}
    return landed, owned


_NOTHING: Any = object()


def _more(total: Any, c: Any) -> Any:
    """`total`, a sum that was made here, and `c`: in place, unless the sum so far is of plain values and `c` is not."""
    try:
        total += c
    except TypeError:
        total = total + c
    return total


def _wait(target: Node, c: Any, waiting: dict[int, tuple[Node, Any, bool]], heap: list[int], traced: bool) -> None:
    """Add `c` to what waits at a node: the first is borrowed, the second allocates, later ones add into the sum."""
    stamp = target.stamp
    if stamp not in waiting:
        waiting[stamp] = (target, c, False)
        heappush(heap, stamp)
        return
    _, total, summed = waiting[stamp]
    total = _more(total, c) if summed else total + c
    waiting[stamp] = (target, total, not traced)


def _arrive_at_other(
    target: Any, c: Any, waiting: dict[int, tuple[Node, Any, bool]], heap: list[int], traced: bool
) -> None:
    """Add `c` to the part of a node's cotangent that belongs to one of its outputs, or to that of a node that was shown."""
    if type(target) is not Output:
        _wait(target, c, waiting, heap, traced)
        return
    node = target.node
    if node.stamp not in waiting:
        waiting[node.stamp] = (node, [None] * target.size, False)
        heappush(heap, node.stamp)
    parts = waiting[node.stamp][1]
    part = parts[target.index]
    parts[target.index] = c if part is None else part + c


def _between(roots: Sequence[Target], wanted: set[Target]) -> set[Target]:
    """Every target from which a wanted one can be reached, the wanted ones among them."""
    seen: dict[Node, set[Target]] = {}
    stack = list(roots)
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


def release(targets: Sequence[Target], wanted: set[Target]) -> None:
    """Free what the nodes between `targets` and `wanted` saved, as a sweep that does not retain it."""
    alive = _between(targets, wanted)
    for node in alive:
        if isinstance(node, Node) and node.step.frees and not alive.isdisjoint(node.targets):
            node.saved = FREED


def _capture(node: Node, g: Any, wanted: set[Target], landed: dict[Target, Any]) -> None:
    if node in wanted:
        landed[node] = g
    elif type(g) is list:
        for target in wanted:
            if type(target) is Output and target.node is node and g[target.index] is not None:
                landed[target] = g[target.index]


def _narrowed(node: Node, alive: set[Target] | None) -> Step | None:
    """The node's step, less what leads to nothing wanted; None if nothing is left of it."""
    assert alive is not None
    keep = tuple(target in alive for target in node.targets)
    return node.step if all(keep) else node.step.narrowed(keep) if any(keep) else None
