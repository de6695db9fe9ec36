"""What memory a graph keeps for its backward pass, as a table. It must not know any operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gradcore import backends
from gradcore.graph import FREED, Leaf, Node
from gradcore.recorder.around import nodes_behind, plain
from gradcore.recorder.inplace import target
from gradcore.recorder.saved import Packed, Saved
from gradcore.recorder.steps import Step
from gradcore.recorder.value import Value
from gradcore.tensor import Tensor


class Row(NamedTuple):
    """One kind of node: its name, its line if known, how many there are, what they save and in how many bytes.

    Memory that several nodes save counts for the newest alone; `leaves` is what of it belongs to leaves.
    """

    operation: str
    line: str
    nodes: int
    saves: tuple[str, ...]
    bytes: int
    leaves: int


class Memory(tuple[Row, ...]):
    """The rows, the largest first; printed, a table."""

    __slots__ = ()

    @property
    def total(self) -> int:
        """Bytes of memory that the graph refers to."""
        return sum(row.bytes for row in self)

    @property
    def leaves(self) -> int:
        """How many of these belong to leaves, and would be there without the graph."""
        return sum(row.leaves for row in self)

    def __repr__(self) -> str:
        lines = [("operation", "nodes", "saves", "memory", "")]
        lines += [(r.operation, str(r.nodes), ", ".join(r.saves), _size(r.bytes), r.line) for r in self]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        told = [
            f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip() for a, b, c, d, e in lines
        ]
        return "\n".join([*told, f"in all {_size(self.total)}, of which {_size(self.leaves)} belong to leaves"])


def memory(*tensors: Tensor) -> Memory:
    """Return what the graph of `tensors` saves for a backward pass, by operation; memory that is shared counts once.

    The lines are known of what was recorded in anomaly mode. Raises RuntimeError for a tensor without history.
    """
    roots = [target(t) for t in tensors]
    if None in roots:
        raise RuntimeError("memory(): a tensor that does not require grad has no graph")
    nodes = sorted(nodes_behind([root for root in roots if root is not None]), key=lambda node: node.stamp)
    owned = set(_leaf_memory(nodes))
    counted: set[int] = set()
    rows: dict[tuple[str, str], Row] = {}
    for node in nodes:
        names, size, of_leaves = dict[str, None](), 0, 0
        for name, array in saved_arrays(node):
            names[name] = None
            storage = backends.of(array).storage(array)
            if id(storage) not in counted:
                counted.add(id(storage))
                size += storage.nbytes
                of_leaves += storage.nbytes if id(storage) in owned else 0
        key = node.name(), _line(node)
        before = rows.get(key, Row(*key, 0, (), 0, 0))
        saves = tuple(dict.fromkeys((*before.saves, *names)))
        rows[key] = Row(*key, before.nodes + 1, saves, before.bytes + size, before.leaves + of_leaves)
    return Memory(sorted((row for row in rows.values() if row.saves), key=lambda row: -row.bytes))


def _leaf_memory(nodes: list[Node]) -> Iterator[int]:
    for node in nodes:
        for end in node.targets:
            if isinstance(end, Leaf) and (owner := end.variable) is not None:
                yield id(backends.of(owner._array).storage(owner._array))


def saved_arrays(node: Node) -> list[tuple[str, Any]]:
    """The arrays that a node keeps, with the names its rules have for them."""
    step, saved = plain(node.step), node.saved
    if saved is FREED:
        return []
    named = zip(step.layout, step.inner(saved), strict=True) if isinstance(step, Step) else [("saved tensors", saved)]
    return [(name, array) for name, value in named for array in _arrays(value)]


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from _arrays(each)
    elif isinstance(value, (Packed, Saved)):
        yield from _arrays(value.value if isinstance(value, Packed) else value.packed or value.array)
    elif isinstance(value, Value):
        yield value._array
    elif type(value) in backends.by_type:
        yield value


def _line(node: Node) -> str:
    trace = node.metadata.get("traceback_")
    return trace[-1].strip().splitlines()[0].removeprefix("File ") if trace else ""


def _size(n: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if n < 1024:
            return f"{n} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
