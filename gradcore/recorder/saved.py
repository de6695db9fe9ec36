"""Values that a node saves, possibly packed away by hooks until a sweep needs them. It must not know any operation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from gradcore.graph import Leaf, Node, Output
from gradcore.graph.node import Target
from gradcore.recorder.value import Value, wrap

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]


class _Hooks(threading.local):
    """The pack and unpack hooks of a thread, the innermost last; and why there may be none, if so."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.forbidden: str | None = None


hooks = _Hooks()


class Saved:
    """An array and where it came from: a target, or the index and number of an output of the node that saves it."""

    __slots__ = ("array", "origin", "packed", "unpack")

    def __init__(self, array: Any, origin: Target | tuple[int, int] | None) -> None:
        self.array = array
        self.origin = origin
        self.unpack: Callable[[Any], Any] | None = None
        if hooks.pairs:
            pack, self.unpack = hooks.pairs[-1]
            self.packed = pack(wrap(array, None if isinstance(origin, tuple) else origin))
            self.array = None

    def value(self, node: Node) -> Value:
        """The Tensor that was saved, unpacked if need be."""
        array = self.array
        if self.unpack is not None:
            array = unpacked(self.unpack, self.packed)
        origin = Output(node, *self.origin) if isinstance(self.origin, tuple) else self.origin
        if isinstance(origin, Leaf) and (owner := origin.variable) is not None and owner._array is array:
            return owner  # type: ignore[no-any-return]
        return wrap(array, origin)  # type: ignore[no-any-return]


def unpacked(unpack: Callable[[Any], Any], packed: Any) -> Any:
    """The array that an unpack hook returns. Raises TypeError if it returns no Tensor."""
    value = unpack(packed)
    if not isinstance(value, Value):
        raise TypeError(
            f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(value).__name__}"
        )
    return value._array
