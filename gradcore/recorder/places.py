"""Backward where the forward ran: on the streams that nodes were recorded on, on devices that a graph spans. No operation.

Nothing of this is there until a stream is chosen, or a value moves from one device to another. From then on, a sweep over a
graph with such nodes carries cotangents that know where they are and what they wait for; the sweep itself does not notice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from gradcore import backends
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes
from gradcore.graph.node import Target
from gradcore.recorder.around import Around, nodes_behind, observers, standing
from gradcore.recorder.value import Value


class Place(NamedTuple):
    """A stream of a device."""

    device: int
    stream: Any

    @property
    def chosen(self) -> bool:
        """Whether it is not a device's default stream."""
        return int(self.stream.ptr) != 0


# Where nodes were recorded, if not on a default stream; and the moves from device to device.
home: WeakKeyDictionary[Node, Place] = WeakKeyDictionary()
moves: WeakSet[Node] = WeakSet()


class _Inside(threading.local):
    """The places that a thread has entered, the last one on top."""

    def __init__(self) -> None:
        self.places: list[Place] = []


_inside = _Inside()


@contextmanager
def on(place: Place) -> Iterator[None]:
    """Give work to `place` inside, and note of the nodes that are recorded there that they were."""
    with ExitStack() as stack:
        stack.enter_context(backends.for_device("cuda").on_device(place.device))
        stack.enter_context(place.stream)
        _inside.places.append(place)
        modes.unusual.append(_note)
        modes.noticing.append(_note)
        try:
            yield
        finally:
            modes.noticing.remove(_note)
            modes.unusual.remove(_note)
            _inside.places.pop()


def _note(node: Node) -> None:
    if _inside.places and _inside.places[-1].chosen:
        home[node] = _inside.places[-1]
        _begin()


def note_move(node: Node) -> None:
    """Note that `node` moves a value from one device to another."""
    moves.add(node)
    _begin()


def _begin() -> None:
    if watch not in observers:
        observers.append(watch)


def watch(targets: Sequence[Target], wanted: set[Target] | None) -> AbstractContextManager[Any]:
    """Let a sweep from `targets` run each node at its place, if any has one."""
    if not home and not moves:
        return nullcontext()
    nodes = list(nodes_behind(targets))
    if not any(node in home or node in moves for node in nodes):
        return nullcontext()
    seen: set[Target] = set()
    twice = {_node(target) for target in targets if target in seen or seen.add(target)}  # type: ignore[func-returns-value]
    plain = twice | {_node(target) for target in wanted or ()}
    return standing(nodes, lambda node: _There(node, plain))


watch.last = True  # type: ignore[attr-defined]  # of several observers: its context is inside the others'


def _node(target: Target) -> Any:
    return target.node if isinstance(target, Output) else target


class Placed:
    """A cotangent on its way to a node that runs at `place`, to be used there after `events`."""

    __slots__ = ("events", "place", "value")
    __array_ufunc__ = None  # arrays leave operators to this
    __array_priority__ = 1e6

    def __init__(self, value: Any, place: Place, events: tuple[Any, ...]) -> None:
        self.value, self.place, self.events = value, place, events

    def __add__(self, other: Any) -> Placed:
        return self._sum(other, lambda a, b: a + b)

    __radd__ = __add__

    def __iadd__(self, other: Any) -> Placed:
        def add(a: Any, b: Any) -> Any:
            a += b
            return a

        return self._sum(other, add)

    def _sum(self, other: Any, add: Callable[[Any, Any], Any]) -> Placed:
        other = other if isinstance(other, Placed) else arriving(other, self.place)
        with _at(self.place, (self, other)):
            return Placed(add(self.value, other.value), self.place, ())


def _array(x: Any) -> Any:
    return x._array if isinstance(x, Value) else x


def current(x: Any) -> Place | None:
    """The place where work on `x` goes just now, None for a value of the host."""
    array = _array(x)
    if type(array) is host.Array or of(array).device_type != "cuda":
        return None
    index = of(array).device_of(array)[1]
    return Place(index, backends.cuda_streams().current_stream(index))


def arriving(x: Any, to: Place) -> Placed:
    """A value of the current stream as one for `to`."""
    here = current(x)
    return Placed(x, to, () if here is None or _same(here, to) else (_event(here),))


def _same(a: Place, b: Place) -> bool:
    return a.device == b.device and a.stream.ptr == b.stream.ptr


def _event(place: Place) -> Any:
    with backends.for_device("cuda").on_device(place.device):
        return place.stream.record(backends.cuda_streams().new_event(False, False, False))


@contextmanager
def _at(place: Place, parts: Sequence[Placed]) -> Iterator[None]:
    """Work at `place` on values that have arrived there; what came from elsewhere stays until that is done."""
    with on(place):
        for part in parts:
            for event in part.events:
                place.stream.wait_event(event)
        yield
        for part in parts:
            if part.events:
                backends.cuda_streams().keep(_array(part.value))


def _home(node: Node, here: Place | None) -> Place | None:
    """Where `node` runs, whose cotangent is `here`: on the stream it was recorded on, if that is of this device."""
    place = home.get(node)
    return here if place is None or (here is not None and here.device != place.device) else place


class _There(Around):
    """A step that is done where its node was recorded, or else where its cotangent is."""

    def __init__(self, node: Node, plain: set[Any]) -> None:
        super().__init__(node.step)
        self.node, self.plain = node, plain

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Pull back there, and send each cotangent on its way."""
        parts = g if type(g) is list else [g]
        here = next((each.place if isinstance(each, Placed) else current(each) for each in parts if each is not None), None)
        place = _home(self.node, here)
        if place is None:
            return tuple(self._sent(c, None, target) for c, target in zip(pull(g), self.node.targets, strict=True))
        arrived = [each if each is None or isinstance(each, Placed) else arriving(each, place) for each in parts]
        with _at(place, [each for each in arrived if each is not None]):
            raw = [None if each is None else each.value for each in arrived]
            cotangents = pull(raw if type(g) is list else raw[0])
        return tuple(self._sent(c, place, target) for c, target in zip(cotangents, self.node.targets, strict=True))

    def _sent(self, c: Any, place: Place | None, target: Target) -> Any:
        """`c`, made at `place`, as its target takes it: as it is where that is a leaf, or hooks or the caller see it."""
        here = None if c is None else current(c)
        if here is None:
            return c
        made = here if place is None or place.device != here.device else place  # else a move has made it, over there
        node = _node(target)
        if isinstance(node, Leaf) or node.hooks is not None or node in self.plain:
            if not _same(made, here):
                here.stream.wait_event(_event(made))
                backends.cuda_streams().used_by(_array(c), here.stream)
            return c
        to = _home(node, here) or here
        return Placed(c, to, () if _same(made, to) else (_event(made),))
