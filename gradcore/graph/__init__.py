"""The tape: nodes, leaves, the reverse sweep, grad modes and versions. It must not know any array library or Tensor."""

from gradcore.graph.node import FREED, GradientEdge, GraphNode, Leaf, Node, Output, Step, recorded, stamps
from gradcore.graph.sweep import sweep

__all__ = [
    "FREED", "GradientEdge", "GraphNode", "Leaf", "Node", "Output", "Step", "recorded", "stamps", "sweep",
]  # fmt: skip
