"""Views: values that share another's memory, and how their histories follow changes in place. It must not know Tensor.

A view remembers its base and the chain of view operations that leads to it. When an in-place operation gives any member
of the family a new history, the base's node is rebased and the family's common cell notes the stamp; a view whose own
stamp is older makes its node anew, from the base, the next time somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes, stamps, versions
from gradcore.graph.node import Target
from gradcore.recorder.steps import Raw, raw
from gradcore.recorder.value import Value, meta

Layout = tuple[tuple[int, ...], tuple[int, ...], int]


class Chain:
    """View operations one after another, over either algebra: `chain(F, x)`. Of several results, one goes on."""

    __slots__ = ("links",)

    def __init__(self, links: tuple[tuple[Callable[..., Any], dict[str, Any], int | None], ...]) -> None:
        self.links = links

    def __call__(self, F: Any, x: Any) -> Any:
        for function, params, part in self.links:
            if type(F) is Raw:
                F = raw(of(x))  # the link before may have led into a transform, or out of one
            x = getattr(F, function.primitive.name)(x, **params)  # type: ignore[attr-defined]
            x = x if part is None else x[part]
        return x

    def replay(self, base: Value) -> Value:
        """Record the chain on `base` again."""
        for function, params, part in self.links:
            base = function(base, **params)
            base = base if part is None else base[part]  # type: ignore[index]
        return base

    def followed_by(self, function: Callable[..., Any], params: dict[str, Any], part: int | None) -> Chain:
        """This chain and one more operation."""
        return Chain((*self.links, (function, params, part)))


class View:
    """What a view knows: its base (never itself a view), the chain to it, and the stamp of its own history.

    `hazard` says why autograd forbids to write through it: it was made in no_grad mode, or is one of several views that one
    function made.
    """

    __slots__ = ("base", "chain", "hazard", "original", "seen")

    def __init__(self, base: Value, chain: Chain, hazard: str) -> None:
        self.base = base
        self.original = base._array
        self.chain = chain
        self.hazard = hazard
        self.seen = next(stamps)


NO_GRAD: Final = "no_grad"
SEVERAL: Final = "several"
CUSTOM: Final = "custom"

_ADVICE: Final = {
    NO_GRAD: "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving "
    "both the view and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or "
    "both outside (if you want the inplace to be tracked).",
    SEVERAL: "This view is the output of a function that returns multiple views. Such functions do not allow the output "
    "views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    CUSTOM: "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic "
    "to handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect "
    "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.",
}


def note_view(
    out: Value, source: Value, function: Callable[..., Any] | None, params: dict[str, Any], part: int | None = None
) -> None:
    """Make `out` a view of `source` by `function` (of all of it if None), number `part` of several that it returned."""
    m = meta(out)
    seen = source._meta.view if source._meta is not None else None
    base = source if seen is None else seen.base
    alike = type(base._array) is type(out._array) and base._array.dtype == out._array.dtype
    if seen is not None and function is strider[0] and alike:
        # It reads the storage, not just what the view shows of it.
        chain = strided(base._array, out._array)
    else:
        chain = Chain(()) if seen is None else chain_of(seen)
        if function is not None:
            chain = chain.followed_by(function, params, part)
    hazard = SEVERAL if part is not None else "" if modes.is_grad_enabled() else NO_GRAD
    m.view = View(base, chain, hazard or ("" if seen is None else seen.hazard))
    base_meta = meta(base)
    if base_meta.aliases is None:
        base_meta.aliases = [0]
    m.aliases = base_meta.aliases
    m.versions = base_meta.versions
    m.inference = base_meta.inference


def root(value: Value) -> Value:
    """What `value` is a view of, or itself."""
    return value if value._meta is None or value._meta.view is None else value._meta.view.base


def is_view(value: Value) -> bool:
    """Whether `value` shares the memory of another."""
    return value._meta is not None and value._meta.view is not None


def forbid_writes(value: Value, hazard: str) -> None:
    """If `value` is a view, let autograd refuse from now on to write through it, because of `hazard`."""
    if value._meta is not None and value._meta.view is not None:
        value._meta.view.hazard = hazard
        value._meta.view.seen = next(stamps)


def current(value: Value) -> Target | None:
    """The target of a value with a `_meta`, made anew if a change in place has overtaken it."""
    m = value._meta
    assert m is not None
    if m.view is None:
        return value._node
    follow(value)
    if overtaken(value):
        if m.view.base._node is None and (value._node is None or isinstance(value._node, Leaf)):
            return value._node
        refuse_hazard(value, "its base or another view of its base has been")
        remake(value, m.view)
    return value._node


def follow(value: Value) -> None:
    """Let a view hold what its base has come to hold since: an array of a transform, say."""
    view = None if value._meta is None else value._meta.view
    if view is not None and view.base._array is not view.original and follower:
        follower[0](value, view)


# What makes the array of a view anew from its base's, set where transforms are defined.
follower: list[Callable[[Value, View], None]] = []


def settled(value: Value) -> bool:
    """Whether a value with a `_meta` is to operations as one without: no view behind its base, no inference tensor."""
    m = value._meta
    assert m is not None
    return not m.inference and (m.view is None or not overtaken(value))


def shares(out: Any, array: Any) -> bool:
    """Whether two raw arrays of one backend share memory."""
    base = out.base
    if base is array or (base is not None and base is array.base):
        return True
    F = of(array)
    return F.storage(out) is F.storage(array)


def remake(value: Value, view: View) -> None:
    """Make the history of a view from its base's."""
    with modes.enable_grad():
        value._node = node = chain_of(view).replay(view.base)._node
    if isinstance(node, Node) and node.step.name not in _OF_OTHER_DTYPES:
        node.step = node.step.relabelled("AsStridedBackward0")  # type: ignore[attr-defined]
    view.seen = next(stamps)
    if node is not None:
        retain_again(value)


