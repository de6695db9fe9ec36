"""A loop whose backward pass keeps few states and runs steps again, as seldom as can be. It must not know what a step does.

The loop is one node. Its backward reverses the steps one by one, from states that the binomial schedule stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

from gradcore.backends import of
from gradcore.graph import Leaf, Node, Output, modes, recorded, stamps, sweep, versions
from gradcore.graph.node import Target
from gradcore.recorder import inplace
from gradcore.recorder.around import Around, standing
from gradcore.recorder.hooks import passing
from gradcore.recorder.value import Value, wrap
from gradcore.utils.binomial import advance
from gradcore.utils.random_state import RandomState


def checkpoint_loop(
    step: Callable[[Any], Any], state: Any, n: int, slots: int, *, preserve_rng_state: bool = True
) -> Any:
    """Return the state after `n` times `state = step(state)`; its backward pass keeps at most `slots` states at a time.

    A state is a Tensor, or tuples, lists and dicts of Tensors and other values, with the same structure after each step;
    gradients reach the first state and every Tensor that `step` uses. Steps are run again as seldom as `slots` allows
    (the schedule of Griewank and Walther's `revolve`), with the same random numbers. Differentiating twice keeps everything.

    Raises ValueError if `n` < 0 or `slots` < 1 or a step changes the structure of the state; the backward pass raises
    RuntimeError if a Tensor that `step` uses was overwritten meanwhile.
    """
    if n < 0 or slots < 1:
        raise ValueError(f"checkpoint_loop: expected n >= 0 and slots >= 1, got n={n} and slots={slots}")
    if not modes.is_grad_enabled() or n == 0:
        for _ in range(n):
            state = step(state)
        return state
    return _Loop(step, state, n, slots, preserve_rng_state).run()


class _State(NamedTuple):
    """A state: its number, its arrays, the structure that they are in, and what random numbers come after it."""

    number: int
    values: list[Any]
    structure: Any
    random: RandomState | None


class _Loop:
    """The step of the loop's node, and how the loop runs."""

    name = "CheckpointLoopBackward"
    frees = True
    needs: tuple[bool, ...]

    def __init__(self, step: Callable[[Any], Any], state: Any, n: int, slots: int, preserve: bool) -> None:
        self.step, self.n, self.slots, self.preserve = step, n, slots, preserve
        first, self.structure = _flat(state)
        self.first = [t._array for t in first]
        self.origins = [inplace.target(t) for t in first]
        self.outside: list[Target] = []
        self.versions: list[tuple[Leaf, int]] = []
        self.outs: list[Any] = []

    # -- forward ------------------------------------------------------------------------------------------------------

    def run(self) -> Any:
        """Run all steps once; return the last state, as outputs of a node if anything needs a gradient."""
        start = next(stamps)
        found: dict[Target, None] = {}
        stored, last = self.descend(lambda outs, own: found.update(dict.fromkeys(_outside(outs, own, start))))
        self.outside = [t for t in found if not isinstance(t, Leaf) or t.variable is not None]
        targets = (*(t for t in self.origins if t is not None), *self.outside)
        results = [wrap(a) for a in last.values]
        if targets:
            self.needs = (True,) * len(targets)
            self.versions = [(t, t.variable._version) for t in self.outside if isinstance(t, Leaf)]
            node = recorded(self, targets, [stored[0], stored])
            self.outs = [None] * len(results)
            for i, t in enumerate(results):
                if _has_gradient(t._array):
                    t._node = Output(node, i, len(results))
        return _tree(results, last.structure)

    def descend(self, look: Callable[[list[Value], list[Any]], None] | None = None) -> tuple[list[_State], _State]:
        """Run all steps and store what the schedule wants first. `look` sees the results of each, and the leaves given."""
        stored: list[_State] = []
        state = _State(0, self.first, self.structure, None)
        place = 0
        for k in range(self.n):
            if k == place:
                stored.append(self.noted(state, stored[-1].random if stored else None))
                left = self.slots - len(stored)
                place = k + advance(self.n - k, left + 1) if left and self.n - k > 1 else self.n
            if look is None:
                state = self.after(state)
            else:
                given = [_leaf(a) for a in state.values]
                with modes.enable_grad():
                    outs, structure = self.once(given, state.structure)
                look(outs, [t._node for t in given])
                state = _State(k + 1, [t._array for t in outs], structure, None)
                del given, outs
        return stored, state

    def noted(self, state: _State, last: RandomState | None) -> _State:
        """The state with the random numbers that come after it; `last` is what was noted before."""
        if not self.preserve:
            return state
        return state._replace(random=RandomState([wrap(a) for a in state.values], last))

    def after(self, state: _State) -> _State:
        """The next state, unrecorded."""
        with modes.no_grad():
            outs, structure = self.once([wrap(a) for a in state.values], state.structure)
        return _State(state.number + 1, [t._array for t in outs], structure, None)

    def once(self, given: list[Value], structure: Any) -> tuple[list[Value], Any]:
        """One step: the Tensors and the structure of the next state."""
        # What needs no gradient may be written in place by the step, and is a copy therefore.
        given = [t if _has_gradient(t._array) else wrap(of(t._array).owned(t._array)) for t in given]
        outs, new = _flat(self.step(_tree(given, structure)))
        if not _alike(new, structure):
            raise ValueError(f"checkpoint_loop: a step made of a state of structure {structure} one of structure {new}")
        return outs, new

    # -- backward -----------------------------------------------------------------------------------------------------

    def pull(self, g: list[Any], saved: list[Any]) -> tuple[Any, ...]:
        """Reverse the loop: cotangents of the last state become those of the first and of everything outside."""
        first = saved[0]
        totals: dict[Target, Any] = {}
        summed: set[Target] = set()
        with self.same_numbers(), _barriers(self.outside):
            try:  # a sweep takes the stored states and uses their places again; one that comes later makes its own
                stored = saved.pop(1)
            except IndexError:
                _restore(first)
                stored = self.descend()[0]
            end = self.n
            while end:
                state, free = stored[-1], self.slots - len(stored) + 1
                _restore(state)
                steps = advance(end - state.number, free) if end - state.number > 1 else 0
                if not steps:
                    stored.pop()
                for _ in range(steps):
                    state = self.after(state)
                if steps and free > 1:
                    stored.append(self.noted(state, stored[-1].random))
                else:
                    g = self.reverse(state, g, totals, summed)
                    end -= 1
        by_state = [c for c, origin in zip(g, self.origins, strict=True) if origin is not None]
        # Views, because a leaf keeps only what owns itself.
        return tuple(None if c is None else c[...] for c in (*by_state, *(totals.get(t) for t in self.outside)))

    def reverse(self, state: _State, g: list[Any], totals: dict[Target, Any], summed: set[Target]) -> list[Any]:
        """Reverse the step after `state`; add up what comes to Tensors outside."""
        given = [_leaf(a) for a in state.values]
        with modes.enable_grad():
            outs = self.once(given, state.structure)[0]
        own = [t._node for t in given]
        landed, _ = sweep(*_roots(outs, g), {*(t for t in own if t is not None), *self.outside}, True)
        for t in self.outside:
            c = landed.get(t)
            if c is None:
                continue
            if t in summed:
                totals[t] += c
            elif t in totals:
                totals[t] = totals[t] + c
                summed.add(t)
            else:
                totals[t] = c
        return [None if t is None else landed.get(t) for t in own]

    def traced(self, node: Node, g: list[Any]) -> tuple[Any, ...]:
        """Reverse the loop by recorded operations, all of its steps at once."""
        structure = self.structure
        outs: list[Any] = [wrap(a, origin) for a, origin in zip(self.first, self.origins, strict=True)]
        with self.same_numbers(), modes.enable_grad():
            _restore(node.saved[0])
            for _ in range(self.n):
                outs, structure = self.once(outs, structure)
        with _barriers(node.targets):
            landed, _ = sweep(*_roots(outs, g), set(node.targets), True, True)
        return tuple(landed.pop(t, None) for t in node.targets)

    @contextmanager
    def same_numbers(self) -> Iterator[None]:
        """Let random numbers after this be what they would have been without it."""
        with RandomState([wrap(a) for a in self.first]).again() if self.preserve else nullcontext():
            yield

    def narrowed(self, wanted: tuple[bool, ...]) -> _Narrow:
        """The same; what is not wanted is dropped in the end."""
        return _Narrow(self, wanted)

    def relabelled(self, name: str) -> _Loop:
        """A loop keeps its name."""
        return self

    def check(self, node: Node, traced: bool) -> None:
        """Raise RuntimeError if the first state, or a leaf that the steps use, was overwritten."""
        for a in self.first:
            write = versions.write_after(node.stamp, of(a).storage(a))
            if write is not None:
                raise _overwritten(f"the first state, of shape {list(a.shape)}, was overwritten by {write.by}")
        for leaf, version in self.versions:
            t = leaf.variable
            if t is not None and t._version != version:
                raise _overwritten(f"a leaf of shape {list(t._array.shape)}, which the steps use, was overwritten")


class _Narrow(Around):
    """The step of a loop's node for some of its targets."""

    def __init__(self, loop: _Loop, wanted: tuple[bool, ...]) -> None:
        super().__init__(loop)
        self.wanted = wanted

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Drop what is not wanted."""
        return tuple(c if wanted else None for c, wanted in zip(pull(g), self.wanted, strict=True))


def _overwritten(what: str) -> RuntimeError:
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"{what} after checkpoint_loop had run"
    )


def _has_gradient(array: Any) -> bool:
    return array.dtype.kind not in "biu"


def _leaf(array: Any) -> Value:
    """A Tensor that stands at an end of the graph, if it may have a gradient."""
    return wrap(array, Leaf() if _has_gradient(array) else None)  # type: ignore[no-any-return]


def _restore(state: _State) -> None:
    if state.random is not None:
        state.random.restore()


def _roots(outs: Sequence[Value], g: Sequence[Any]) -> tuple[list[Target], list[Any]]:
    """Where the sweep of a step starts, and with which cotangents."""
    pairs = [(inplace.target(t), c) for t, c in zip(outs, g, strict=True) if c is not None]
    pairs = [pair for pair in pairs if pair[0] is not None]
    return [t for t, _ in pairs], [c for _, c in pairs]


# -- the surroundings of a step ---------------------------------------------------------------------------------------


def _outside(outs: Sequence[Value], own: Sequence[Any], start: int) -> Iterator[Target]:
    """Where the graph of one step ends but at its `own` leaves: other leaves, and what is older than `start`."""
    seen: set[Target] = {t for t in own if t is not None}
    stack = [inplace.target(t) for t in outs]
    while stack:
        target = stack.pop()
        if target is None or target in seen:
            continue
        seen.add(target)
        node = target.node if isinstance(target, Output) else target
        if isinstance(node, Leaf) or node.stamp > start:  # stamps descend
            yield target
        elif node not in seen or node is target:
            seen.add(node)
            stack.extend(node.targets)


class _Barrier(Around):
    """A step through which a sweep does not pass while it reverses a loop: that is left to the sweep outside."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.step)
        self.node = id(node)

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Let nothing pass."""
        return (None,) * sum(self.step.needs) if self.node in passing.nodes else pull(g)


@contextmanager
def _barriers(targets: Sequence[Target]) -> Iterator[None]:
    """Let sweeps of this thread end at `targets`, inside."""
    found = [t.node if isinstance(t, Output) else t for t in targets]
    nodes = [node for node in dict.fromkeys(found) if isinstance(node, Node)]
    before = passing.nodes
    with standing(nodes, _Barrier):
        passing.nodes = before | {id(node) for node in nodes}
        try:
            yield
        finally:
            passing.nodes = before


# -- structures -------------------------------------------------------------------------------------------------------


class _Here:
    """Stands for a Tensor in a structure."""

    def __repr__(self) -> str:
        return "Tensor"


_HERE = _Here()


def _flat(state: Any) -> tuple[list[Value], Any]:
    """The Tensors in `state`, and the rest: the same structure with marks in their places."""
    tensors: list[Value] = []

    def take(t: Value) -> Any:
        tensors.append(t)
        return _HERE

    return tensors, _mapped(take, Value, state)


def _tree(tensors: Sequence[Any], structure: Any) -> Any:
    """The inverse of `_flat`."""
    rest = iter(tensors)
    return _mapped(lambda _: next(rest), _Here, structure)


def _mapped(f: Callable[[Any], Any], kind: type, part: Any) -> Any:
    """The same structure with `f` of everything in it that is of this kind."""
    # No inner function that calls itself: it would be garbage that only the collector finds, with all that it knows.
    if isinstance(part, kind):
        return f(part)
    if isinstance(part, dict):
        return {key: _mapped(f, kind, value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        parts = [_mapped(f, kind, each) for each in part]
        return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
    return part


def _alike(a: Any, b: Any) -> bool:
    """Whether two structures have Tensors in the same places; other values may differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    return (a is _HERE) == (b is _HERE)
