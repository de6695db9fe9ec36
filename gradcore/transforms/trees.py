"""Nested dicts, lists, tuples, deques: their leaves, and other leaves in that nesting. It must not know what a leaf is."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

_DICTS: Final = (dict, OrderedDict, defaultdict)


class Shape:
    """The nesting of a tree: the type of its container, what it needs to be made again, the shapes of what is in it."""

    __slots__ = ("context", "extra", "inner", "kind")

    def __init__(self, kind: type | None, context: Any = None, inner: tuple[Shape, ...] = (), extra: Any = None) -> None:
        self.kind, self.context, self.inner = kind, context, inner
        self.extra = extra  # a defaultdict's factory, a deque's greatest length: trees may differ in it

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape) or self.kind is not other.kind or len(self.inner) != len(other.inner):
            return False
        mine, theirs = self.context, other.context
        return (mine == theirs) and all(a == b for a, b in zip(self.inner, other.inner, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [repr(each) for each in self.inner]
        if self.kind is None:
            return "*"
        if self.kind in _DICTS:
            return f"{{{', '.join(f'{key!r}: {part}' for key, part in zip(self.context, parts, strict=True))}}}"
        if self.kind is list:
            return f"[{', '.join(parts)}]"
        return f"{self.kind.__name__ if self.kind is not tuple else ''}({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    def tree(self, leaves: Iterable[Any]) -> Any:
        """The tree of this shape with `leaves`."""
        return self._tree(iter(leaves))

    def _tree(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        inner = [each._tree(leaves) for each in self.inner]
        if self.kind in _DICTS:
            made: Any = self.kind() if self.kind is not defaultdict else defaultdict(self.extra)
            made.update(zip(self.context, inner, strict=True))
            return made
        if self.kind is deque:
            return deque(inner, self.extra)
        return self.kind(*inner) if hasattr(self.kind, "_fields") else self.kind(inner)


_LEAF: Final = Shape(None)


def shape_of(tree: Any) -> Shape:
    """The nesting of `tree`; what is no dict, list, tuple, tuple of names or deque is a leaf."""
    kind = type(tree)
    if kind in _DICTS:
        return Shape(kind, tuple(tree), tuple(map(shape_of, tree.values())), getattr(tree, "default_factory", None))
    if _is_sequence(tree, kind):
        return Shape(kind, None, tuple(map(shape_of, tree)), getattr(tree, "maxlen", None))
    return _LEAF


def _is_sequence(tree: Any, kind: type) -> bool:
    return kind is list or kind is tuple or kind is deque or (isinstance(tree, tuple) and hasattr(kind, "__match_args__"))


def leaves_of(tree: Any) -> list[Any]:
    """The leaves of `tree` in order."""
    kind = type(tree)
    if kind in _DICTS:
        return [leaf for each in tree.values() for leaf in leaves_of(each)]
    if _is_sequence(tree, kind):
        return [leaf for each in tree for leaf in leaves_of(each)]
    return [tree]


def flat(tree: Any) -> tuple[list[Any], Shape]:
    """The leaves of `tree`, and its nesting."""
    return leaves_of(tree), shape_of(tree)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """`tree` with `function` of each leaf."""
    leaves, shape = flat(tree)
    return shape.tree(map(function, leaves))


def spread(prefix: Any, shape: Shape) -> list[Any] | None:
    """For each leaf of a tree of this shape what `prefix`, a tree with leaves where that has subtrees, says of it."""
    if shape.kind is None:
        return [prefix] if shape_of(prefix).kind is None else None
    found = shape_of(prefix)
    if found.kind is None:
        return [prefix] * len(leaves_of(shape.tree(iter(int, 1))))
    if found.kind is not shape.kind and not (found.kind in _DICTS and shape.kind in _DICTS):
        return None
    if found.context != shape.context or len(found.inner) != len(shape.inner):
        return None
    parts = list(prefix.values()) if found.kind in _DICTS else list(prefix)
    flat_parts: list[Any] = []
    for part, inner in zip(parts, shape.inner, strict=True):
        below = spread(part, inner)
        if below is None:
            return None
        flat_parts.extend(below)
    return flat_parts
