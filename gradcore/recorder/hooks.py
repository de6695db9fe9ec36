"""Hooks that users register: of tensors, of nodes, of leaves. It must not know sweeps nor any operation.

An exception in a hook says in its notes which hook it was.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import count
from types import NoneType
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes
from gradcore.graph.node import Target, answers
from gradcore.recorder.inplace import target
from gradcore.recorder.value import Value, wrap

Hook = Callable[..., Any]


class RemovableHandle:
    """A handle of a registered hook; `remove()`, or leaving a `with` block, takes the hook off."""

    _ids = count()

    def __init__(self, remove: Callable[[], Any], id: int | None = None) -> None:
        self.id = next(self._ids) if id is None else id
        self.remove = remove

    @classmethod
    def of(cls, hooks: dict[int, Hook], hook: Hook, remove: Callable[[int], Any]) -> RemovableHandle:
        """Put `hook` into a dict; `remove(id)` is to take it out."""
        key = next(cls._ids)
        hooks[key] = hook
        return cls(partial(remove, key), key)

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
        self.accumulated: dict[int, Hook] | None = None

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


def add_first(t: Value, hook: Callable[[Any], Any]) -> None:
    """Run `hook`, whose `last` is less than 0, on every cotangent of the leaf `t` for good, before all others."""
    where = _place(t)
    assert isinstance(where, Leaf)
    _set_hooks(where, [hook, *(where.hooks or ())])


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

    return partial(_take_off, places)


def _take_off(places: list[weakref.ref[Leaf | Node]]) -> None:
    """Take off, wherever it is listed, what one registration has made."""
    for place in places:
        where = place()
        if where is not None and where.hooks is not None:
            _set_hooks(where, [each for each in where.hooks if getattr(each, "places", None) is not places])
    places.clear()


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
    each = hooks_of(t)
    if each is None:
        each = t.__dict__["_hooks"] = _Each(OrderedDict())
    handle = RemovableHandle.of(each.hooks, hook, each.drop)
    each.attach(t)
    return handle


class _Each:
    """The hooks that users registered on a tensor, in a dict that they may change. It is listed while it is not empty."""

    __slots__ = ("hooks", "places")

    def __init__(self, hooks: dict[int, Hook]) -> None:
        self.hooks = hooks
        self.places: list[weakref.ref[Leaf | Node]] = []

    def __call__(self, c: Any) -> Any:
        c = changeable(c)
        for hook in tuple(self.hooks.values()):
            given = shown(c)
            with blaming(hook, f"a tensor of shape {None if c is None else list(c.shape)}", c):
                returned = hook(given)
                c = c if returned is None else replacement(hook, returned, given, c)
        return c

    def attach(self, t: Value) -> None:
        """Be listed where the cotangents of `t` arrive."""
        where = _place(t)
        node, index = (where.node, where.index) if isinstance(where, Output) else (where, None)
        if not self.is_at(node):
            self.listed(node, index, t, self.places)

    def listed(self, node: Leaf | Node, index: int | None, t: Value, places: Any = None) -> None:
        """Be listed at a node, of its output `index` if it has several, on behalf of `t`."""
        _added(node, _Hook(self, node, index, False, weakref.ref(t), [] if places is None else places))

    def is_at(self, node: Any) -> bool:
        """Whether it is listed there."""
        return any(place() is node for place in self.places)

    def drop(self, key: int) -> None:
        """Forget a hook."""
        self.hooks.pop(key, None)
        if not self.hooks:
            _take_off(self.places)


def dict_of(t: Value) -> dict[int, Hook] | None:
    """The hooks that `register_hook` has put on `t`, in a dict for users to change; None if there were none."""
    each = hooks_of(t)
    if each is None:
        return None
    each.attach(t)  # what the user puts in shall run
    return each.hooks


def set_hooks(t: Value, hooks: dict[int, Hook] | None) -> None:
    """Let `hooks`, as it is whenever a cotangent arrives, be the hooks of `t`."""
    each: _Each | None = t.__dict__.pop("_hooks", None)
    if each is not None:
        _take_off(each.places)
    if hooks is not None:
        each = t.__dict__["_hooks"] = _Each(hooks)
        each.attach(t)


def hooks_of(t: Value) -> _Each | None:
    """What lists the hooks that were registered on `t` since it has had its present history."""
    each: _Each | None = t.__dict__.get("_hooks")
    if each is None or not each.hooks:
        return each
    where = _place(t)
    return each if each.is_at(where.node if isinstance(where, Output) else where) else None


def _place(t: Value) -> Target:
    """Where the cotangents of `t` arrive; or would, if it required grad: its end of the graph, made now, waits for that."""
    where: Target | None = target(t)
    if where is None:
        where = t.__dict__.setdefault("_leaf", Leaf(NoneType))
    return where


def changeable(c: Any) -> Any:
    """A cotangent that a user may write in place: a copy of the seed 1, which is made once for all sweeps.

    Not of one that repeats elements, which nobody may write.
    """
    if getattr(getattr(c, "flags", None), "writeable", True) or of(c).storage(c).flags.writeable:
        return c
    repeats = any(n > 1 and not step for n, step in zip(c.shape, c.strides, strict=True))
    return c if repeats else of(c).copy(c)


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
        error.add_note(f"This was raised by the hook '{name_of(hook)}' of {where}.")
        raise


def name_of(hook: Hook) -> str:
    return getattr(hook, "__name__", None) or repr(hook)


def replacement(hook: Hook, returned: Any, given: Value, c: Any) -> Any:
    """What a hook returned instead of the cotangent `c`, as that was: raw or a Tensor."""
    if not isinstance(returned, Value):
        raise TypeError(f"expected Variable, but hook returned '{type(returned).__name__}'")
    new, old = returned._array, given._array
    if new.shape != old.shape:
        raise RuntimeError(
            f"hook '{name_of(hook)}' has changed the size of value (from {list(old.shape)} to {list(new.shape)})"
        )
    if new.dtype != old.dtype:
        raise RuntimeError(
            f"hook '{name_of(hook)}' has changed the type of value (was {dtypes.of(old.dtype)} got {dtypes.of(new.dtype)})"
        )
    if type(new) is not type(old):
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the device of value")
    # A view, since the user may hold the array, and a leaf keeps only what owns itself.
    return returned if isinstance(c, Value) else new[...]


answers.append(lambda module, name: getattr(import_module(f"gradcore.recorder.{module}"), name))


# -- of leaves --------------------------------------------------------------------------------------------------------


def late_hooks(leaf: Leaf, owner: Callable[[], Any]) -> LeafHooks:
    if not isinstance(leaf.hooks, LeafHooks):
        leaf.hooks = LeafHooks(leaf.hooks or (), owner)
    return leaf.hooks


def register_post_accumulate_grad_hook(t: Value, hook: Callable[[Any], None]) -> RemovableHandle:
    """Call `hook(t)` each time after a gradient was added to that of the leaf `t`; what it returns is ignored."""
    where = target(t)
    if where is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not isinstance(where, Leaf):
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    late = late_hooks(where, where.owner)
    if late.accumulated is None:
        late.accumulated = OrderedDict()
    return RemovableHandle.of(late.accumulated, hook, partial(_without, late.accumulated))


def accumulated_of(t: Value) -> dict[int, Hook] | None:
    """The hooks of the accumulation for `t`, in a dict for users to change; None if there were none."""
    where = target(t) or t.__dict__.get("_leaf")
    return where.hooks.accumulated if isinstance(where, Leaf) and isinstance(where.hooks, LeafHooks) else None


def set_accumulated(t: Value, hooks: dict[int, Hook] | None) -> None:
    """Let `hooks` be the hooks of the accumulation for `t`."""
    where = _place(t)
    if isinstance(where, Leaf) and (hooks is not None or accumulated_of(t) is not None):
        late_hooks(where, weakref.ref(t)).accumulated = hooks


def _without(hooks: dict[int, Hook], key: int) -> None:
    hooks.pop(key, None)


def before_accumulation(leaf: Leaf, c: Any) -> Any:
    """The cotangent that is to be accumulated, as the hooks of the leaf as a node leave it; None if they drop it."""
    if not (isinstance(leaf.hooks, LeafHooks) and leaf.hooks.before):
        return c
    from gradcore.recorder.node_hooks import run_first

    return run_first(leaf.hooks.before, [c], "an AccumulateGrad")[0]


def after_accumulation(leaf: Leaf, owner: Value, c: Any) -> None:
    """Run the hooks of a leaf whose gradient `c` has been accumulated."""
    run_accumulated(leaf, owner, c)
    if isinstance(leaf.hooks, LeafHooks) and leaf.hooks.after:
        from gradcore.recorder.node_hooks import run_last

        for hook in leaf.hooks.after:
            run_last((hook,), [], [c], "an AccumulateGrad")


def run_accumulated(leaf: Leaf, owner: Value, c: Any) -> None:
    """Run the hooks of `owner`, whose gradient has changed."""
    for hook in tuple((leaf.hooks.accumulated or {}).values()) if isinstance(leaf.hooks, LeafHooks) else ():
        with blaming(hook, f"the gradient of a leaf of shape {list(owner._array.shape)}", c):
            returned = hook(owner)
            if returned is not None and not isinstance(returned, Value):
                raise TypeError(f"expected Variable, but hook returned '{type(returned).__name__}'")
            if returned is not None and returned is not owner:  # which `p.add_(...)` returns
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
