"""Edges of the graph in the place of tensors, for `grad` and `backward`. It must not know any operation."""

from __future__ import annotations

from typing import Any, NamedTuple

from gradcore.graph import GraphNode, Leaf, Node, Output
from gradcore.graph.node import Target
from gradcore.recorder.node_outputs import count, zeros
from gradcore.recorder.value import Value, wrap


class GradientEdge(NamedTuple):
    """One output of a node, as a place to which gradients flow: torch.autograd.graph.GradientEdge."""

    node: GraphNode
    output_nr: int
    ownership_token: Any = None


def as_input(edge: Any) -> Any:
    """What stands for an edge among inputs: the leaf's tensor, or one whose shape is not known.

    Raises RuntimeError for what is neither an edge nor a Tensor.
    """
    if isinstance(edge, Value):
        return edge
    if not isinstance(edge, GradientEdge):
        raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(edge).__name__}")
    if isinstance(edge.node, Leaf) and edge.node.variable is not None:
        return edge.node.variable
    return _stand_in(None, target_of(edge))


def as_output(edge: Any, gradient: Value | None) -> Any:
    """What stands for an edge among outputs. Raises RuntimeError if its gradient is not given and it may be no scalar.

    Raises AssertionError, as torch does, for what is neither an edge nor a Tensor.
    """
    if isinstance(edge, Value):
        return edge
    if not isinstance(edge, GradientEdge):
        raise AssertionError(f"Expected output to be a torch.Tensor or a GradientEdge, but got {type(edge).__name__}")
    target = target_of(edge)
    outputs = zeros(edge.node)
    array = outputs[edge.output_nr] if edge.output_nr < len(outputs) else None
    if array is None:
        if gradient is None:
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs (the shape at an edge is known only where the node "
                "was seen as the grad_fn of a tensor; pass a gradient)"
            )
        array = gradient._array
    return _stand_in(array, target)


def target_of(edge: GradientEdge) -> Target:
    """The place in the graph that an edge names. Raises TypeError or IndexError if there is none."""
    node, index = edge.node, edge.output_nr
    if isinstance(node, Leaf):
        return node
    if not isinstance(node, Node):
        raise TypeError(f"GradientEdge: node must be a graph node, got {type(node).__name__}")
    outputs = count(node, index + 1)
    if outputs is not None:
        return Output(node, index, outputs)
    if index:
        raise IndexError(f"GradientEdge: {node.name()} has one output, there is no number {index}")
    return node


def _stand_in(array: Any, target: Target) -> Value:
    return wrap(array, target)  # type: ignore[no-any-return]
