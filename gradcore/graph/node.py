"""What a graph is made of: nodes, their outputs, and leaves. It must not know what a value is.

Edges point from a result to the values it was computed from, so a graph lives exactly as long as its results: nothing
here points forward or holds a result, and plain reference counting frees everything.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary, ref

from gradcore.graph import modes

# Stamps descend, so that the newest node is the smallest and a min-heap of stamps is a reverse topological order.
stamps: Final = count(-1, -1)


class Freed:
    """The mark in `Node.saved` of a node whose saved values a backward pass has released."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "FREED"


FREED: Final = Freed()

Hook = Callable[[Any], Any]


class Step(Protocol):
    """What a kind of node does in a sweep: one object per primitive and choice of inputs that need a cotangent."""

    name: str
    needs: tuple[bool, ...]
    frees: bool  # whether a sweep releases what the node saved; sizes alone are not worth refusing a second sweep

    @property
    def pull(self) -> Callable[[Any, Any], tuple[Any, ...]]:
        """What takes a raw cotangent and the node's saved values to the cotangents of the targets."""

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        """Pull a cotangent back by operations that are themselves recorded."""

    def narrowed(self, wanted: tuple[bool, ...]) -> Step:
        """The step that computes only the cotangents of the targets in `wanted`, None for the others."""

    def check(self, node: Node, traced: bool) -> None:
        """Raise RuntimeError if a saved value that a sweep reads was overwritten after the node was recorded."""


class GraphNode:
    """What nodes and leaves have in common: torch.autograd.graph.Node."""

    __slots__ = ()

    def name(self) -> str:
        """What it is shown as, torch's name for it."""
        raise NotImplementedError

    @property
    def next_functions(self) -> tuple[tuple[GraphNode | None, int], ...]:
        """For each input, the node that made it (None for a constant) and which of that node's outputs it is."""
        raise NotImplementedError

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for whatever the user wants to note."""
        return _metadata.setdefault(self, {})

    @property
    def requires_grad(self) -> bool:
        """True: what needs no gradient has no node."""
        return True

    def __call__(self, *gradients: Any) -> Any:
        """Pull the gradients of all outputs back to the inputs, or accumulate them, without hooks and without a sweep.

        One for each output, or None. Returns a tensor, or a tuple with one for each edge, None where none is needed,
        recorded where grad mode is on. Raises TypeError for a wrong number, RuntimeError for saved values that were freed or
        overwritten.
        """
        return answers[0]("node_calls", "called")(self, gradients)

    @property
    def _input_metadata(self) -> tuple[Any, ...]:
        return answers[0]("node_outputs", "metadata")(self)  # type: ignore[no-any-return]

    def _sequence_nr(self) -> int:
        return _numbers.get(self, self._number())

    def _set_sequence_nr(self, number: int, /) -> None:
        if not isinstance(number, int):
            raise TypeError("an integer is required")
        if not 0 <= number < 2**64:
            raise OverflowError("int too big to convert" if number > 0 else "can't convert negative int to unsigned")
        _numbers[self] = number

    def _number(self) -> int:
        """The place in the order of recording; the largest 64-bit number for leaves, which no node waits for."""
        return 2**64 - 1

    def _register_hook_dict(self, tensor: Any, /) -> None:
        answers[0]("node_calls", "register_hook_dict")(self, tensor)

    def register_hook(self, fn: Callable[..., Any]) -> Any:
        """Call `fn(grad_inputs, grad_outputs)` after a sweep has passed; a tuple it returns replaces `grad_inputs`.

        Returns a handle whose `remove()` takes the hook off.
        """
        return answers[0]("node_hooks", "register")(self, fn, False)

    def register_prehook(self, fn: Callable[..., Any]) -> Any:
        """Call `fn(grad_outputs)` before a sweep passes; a tuple it returns replaces `grad_outputs`.

        Returns a handle whose `remove()` takes the hook off.
        """
        return answers[0]("node_hooks", "register")(self, fn, True)


_metadata: WeakKeyDictionary[GraphNode, dict[Any, Any]] = WeakKeyDictionary()

# Numbers that users gave to nodes, for profilers to tell; sweeps go by stamps all the same.
_numbers: WeakKeyDictionary[GraphNode, int] = WeakKeyDictionary()

# What users have seen of nodes, which keep neither what their outputs look like nor who uses these: the looks of outputs,
# by their number; and weakly a node that leads to this one.
seen: WeakKeyDictionary[GraphNode, dict[int, tuple[Any, ...]]] = WeakKeyDictionary()
users: WeakKeyDictionary[GraphNode, Callable[[], Any]] = WeakKeyDictionary()

# What finds, by its module and name, what answers users' rarer wishes: set where values are known.
answers: list[Callable[[str, str], Callable[..., Any]]] = []


def _nobody() -> None:
    return None


class Leaf(GraphNode):
    """Where gradients end: the graph's end of a value the user made and asked gradients for.

    `owner` is a weak reference to that value. The value owns its gradient and this leaf, never the other way round, so
    a gradient that has a history of its own makes no cycle.
    """

    __slots__ = ("__weakref__", "hooks", "owner")

    def __init__(self, owner: Callable[[], Any] = _nobody) -> None:
        self.owner = owner
        self.hooks: list[Hook] | None = None

    def name(self) -> str:
        """torch's name for such ends."""
        return "torch::autograd::AccumulateGrad"

    @property
    def next_functions(self) -> tuple[()]:
        return ()

    @property
    def variable(self) -> Any:
        """The value whose gradient is accumulated here, or None once it is gone."""
        return self.owner()

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


