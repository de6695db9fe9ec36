"""Hooks that users register on nodes, and on leaves as nodes. It must not know any operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcore.backends import of
from gradcore.graph import GraphNode, Leaf, Node
from gradcore.graph.node import edges
from gradcore.recorder.around import Around, find, plain
from gradcore.recorder.hooks import Hook, RemovableHandle, blaming, changeable, late_hooks, name_of, replacement, shown
from gradcore.recorder.value import Value


class Hooked(Around):
    """A step with hooks: those in `first` see the cotangents before it, those in `last` these and what it returns."""

    first: tuple[Hook, ...] = ()
    last: tuple[Hook, ...] = ()

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Pull back between the hooks."""
        several = type(g) is list
        parts = g if several else [g]
        where = f"the node {self.step.name}"
        parts = run_first(self.first, parts, where)
        missing = all(part is None for part in parts) and not hasattr(plain(self.step), "ctx")  # which may make zeros
        needs = self.step.needs
        pulled = (None,) * sum(needs) if missing else pull(parts if several else parts[0])
        if not self.last:
            return pulled
        # For the user, a cotangent for each edge, also for those that need none; None stands for these.
        own = iter(pulled)
        cs = [next(own) if needs[i] else None for i in edges(self.step)]
        places = [i for i, edge in enumerate(edges(self.step)) if needs[edge]]
        cs = run_last(self.last, cs, parts, where)
        return tuple(cs[i] for i in places)


def run_first(hooks: Sequence[Hook], parts: list[Any], where: str) -> list[Any]:
    """Show `parts` to each hook, and let it replace them."""
    parts = list(map(changeable, parts)) if hooks else parts
    for hook in hooks:
        with blaming(hook, where, _any(parts)):
            given = tuple(map(shown, parts))
            returned = hook(given)
            if returned is not None:
                parts = _replacements(hook, returned, given, parts)
    return [_unowned(c) for c in parts] if hooks else parts


def run_last(hooks: Sequence[Hook], cs: list[Any], parts: list[Any], where: str) -> list[Any]:
    """Show the cotangents `cs`, which `parts` gave, to each hook, and let it replace them."""
    cs, parts = list(map(changeable, cs)), list(map(changeable, parts))
    for hook in hooks:
        with blaming(hook, where, _any(parts)):
            given = tuple(map(shown, cs))
            returned = hook(given, tuple(map(shown, parts)))
            if returned is not None:
                cs = _replacements(hook, returned, given, cs)
    return [_unowned(c) for c in cs]


def _any(parts: Sequence[Any]) -> Any:
    return next((c for c in parts if c is not None), None)


def _unowned(c: Any) -> Any:
    """A raw cotangent as a view, since a hook may have kept what it was shown."""
    return c if c is None or isinstance(c, Value) else of(c).as_array(c)[...]


def register(node: GraphNode, hook: Hook, first: bool) -> RemovableHandle:
    """Run `hook` before (`first`) or after a sweep passes `node`."""
    assert isinstance(node, (Leaf, Node))
    if isinstance(node, Leaf):
        late_hooks(node, node.owner)
        return _in(_Late(node), "before" if first else "after", hook)
    step = find(node.step, Hooked)
    if step is None:
        step = Hooked(node.step)
        node.step = step
    return _in(step, "first" if first else "last", hook)


def _in(holder: Any, name: str, hook: Hook) -> RemovableHandle:
    """Add `hook` to a tuple of them, an attribute of `holder`."""
    own = lambda *args: hook(*args)  # noqa: E731  # one for each registration, so that each is removed by itself
    own.__name__ = name_of(hook)
    setattr(holder, name, (*getattr(holder, name), own))
    return RemovableHandle(
        lambda: setattr(holder, name, tuple(each for each in getattr(holder, name) if each is not own))
    )


class _Late:
    """The `LeafHooks` that a leaf has at the moment."""

    def __init__(self, leaf: Leaf) -> None:
        self.__dict__["leaf"] = leaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leaf.hooks, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.leaf.hooks, name, value)


def _replacements(hook: Hook, returned: Any, given: Sequence[Any], cs: Sequence[Any]) -> list[Any]:
    """What a hook of a node returned instead of the cotangents `cs`."""
    if not isinstance(returned, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(returned).__name__}'")
    if len(returned) != len(cs):
        raise RuntimeError(
            f"hook '{name_of(hook)}' has returned an incorrect number of values (got {len(returned)}, but expected "
            f"{len(cs)})"
        )
    if any(old is None and r is not None for r, old in zip(returned, given, strict=True)):
        raise RuntimeError(f"can't replace a None gradient with a non-None value (hook '{name_of(hook)}')")
    return [
        None if r is None else replacement(hook, r, old, c)
        for r, old, c in zip(returned, given, cs, strict=True)
    ]
