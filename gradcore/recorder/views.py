"""Views: values that share another's memory, and how their histories follow changes in place. It must not know Tensor.

A view remembers its base and the chain of view operations that leads to it. When an in-place operation gives any member
of the family a new history, the base's node is rebased and the family's common cell notes the stamp; a view whose own
stamp is older makes its node anew, from the base, the next time somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore.graph import modes, stamps
from gradcore.graph.node import Target
from gradcore.recorder.value import Meta, Value, meta


class Chain:
    """View operations one after another, over either algebra: `chain(F, x)`."""

    __slots__ = ("links",)

    def __init__(self, links: tuple[tuple[Callable[..., Any], dict[str, Any]], ...]) -> None:
        self.links = links

    def __call__(self, F: Any, x: Any) -> Any:
        for function, params in self.links:
            x = getattr(F, function.primitive.name)(x, **params)  # type: ignore[attr-defined]
        return x

    def replay(self, base: Value) -> Value:
        """Record the chain on `base` again."""
        for function, params in self.links:
            base = function(base, **params)
        return base

    def followed_by(self, function: Callable[..., Any], params: dict[str, Any]) -> Chain:
        """This chain and one more operation."""
        return Chain((*self.links, (function, params)))


class View:
    """What a view knows: its base (never itself a view), the chain to it, and the stamp of its own history."""

    __slots__ = ("base", "chain", "seen", "tracked")

    def __init__(self, base: Value, chain: Chain, tracked: bool) -> None:
        self.base = base
        self.chain = chain
        self.tracked = tracked
        self.seen = next(stamps)


def note_view(out: Value, source: Value, function: Callable[..., Any], params: dict[str, Any]) -> None:
    """Make `out` a view of `source` by `function`."""
    m = meta(out)
    of = source._meta.view if source._meta is not None else None
    base = source if of is None else of.base
    chain = (Chain(()) if of is None else of.chain).followed_by(function, params)
    m.view = View(base, chain, modes.is_grad_enabled())
    base_meta = meta(base)
    if base_meta.aliases is None:
        base_meta.aliases = [0]
    m.aliases = base_meta.aliases
    m.versions = base_meta.versions


def current(value: Value) -> Target | None:
    """The target of a value with a `_meta`, made anew if a change in place has overtaken it."""
    m = value._meta
    assert m is not None
    if m.view is not None and overtaken(m):
        with modes.enable_grad():
            value._node = m.view.chain.replay(m.view.base)._node
        m.view.seen = next(stamps)
    return value._node


def overtaken(m: Meta) -> bool:
    """Whether a member of the view's family has got a new history since the view's own was made."""
    return m.view is not None and m.aliases is not None and m.aliases[0] < m.view.seen


def family_changed(value: Value) -> None:
    """Note that the history of `value` changed, for all views that share its memory."""
    if value._meta is not None and value._meta.aliases is not None:
        value._meta.aliases[0] = next(stamps)