class Node(GraphNode):
    """One recorded operation; `recorded` makes one.

    `targets` are what the inputs that need a cotangent came from, in the inputs' order; `saved` is what the step's rules
    read. There is no `__init__`, since the recorder's fast path does better with stores of its own.
    """

    __slots__ = ("__weakref__", "hooks", "saved", "stamp", "step", "targets")

    stamp: int
    step: Step
    targets: tuple[Target, ...]
    saved: Any
    hooks: list[Hook] | None

    def name(self) -> str:
        """torch's name for the node: what it is shown as, or longer if that is no derivative's."""
        name = self.step.name
        return f"torch::autograd::{name}" if name in ("CopySlices", "CopyBackwards") else name

    @property
    def next_functions(self) -> tuple[tuple[Node | Leaf | None, int], ...]:
        """For each input, the node that made it (None for a constant) and which of that node's outputs it is."""
        targets = iter(self.targets)
        return tuple(_function(next(targets), self) if self.step.needs[i] else (None, 0) for i in edges(self.step))

    def _number(self) -> int:
        return -1 - self.stamp

    def __repr__(self) -> str:
        return f"<{self.step.name} object at {id(self):#x}>"


def recorded(step: Step, targets: tuple[Target, ...], saved: Any, kind: type[Node] = Node) -> Node:
    """The newest node, of class `kind`: an operation with this step, on values that came from `targets`."""
    node = kind()
    node.stamp = next(stamps)
    node.step = step
    node.targets = targets
    node.saved = saved
    node.hooks = None
    if modes.noticing:
        for notice in tuple(modes.noticing):
            notice(node)
    return node


class Output:
    """One output of a node that has several; a cotangent for it is a part of the node's."""

    __slots__ = ("__weakref__", "hooks", "index", "node", "size")

    def __init__(self, node: Node, index: int, size: int) -> None:
        self.node = node
        self.index = index
        self.size = size
        self.hooks: list[Hook] | None = None

    # Several objects may stand for one output: of a value, of its saved form rewrapped, of a view made anew.

    def __eq__(self, other: object) -> bool:
        return type(other) is Output and other.node is self.node and other.index == self.index

    def __hash__(self) -> int:
        return hash((id(self.node), self.index))


Target = Leaf | Node | Output


# -- for users to look at ---------------------------------------------------------------------------------------------
# torch has a class of nodes for each operation. Here a node becomes of such a class when somebody first looks at it.

_classes: dict[tuple[type[Node], str], type[Node]] = {}
_originals: dict[type[Node], type[Node]] = {}

Leaf.__name__ = Leaf.__qualname__ = "AccumulateGrad"


def shown(node: Any) -> Any:
    """`node`, of the class that has torch's name for it."""
    if isinstance(node, Node) and type(node).__name__ != node.step.name:
        original = _originals.get(type(node), type(node))
        key = (original, node.step.name)
        if key not in _classes:
            made = type(key[1], (original,), {"__slots__": (), "__doc__": "What the operation of this name recorded."})
            made.__module__ = "builtins" if original is Node else original.__module__
            _originals[made] = original
            _classes.setdefault(key, made)
        node.__class__ = _classes[key]
    return node


def edges(step: Any) -> list[int]:
    """The places of the inputs that a node has edges for: those that there is a derivative in, needed or not."""
    op = getattr(step, "op", None)
    return [i for i, needed in enumerate(step.needs) if needed or op is None or op.has_rule(i)]


def _function(target: Target, user: Node) -> tuple[Node | Leaf, int]:
    node, index = (target.node, target.index) if isinstance(target, Output) else (target, 0)
    users[node] = ref(user)
    return shown(node), index
