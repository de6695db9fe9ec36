"""Hooks that users register: of tensors, of nodes, of leaves. It must not know sweeps nor any operation.

An exception in a hook says in its notes which hook it was.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import GraphNode, Leaf, Node, Output, modes
from gradcore.graph.node import registrar
from gradcore.recorder.around import Around, find
from gradcore.recorder.inplace import target
from gradcore.recorder.value import Value, wrap

Hook = Callable[..., Any]


class RemovableHandle:
    """A handle of a registered hook; `remove()`, or leaving a `with` block, takes the hook off."""

    _ids = count()

    def __init__(self, remove: Callable[[], None]) -> None:
        self.id = next(self._ids)
        self.remove = remove

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class LeafHooks(list[Hook]):
    """The hooks of a leaf's cotangents, and those that run only when these are accumulated.

    `before` and `after` are of the leaf as a node, `accumulated` of the value whose gradient has changed: `owner`, who stays
    it while it takes no gradient.
    """

    def __init__(self, hooks: Sequence[Hook], owner: Callable[[], Any]) -> None:
        super().__init__(hooks)
        self.owner = owner
        self.before: tuple[Hook, ...] = ()
        self.after: tuple[Hook, ...] = ()
        self.accumulated: tuple[Hook, ...] = ()

    def __bool__(self) -> bool:
        return True


# -- of cotangents ----------------------------------------------------------------------------------------------------


def add_hook(t: Value, hook: Callable[[Any], Any], last: bool = False) -> Callable[[], None]:
    """Run `hook` on every cotangent of `t` (a raw array or, in a traced sweep, a Tensor); returns how to remove it.

    Those that are `last` run after all others.
    """
    where = target(t)
    index = where.index if isinstance(where, Output) else None
    node = where.node if isinstance(where, Output) else where
    assert isinstance(node, (Leaf, Node))
    return _added(node, _Hook(hook, node, index, last, weakref.ref(t), []))


class _Passing(threading.local):
    """The ids of nodes at which this thread's sweep ends, for another to go on: their hooks wait for that."""

    nodes: frozenset[int] = frozenset()


passing = _Passing()


class _Hook:
    """A hook of the cotangents at a node, of output `index` if it has several.

    It knows the node by its id, so that nothing is held in a circle, and the tensor it was registered on weakly. `places` is
    where it is listed, the same for all that one registration has made.
    """

    __slots__ = ("hook", "index", "last", "node", "owner", "places")

    def __init__(
        self,
        hook: Callable[[Any], Any],
        where: Leaf | Node,
        index: int | None,
        last: bool,
        owner: Callable[[], Any],
        places: list[weakref.ref[Leaf | Node]],
    ) -> None:
        self.hook, self.node, self.index, self.last, self.owner, self.places = hook, id(where), index, last, owner, places

    def __call__(self, c: Any) -> Any:
        if self.node in passing.nodes:
            return c
        if self.index is None:
            return self.hook(c)
        if c[self.index] is None:
            return c
        return [self.hook(part) if i == self.index else part for i, part in enumerate(c)]


def _added(where: Leaf | Node, hook: _Hook) -> Callable[[], None]:
    # A sweep may be going through the list: it is replaced, never changed.
    hooks: list[Any] = [*(where.hooks or ()), hook]
    _set_hooks(where, sorted(hooks, key=lambda each: getattr(each, "last", False)))
    places = hook.places
    places.append(weakref.ref(where))

    def remove() -> None:
        for place in places:
            where = place()
            if where is not None and where.hooks is not None:
                _set_hooks(where, [each for each in where.hooks if getattr(each, "places", None) is not places])

    return remove


def end_of(t: Value) -> Leaf | None:
    """The end of the graph for `t` once it has no history: it takes over what hooks `t` has. None if there are none."""
    where = t._node.node if isinstance(t._node, Output) else t._node
    if where is None or isinstance(where, Leaf):
        return where
    # What retains a gradient stays behind: a leaf does so without it.
    hooks = [each for each in where.hooks or () if isinstance(each, _Hook) and each.owner() is t and not each.last]
    end = Leaf()
    for hook in hooks:
        _added(end, _Hook(hook.hook, end, None, False, hook.owner, hook.places))
    return end if hooks else None


def _set_hooks(where: Leaf | Node, hooks: list[Hook]) -> None:
    if isinstance(where.hooks, LeafHooks):
        late = where.hooks
        where.hooks = LeafHooks(hooks, late.owner)
        where.hooks.__dict__.update(late.__dict__)
    else:
        where.hooks = hooks or None


