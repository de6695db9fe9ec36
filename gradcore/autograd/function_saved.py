"""What the node of a Function saved, one tensor at a time, for hooks of its own. It must not know any primitive."""

from __future__ import annotations

from typing import Any

from gradcore.autograd.function import unsaved
from gradcore.graph import FREED, Node
from gradcore.graph.sweep import FREED_MESSAGE
from gradcore.recorder.node_attributes import SavedTensor
from gradcore.recorder.saved import Packed, Pair, Saved


class SavedByFunction(SavedTensor):
    """A tensor that `save_for_backward` was given, by its number."""

    def __init__(self, node: Node, index: int) -> None:
        super().__init__(node, str(index))
        self._index = index

    def value(self) -> Any:
        """The tensor, or None. Raises RuntimeError if it was freed or overwritten."""
        if self._node.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        saved = self._node.saved[self._index]
        return None if saved is None else unsaved(saved, self._index, self._node)

    def _packed(self) -> Packed | None:
        saved: Saved | None = self._node.saved[self._index]
        return None if saved is None else saved.packed

    def _pack(self, pair: Pair) -> None:
        saved: Saved | None = self._node.saved[self._index]
        if saved is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        saved.pack(pair, self.value())


def raw(node: Any) -> tuple[SavedByFunction, ...]:
    """What a node saved, for hooks. Raises RuntimeError if it was freed."""
    if node is None or type(node.saved) is not tuple:
        raise RuntimeError(FREED_MESSAGE)
    return tuple(SavedByFunction(node, i) for i in range(len(node.saved)))
