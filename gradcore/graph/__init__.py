"""The tape: nodes, leaves, the reverse sweep, grad modes and versions. It must not know any array library or Tensor."""

from gradcore.graph.node import FREED, GraphNode, Leaf, Node, Output, Step, recorded, stamps
from gradcore.graph.sweep import release, sweep

__all__ = [
    "FREED", "GraphNode", "Leaf", "Node", "Output", "Step", "recorded", "release", "stamps", "sweep",
]  # fmt: skip
