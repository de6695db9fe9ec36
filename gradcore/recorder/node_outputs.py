"""What the outputs of a node look like: how many there are, shapes, dtypes, devices. It must not know any operation.

Nodes do not keep it. It is known of what a user has seen (`node.seen`), of what a node saved, and, by pulling zeros back,
of what leads to a node of which it is known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradcore import devices, dtypes
from gradcore.backends import by_type
from gradcore.graph import FREED, GraphNode, Leaf, Node, modes
from gradcore.graph.node import seen, users
from gradcore.recorder.around import plain
from gradcore.recorder.steps import Step
from gradcore.recorder.value import looks, wrap

Look = tuple[Any, ...]  # as `looks` gives it


def count(node: Node, least: int = 1) -> int | None:
    """How many outputs a node has whose step takes a list of cotangents; None if it takes one by itself.

    If what it saved is gone, with the number of its outputs, there are at `least` so many.
    """
    step = plain(node.step)
    if hasattr(step, "outs"):  # of a Function, a loop
        return len(step.outs)
    if not (isinstance(step, Step) and step.several):
        return None
    saved = node.saved[0] if step.fitted and type(node.saved) is tuple else node.saved
    return len(saved[1]) if type(saved) is tuple else least


def zeros(node: GraphNode) -> list[Any]:
    """An array of zeros that looks like each output of `node`; None where that is not known."""
    if isinstance(node, Leaf):
        return [None if (t := node.variable) is None else _made(looks(t._array))]
    assert isinstance(node, Node)
    noted = seen.get(node, {})
    found = [noted.get(i) for i in range(count(node, max(noted, default=0) + 1) or 1)]
    if None in found:
        others = _recorded(node) or [_pulled(node)] * len(found)
        found = [look or other for look, other in zip(found, others, strict=True)]
    return [None if look is None else _made(look) for look in found]


def _made(look: Look) -> Any:
    kind, shape, dtype, index = look
    F = by_type[kind]
    with F.on_device(index):
        return F.broadcast_to(F.zeros((), dtype), shape)


def _recorded(node: Node) -> list[Look | None]:
    """What a node itself keeps of what its outputs look like, if it does."""
    step = plain(node.step)
    if hasattr(step, "outs"):
        return [like and (like.F.Array, like.shape, like.dtype, like.F.current_device()) for like in step.outs]
    if not (isinstance(step, Step) and step.several) or node.saved is FREED:
        return []
    F = step.kernel.F
    shapes = (node.saved[0] if step.fitted else node.saved)[1]
    return [(F.Array, tuple(shape), dtype, F.current_device()) for shape, dtype in shapes]


def _pulled(node: Node) -> Look | None:
    """What the cotangent looks like that `node` gets from one that uses its output."""
    user = users.get(node, lambda: None)()
    step = None if user is None else plain(user.step)
    if user is None or not isinstance(step, Step) or user.saved is FREED:
        return None
    given = [None if zero is None else wrap(zero) for zero in zeros(user)]
    if None in given:
        return None
    with modes.no_grad():
        cotangents = step.traced(user, given if step.several else given[0])
    return next(
        (looks(c._array) for target, c in zip(user.targets, cotangents, strict=True) if target is node and c is not None),
        None,
    )


class _InputMetadata(NamedTuple):
    """What the gradient of one output looks like: torch's object of this name."""

    shape: list[int]
    dtype: dtypes.dtype
    device: devices.device
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


def metadata(node: GraphNode) -> tuple[_InputMetadata, ...]:
    """What the gradient of each output looks like. Raises AttributeError if that is not known."""
    made = []
    of_function = isinstance(node, Node) and hasattr(plain(node.step), "ctx")
    for zero in zeros(node):
        if zero is None and of_function:  # no tensor
            made.append(_InputMetadata([], dtypes.get_default_dtype(), devices.device("cpu")))
            continue
        if zero is None:
            raise AttributeError(
                f"_input_metadata of {node.name()} is not known: nodes do not keep it, and this one was neither seen as the "
                "grad_fn of a tensor nor in next_functions of one that was and still has what it saved"
            )
        t = wrap(zero)
        made.append(_InputMetadata(list(t.shape), t.dtype, t.device))
    return tuple(made)