def register_hook(t: Value, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Show every gradient of `t` to `hook` as a Tensor; a Tensor it returns replaces the gradient."""
    if target(t) is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    shape = list(t._array.shape)

    def on_cotangent(c: Any) -> Any:
        given = shown(c)
        with blaming(hook, f"a tensor of shape {shape}", c):
            returned = hook(given)
            return c if returned is None else _replacement(hook, returned, given, c)

    return RemovableHandle(add_hook(t, on_cotangent))


def shown(c: Any) -> Any:
    """A cotangent as a Tensor; None if there is none."""
    return c if c is None or isinstance(c, Value) else wrap(of(c).as_array(c))


@contextmanager
def blaming(hook: Hook, where: str, c: Any) -> Any:
    """Run a hook on `c` with grad mode as in the sweep, and note in an exception which hook it was."""
    try:
        if isinstance(c, Value):
            yield
        else:
            with modes.no_grad():
                yield
    except BaseException as error:
        error.add_note(f"This was raised by the hook '{_name(hook)}' of {where}.")
        raise


def _name(hook: Hook) -> str:
    return getattr(hook, "__name__", None) or repr(hook)


def _replacement(hook: Hook, returned: Any, given: Value, c: Any) -> Any:
    """What a hook returned instead of the cotangent `c`, as that was: raw or a Tensor."""
    if not isinstance(returned, Value):
        raise TypeError(f"expected Variable, but hook returned '{type(returned).__name__}'")
    new, old = returned._array, given._array
    if new.shape != old.shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value (from {list(old.shape)} to {list(new.shape)})"
        )
    if new.dtype != old.dtype:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the type of value (was {dtypes.of(old.dtype)} got {dtypes.of(new.dtype)})"
        )
    if type(new) is not type(old):
        raise RuntimeError(f"hook '{_name(hook)}' has changed the device of value")
    # A view, since the user may hold the array, and a leaf keeps only what owns itself.
    return returned if isinstance(c, Value) else new[...]


def _replacements(hook: Hook, returned: Any, given: Sequence[Any], cs: Sequence[Any]) -> list[Any]:
    """What a hook of a node returned instead of the cotangents `cs`."""
    if not isinstance(returned, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(returned).__name__}'")
    if len(returned) != len(cs):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(returned)}, but expected {len(cs)})"
        )
    return [
        r if r is None or old is None else _replacement(hook, r, old, c)
        for r, old, c in zip(returned, given, cs, strict=True)
    ]


# -- of nodes ---------------------------------------------------------------------------------------------------------


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
        missing = all(part is None for part in parts)
        pulled = (None,) * sum(self.step.needs) if missing else pull(parts if several else parts[0])
        if not self.last:
            return pulled
        # For the user, a cotangent for each input, also for those that need none; None stands for these.
        places = [i for i, needed in enumerate(self.step.needs) if needed]
        cs: list[Any] = [None] * len(self.step.needs)
        for i, c in zip(places, pulled, strict=True):
            cs[i] = c
        cs = run_last(self.last, cs, parts, where)
        return tuple(cs[i] for i in places)


def run_first(hooks: Sequence[Hook], parts: list[Any], where: str) -> list[Any]:
    """Show `parts` to each hook, and let it replace them."""
    for hook in hooks:
        with blaming(hook, where, _any(parts)):
            given = tuple(map(shown, parts))
            returned = hook(given)
            if returned is not None:
                parts = _replacements(hook, returned, given, parts)
    return [_unowned(c) for c in parts] if hooks else parts


def run_last(hooks: Sequence[Hook], cs: list[Any], parts: list[Any], where: str) -> list[Any]:
    """Show the cotangents `cs`, which `parts` gave, to each hook, and let it replace them."""
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


def register_on_node(node: GraphNode, hook: Hook, first: bool) -> RemovableHandle:
    """Run `hook` before (`first`) or after a sweep passes `node`."""
    assert isinstance(node, (Leaf, Node))
    if isinstance(node, Leaf):
        return _late(node, hook, "before" if first else "after")
    step = find(node.step, Hooked)
    if step is None:
        step = Hooked(node.step)
        node.step = step
    return _in(step, "first" if first else "last", hook)


registrar.append(register_on_node)


def _in(holder: Any, name: str, hook: Hook) -> RemovableHandle:
    """Add `hook` to a tuple of them, an attribute of `holder`."""
    own = lambda *args: hook(*args)  # noqa: E731  # one for each registration, so that each is removed by itself
    own.__name__ = _name(hook)
    setattr(holder, name, (*getattr(holder, name), own))
    return RemovableHandle(
        lambda: setattr(holder, name, tuple(each for each in getattr(holder, name) if each is not own))
    )


# -- of leaves --------------------------------------------------------------------------------------------------------


def _late(leaf: Leaf, hook: Hook, name: str) -> RemovableHandle:
    if not isinstance(leaf.hooks, LeafHooks):
        leaf.hooks = LeafHooks(leaf.hooks or (), leaf.owner)
    return _in(_Late(leaf), name, hook)


class _Late:
    """The `LeafHooks` that a leaf has at the moment."""

    def __init__(self, leaf: Leaf) -> None:
        self.__dict__["leaf"] = leaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leaf.hooks, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.leaf.hooks, name, value)


def register_post_accumulate_grad_hook(t: Value, hook: Callable[[Any], None]) -> RemovableHandle:
    """Call `hook(t)` each time after a gradient was added to that of the leaf `t`; what it returns is ignored."""
    where = target(t)
    if where is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not isinstance(where, Leaf):
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return _late(where, hook, "accumulated")


def before_accumulation(leaf: Leaf, c: Any) -> Any:
    """The cotangent that is to be accumulated, as the hooks of the leaf as a node leave it; None if they drop it."""
    hooks = leaf.hooks
    return run_first(hooks.before, [c], "an AccumulateGrad")[0] if isinstance(hooks, LeafHooks) else c


def after_accumulation(leaf: Leaf, owner: Value, c: Any) -> None:
    """Run the hooks of a leaf whose gradient `c` has been accumulated."""
    hooks = leaf.hooks
    if not isinstance(hooks, LeafHooks):
        return
    for hook in hooks.accumulated:
        with blaming(hook, f"the gradient of a leaf of shape {list(owner._array.shape)}", c):
            returned = hook(owner)
            if returned is not None and not isinstance(returned, Value):
                raise TypeError(f"expected Variable, but hook returned '{type(returned).__name__}'")
            if returned is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    for hook in hooks.after:
        run_last((hook,), [], [c], "an AccumulateGrad")
