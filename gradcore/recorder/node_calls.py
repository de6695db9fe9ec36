"""Calls of single nodes by a user: a node pulls back without a sweep, a leaf accumulates. It must not know any operation.

As in torch, hooks of nodes and of their outputs do not run, nothing is freed, and where grad mode is on all is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore.graph import FREED, GraphNode, Leaf, Node, Output, modes, versions
from gradcore.graph.node import edges
from gradcore.graph.sweep import FREED_MESSAGE
from gradcore.recorder.around import plain
from gradcore.recorder.hooks import hooks_of, run_accumulated, shown
from gradcore.recorder.inplace import target
from gradcore.recorder.node_outputs import count
from gradcore.recorder.saved import unpacked
from gradcore.recorder.steps import Step
from gradcore.recorder.value import Value


def called(node: GraphNode, gradients: Sequence[Any]) -> Any:
    """What torch returns of `node(*gradients)`."""
    if isinstance(node, Leaf):
        _check(gradients, 1)
        return _accumulate(node, gradients[0])
    assert isinstance(node, Node)
    step = plain(node.step)
    outputs = count(node, len(gradients))
    _check(gradients, 1 if outputs is None else outputs)
    if node.saved is FREED and step.frees:
        raise RuntimeError(FREED_MESSAGE)
    if versions.newest[0] < node.stamp:
        step.check(node, True)
    if all(g is None for g in gradients):
        pulled: Sequence[Any] = (None,) * len(node.targets)
    else:
        pulled = _pulled(node, step, gradients[0] if outputs is None else list(gradients))
    own = iter(pulled)
    returned = tuple(next(own) if step.needs[i] else None for i in edges(step))
    return returned[0] if len(returned) == 1 else returned


def _check(gradients: Sequence[Any], count: int) -> None:
    if len(gradients) != count:
        raise TypeError(f"expected {count} arguments, got {len(gradients)} instead")
    for i, g in enumerate(gradients):
        if g is not None and not isinstance(g, Value):
            raise TypeError(f"argument {i} is not a Variable (got {type(g).__name__})")


def _pulled(node: Node, step: Any, g: Any) -> Sequence[Any]:
    if isinstance(step, Step):
        saved = step.rewrapped(node, unpacked(node.saved))
        if step.fitted:  # the sum to the shape of an input that was broadcast is the sweep's, in torch
            step, saved = step.kernel.steps[step.needs, step.conjugate, False], saved[0]
        return step.traced_pull(g, saved)  # type: ignore[no-any-return]
    if modes.is_grad_enabled():
        return step.traced(node, g)  # type: ignore[no-any-return]
    raw = [None if part is None else part._array for part in g] if isinstance(g, list) else g._array
    return tuple(map(shown, step.pull(raw, node.saved)))


def _accumulate(leaf: Leaf, g: Any) -> tuple[()]:
    """Add `g`, as it is, to the gradient of the leaf's tensor, and run the hooks of that."""
    t = leaf.owner()
    if t is None or g is None:
        return ()
    kept = t._grad
    if kept is None or not modes.is_grad_enabled():
        made = t.new_zeros(t.shape, dtype=g.dtype).copy_(g) if kept is None else kept.add_(g)
    else:
        made = kept + g.expand(kept.shape)
    t._grad = made
    run_accumulated(leaf, t, g)
    return ()


def register_hook_dict(node: GraphNode, tensor: Any) -> None:
    """Let the hooks in `tensor._backward_hooks`, now and later, see the gradients of this node's output of its number."""
    if not isinstance(tensor, Value):
        raise TypeError("_register_hook_dict expected a variable")
    assert isinstance(node, (Leaf, Node))
    where = target(tensor)
    number = where.index if isinstance(where, Output) else 0
    outputs = None if isinstance(node, Leaf) else count(node)
    if number >= (outputs or 1):
        raise IndexError(f"_register_hook_dict: {node.name()} has no output number {number}, which the tensor is of its own")
    each = hooks_of(tensor)
    if each is not None:
        each.listed(node, None if outputs is None else number, tensor)