# Nodes of views that torch makes anew by the operation that made them, not by strides.
_OF_OTHER_DTYPES: Final = ("ViewAsRealBackward0", "ViewAsComplexBackward0")


def retain_again(value: Value) -> None:
    """Let a value that keeps its gradient keep that of its new history."""
    if value._meta is not None and value._meta.retains:
        retainer[0](value)


# What lets a value keep its gradient, set where gradients are known.
retainer: list[Callable[[Value], None]] = []


def chain_of(view: View) -> Chain:
    """The chain from the base, as it is now, to a view. A base that was reshaped in place needs another than it had."""
    base = view.base._array
    if base is view.original:
        return view.chain
    return Chain((*strided(base, view.original).links, *view.chain.links))


def strided(base: Any, array: Any) -> Chain:
    """The chain that lays the strides of `array` over the storage of `base`."""
    return Chain(((strider[0], {"layout": layout_of(base), "target": layout_of(array)}, None),))


def layout_of(array: Any) -> Layout:
    """How a raw array lies in its storage: shape, strides and offset, in elements."""
    return tuple(array.shape), tuple(step // array.itemsize for step in array.strides), of(array).storage_offset(array)


def goes_around(value: Value, view: View) -> bool:
    """Whether a write into a view is not part of the history that the view has: that has hooks, which are not for the new
    one, or leads to a smaller view over which it was laid.
    """
    node = value._node.node if isinstance(value._node, Output) else value._node
    if node is None:
        return False
    return node.hooks is not None or any(function is strider[0] for function, _, _ in view.chain.links[:1])


# The primitive that lays other strides over a storage, set where it is defined.
strider: list[Callable[..., Any]] = []


def refuse_hazard(value: Value, modified: str = "is being") -> None:
    """Raise RuntimeError if `value` is a view through which no write may be recorded."""
    view = None if value._meta is None else value._meta.view
    if view is None or not view.hazard:
        return
    node = value._node.node if isinstance(value._node, Output) else value._node
    nr = value._node.index if isinstance(value._node, Output) else 0
    who = "A view" if node is None else f"Output {nr} of {node.name().partition('Backward')[0]} is a view"
    if node is None or view.hazard == NO_GRAD:
        who += " was created in no_grad mode" if node is None else " of a view which was created in no_grad mode"
        how = "with grad mode enabled."
        raise RuntimeError(f"{who} and {modified} modified inplace {how} {_ADVICE[view.hazard]}")
    raise RuntimeError(f"{who} and {modified} modified inplace. {_ADVICE[view.hazard]}")


def requires_grad(value: Value) -> bool:
    """Whether a value with a `_meta`, or what it is a view of, needs a gradient.

    That may be so although nothing flows through the view, which was made without grad mode: writing it is not allowed.
    """
    m = value._meta
    assert m is not None
    if value._node is not None or m.view is None or not m.view.chain.links:
        return value._node is not None
    return m.view.base._node is not None and value._array.dtype.kind not in "biu"


def overtaken(value: Value) -> bool:
    """Whether the memory of a view was written, or its family's history changed, since the view's own was made."""
    m = value._meta
    assert m is not None
    assert m.view is not None
    seen = m.view.seen
    if m.aliases is not None and m.aliases[0] < seen:
        return True
    if versions.newest[0] > seen or (m.versions is not None and m.versions.silent):
        return False
    return versions.write_after(seen, of(value._array).storage(value._array)) is not None


def family_changed(value: Value) -> None:
    """Note that the history of `value` changed, for all views that share its memory."""
    if value._meta is not None and value._meta.aliases is not None:
        value._meta.aliases[0] = next(stamps)
