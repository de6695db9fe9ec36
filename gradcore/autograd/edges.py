"""Edges of the graph in the place of tensors, for `grad` and `backward`. It must not know any operation."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from gradcore.autograd.backward_step import Like
from gradcore.graph import GraphNode, Leaf, Node, Output
from gradcore.graph.node import Target
from gradcore.recorder.around import plain
from gradcore.recorder.steps import Step
from gradcore.recorder.value import Value, wrap


class GradientEdge(NamedTuple):
    """One output of a node, as a place to which gradients flow: torch.autograd.graph.GradientEdge."""

    node: GraphNode
    output_nr: int
    ownership_token: Any = None


# What the outputs of a node look like, where somebody asked for the edge: nodes do not keep it.
_likes: WeakKeyDictionary[GraphNode, dict[int, Like]] = WeakKeyDictionary()


def note(edge: GradientEdge, array: Any) -> None:
    """Remember what the value at `edge` looks like."""
    _likes.setdefault(edge.node, {})[edge.output_nr] = Like(array)


def as_input(edge: Any) -> Any:
    """What stands for an edge among inputs: the leaf's tensor, or one whose shape is not known."""
    if not isinstance(edge, GradientEdge):
        return edge
    if isinstance(edge.node, Leaf) and edge.node.variable is not None:
        return edge.node.variable
    return _stand_in(None, target_of(edge))


def as_output(edge: Any, gradient: Value | None) -> Any:
    """What stands for an edge among outputs. Raises RuntimeError if its gradient is not given and it may be no scalar."""
    if not isinstance(edge, GradientEdge):
        return edge
    like = _likes.get(edge.node, {}).get(edge.output_nr)
    if like is None and gradient is None:
        raise RuntimeError(
            "grad can be implicitly created only for scalar outputs (the shape at an edge is known only where "
            "get_gradient_edge made it; pass a gradient)"
        )
    if like is None:
        assert gradient is not None
        like = Like(gradient._array)
    return _stand_in(like.F.broadcast_to(like.F.zeros((), like.dtype), like.shape), target_of(edge))


def target_of(edge: GradientEdge) -> Target:
    """The place in the graph that an edge names. Raises TypeError or IndexError if there is none."""
    node, index = edge.node, edge.output_nr
    if isinstance(node, Leaf):
        return node
    if not isinstance(node, Node):
        raise TypeError(f"GradientEdge: node must be a graph node, got {type(node).__name__}")
    step = plain(node.step)
    if hasattr(step, "outs"):  # of a Function, a loop
        return Output(node, index, len(step.outs))
    if isinstance(step, Step) and step.several:
        saved = node.saved[0] if step.fitted and type(node.saved) is tuple else node.saved
        return Output(node, index, len(saved[1]) if type(saved) is tuple else index + 1)
    if index:
        raise IndexError(f"GradientEdge: {node.name()} has one output, there is no number {index}")
    return node


def _stand_in(array: Any, target: Target) -> Value:
    return wrap(array, target)  # type: ignore[no-any-return]
