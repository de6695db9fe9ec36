"""Values that a node saves, possibly packed away by hooks until a sweep needs them. It must not know any operation."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes, versions
from gradcore.graph.node import Target
from gradcore.recorder.around import Around, find, plain
from gradcore.recorder.value import Value, wrap

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]


class _Hooks(threading.local):
    """The pack and unpack hooks of a thread, the innermost last; and why there may be none, if so."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.forbidden: str | None = None


hooks = _Hooks()


@contextmanager
def packing(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Iterator[None]:
    """Let `pack` keep what nodes of this thread save, and `unpack` bring it back. Raises RuntimeError if forbidden."""
    if hooks.forbidden is not None:
        raise RuntimeError(hooks.forbidden)
    pair = (pack, unpack)
    hooks.pairs.append(pair)
    modes.unusual.append(pair)
    try:
        yield
    finally:
        hooks.pairs.pop()
        modes.unusual.remove(pair)


class Packed:
    """What a pack hook returned, and the hook that unpacks it."""

    __slots__ = ("unpack", "value")

    def __init__(self, pair: Pair, t: Value) -> None:
        pack, self.unpack = pair
        storage = of(t._array).storage(t._array)
        before = versions.count(storage)
        with modes.no_grad():
            self.value = pack(t)
        if versions.count(storage) != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot "
                "be modified by in-place operations as this can lead to unexpected side-effects."
            )

    def array(self) -> Any:
        """The array that was packed. Raises TypeError if the unpack hook returns no Tensor."""
        value = self.unpack(self.value)
        if not isinstance(value, Value):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(value).__name__}"
            )
        return value._array


class Saved:
    """An array and where it came from: a target, or the index and number of an output of the node that saves it.

    `owner` is whose array it was: the Tensor itself comes back as long as somebody else holds it.
    """

    __slots__ = ("array", "origin", "owner", "packed")

    def __init__(self, array: Any, origin: Target | tuple[int, int] | None, owner: Value | None = None) -> None:
        self.array = array
        self.origin = origin
        self.owner = None if owner is None else weakref.ref(owner)
        self.packed: Packed | None = None
        if hooks.pairs:
            self.pack(hooks.pairs[-1], _value(array, None if isinstance(origin, tuple) else origin))

    def pack(self, pair: Pair, t: Value) -> None:
        """Keep what a hook makes of `t`, which is this value."""
        self.packed = Packed(pair, t)
        self.array = None

    def value(self, node: Node) -> Value:
        """The Tensor that was saved, unpacked if need be."""
        array = self.array if self.packed is None else self.packed.array()
        owner = None if self.owner is None else self.owner()
        if owner is not None and owner._array is array and owner._node is self.origin:
            return owner
        return _value(array, Output(node, *self.origin) if isinstance(self.origin, tuple) else self.origin)


def _value(array: Any, origin: Target | None) -> Value:
    if isinstance(origin, Leaf) and (owner := origin.variable) is not None and owner._array is array:
        return owner  # type: ignore[no-any-return]
    return wrap(array, origin)  # type: ignore[no-any-return]


# -- of primitives ----------------------------------------------------------------------------------------------------


class Unpacking(Around):
    """A step whose node has its arrays packed away."""

    def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
        """Pull a raw cotangent back."""
        with modes.no_grad():
            saved = unpacked(saved)
        return self.step.pull(g, saved)  # type: ignore[no-any-return]

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        """Pull a cotangent back by recorded operations."""
        return self.step.traced_pull(  # type: ignore[no-any-return]
            cotangent, self.step.rewrapped(node, unpacked(node.saved))
        )


def unpacked(saved: Any) -> Any:
    """What a node saved, with arrays where they were packed."""
    if isinstance(saved, Packed):
        return saved.array()
    if type(saved) is tuple:
        return tuple(map(unpacked, saved))
    return saved


def pack_saved(node: Node) -> None:
    """Pack the arrays that `node` saves, if this thread has hooks for that."""
    if hooks.pairs:
        pack_one(node, hooks.pairs[-1])


def pack_one(node: Node, pair: Pair, only: str | None = None) -> None:
    """Pack what `node` saves, or the `only` one of a name."""
    step = plain(node.step)
    Array = step.kernel.F.Array
    targets = iter(node.targets)
    origins = [next(targets) if needed else None for needed in step.needs]

    def packed(value: Any, origins: list[Any]) -> Any:
        if not isinstance(value, tuple):
            return Packed(pair, _value(value, origins[0])) if isinstance(value, Array) else value
        return tuple(
            Packed(pair, _value(each, origin)) if isinstance(each, Array) else each
            for each, origin in zip(value, origins, strict=False)
        )

    named = []
    for name, value in zip(step.layout, step.inner(node.saved), strict=True):
        if only is not None and name != only:
            pass
        elif name in step.op.inputs:
            value = packed(value, origins[step.op.inputs.index(name) :])
        elif name in step.op.outputs and name in step.op.constant:
            value = packed(value, [None])
        elif name == "outs":
            value = packed(value, [Output(node, i, len(value)) for i in range(len(value))])
        elif name in step.op.outputs and step.several:
            names = [out for out in step.op.outputs if out not in step.op.constant]
            value = packed(value, [Output(node, names.index(name), len(names))])
        elif name in step.op.outputs:
            value = packed(value, [node])
        named.append(value)
    inner: Any = tuple(named)
    if step.several:
        inner = (inner, (node.saved[0] if step.fitted else node.saved)[1])
    node.saved = (inner, node.saved[1]) if step.fitted else inner
    if find(node.step, Unpacking) is None:
        node.step = Unpacking(node.step)


# -- for users to look at ---------------------------------------------------------------------------------------------


def _shows(cls: type[Node], /, **keywords: Any) -> None:
    import_module("gradcore.recorder.node_attributes").give(cls)


setattr(Node, "__init_subclass__", classmethod(_shows))  # noqa: B010
