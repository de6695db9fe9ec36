"""What a failed operation tells its user: the op, shapes, dtypes, devices, and the fix. It must not know any operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.backends.shared import OutOfMemoryError
from gradcore.graph import Node, Output
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.value import Value
from gradcore.size import Size


def described(inputs: Sequence[Any]) -> str:
    """One phrase for each input: shape, dtype and, if not the CPU, device."""
    return ", ".join(_described(x) for x in inputs)


def _described(x: Any) -> str:
    if not isinstance(x, Value):
        return repr(x) if isinstance(x, (bool, int, float, complex)) else type(x).__name__
    return _described_array(x._array)


def _described_array(array: Any) -> str:
    if not hasattr(array, "dtype"):
        return "several outputs" if isinstance(array, list) else type(array).__name__
    place = device_name(array)
    return f"{dtypes.of(array.dtype).name}{list(array.shape)}" + ("" if place == "cpu" else f" on {place}")


def device_name(array: Any) -> str:
    """The device of a raw array as torch spells it."""
    kind, index = of(array).device_of(array)
    return kind if index is None else f"{kind}:{index}"


def mixed_devices(op: Primitive, inputs: Sequence[Any]) -> RuntimeError:
    """The error for inputs on several devices."""
    places = [device_name(x._array) for x in inputs if isinstance(x, Value)]
    other = next(place for place in places if place != places[0])
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {places[0]} and {other}! "
        f"({op.name} got {described(inputs)}; move one with .to('{places[0]}'))"
    )


def translated(op: Primitive, inputs: Sequence[Any], error: Exception) -> Exception:
    """The error torch would raise for one that an array library raised in the forward of `op`."""
    if isinstance(error, IndexError):
        return IndexError(str(error).replace("axis", "dimension"))
    if isinstance(error, MemoryError):
        return out_of_memory(error, f"{op.name} got {described(inputs)}")
    if isinstance(error, (NotImplementedError, ImportError)):
        return error
    if op.kind == "elementwise":
        shapes = [tuple(x._array.shape) for x in inputs if isinstance(x, Value)]
        for a in shapes:
            for b in shapes:
                message = broadcast_mismatch(a, b)
                if message:
                    return RuntimeError(f"{message} ({op.name} got {described(inputs)})")
    if type(error).__name__ == "LinAlgError":
        return error
    # An array library raises TypeError where it has no loop for these dtypes, Python where an argument is none.
    by_library = NotImplementedError if not str(error).startswith(_PYTHONS) else TypeError
    kind = by_library if isinstance(error, TypeError) else RuntimeError
    return kind(f"{op.name}: {error} (got {described(inputs)})")


_PYTHONS = ("unsupported operand", "bad operand", "can't multiply", "'")  # how its TypeErrors begin


def out_of_memory(error: MemoryError, where: str) -> OutOfMemoryError:
    """The error for an array library's want of memory."""
    told = isinstance(error, OutOfMemoryError)
    place = "" if told else "CUDA out of memory. " if type(error).__module__.startswith("cupy") else "Out of memory. "
    located = OutOfMemoryError(f"{place}{error} ({where})")
    located.where = where
    return located


def out_of_memory_in_sweep(error: MemoryError) -> OutOfMemoryError:
    """The error for a sweep that ran out of memory: names the node that it had come to."""
    if isinstance(error, OutOfMemoryError) and error.where:
        return error
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_name != "sweep":
        at = at.tb_next
    where = "adding up gradients"
    if at is not None and isinstance(node := at.tb_frame.f_locals.get("node"), Node):
        where = f"{node.step.name} for a cotangent of {_described_array(at.tb_frame.f_locals.get('g'))}"
    return out_of_memory(error, f"{where}; no .grad has changed")


# What torch advises for masks, which have no sign.
_WITHOUT_A_SIGN = {
    "negative": "Negation, the `-` operator, on a bool tensor is not supported. To invert a mask, use `~` or logical_not().",
    "subtract": "Subtraction, the `-` operator, with two bool tensors is not supported. Use `^` or logical_xor() instead.",
}


def no_such_kernel(op: Primitive, inputs: Sequence[Any], dtype: Any) -> RuntimeError:
    """The error for a dtype that `op` refuses."""
    name = "subtract" if op.name == "reverse_subtract" else op.name
    if dtype.kind == "b" and name in _WITHOUT_A_SIGN:
        return RuntimeError(f"{_WITHOUT_A_SIGN[name]} (got {described(inputs)})")
    return NotImplementedError(
        f"\"{op.name}\" not implemented for '{dtypes.of(dtype)._title}' (got {described(inputs)}; convert them first)"
    )


def broadcast_mismatch(a: tuple[int, ...], b: tuple[int, ...]) -> str | None:
    """torch's sentence for two shapes that do not broadcast, None if they do."""
    longest = max(len(a), len(b))
    for back in range(1, min(len(a), len(b)) + 1):
        if a[-back] != b[-back] and a[-back] != 1 and b[-back] != 1:
            return (
                f"The size of tensor a ({a[-back]}) must match the size of tensor b ({b[-back]}) at non-singleton "
                f"dimension {longest - back}"
            )
    return None


# -- where a history ends ---------------------------------------------------------------------------------------------


class Cut:
    """What is known of a constant: what made it one, on which line, and the same of what it was computed from."""

    __slots__ = ("before", "what", "where")

    def __init__(self, what: str, where: str, before: tuple[Cut, ...] = ()) -> None:
        self.what, self.where, self.before = what, where, before


def shape_of_gradient(c: Any, array: Any, whose: str) -> RuntimeError:
    """A gradient `c` arrived at a tensor that has another shape, or at its .grad."""
    return RuntimeError(
        f"a gradient of shape {list(c.shape)} arrived at a {whose} of shape {list(array.shape)}: it was given another "
        "shape through .data (set its .grad to None then, and compute anew), or the rule of an operation is wrong"
    )


def shape_of_seed(g: Value, t: Value, i: int) -> RuntimeError:
    """The gradient given for output number `i` has another shape than that, which is `t`."""
    node = t._node.node if isinstance(t._node, Output) else t._node
    made = f" of {node.name()}" if isinstance(node, Node) else ""
    return RuntimeError(
        f"Mismatch in shape: grad_output[{i}] has a shape of {Size(g._array.shape)} and output[{i}] has a shape of "
        f"{Size(t._array.shape)}{made}. Give it the shape of the output, by reshape() or expand()."
    )


def why_no_grad(t: Value) -> str:
    """Why `t` has no history: what was noted of it and what it was computed from, or what can be said without notes."""
    if t._array.dtype.kind in "biu":
        told = f"{dtypes.of(t._array.dtype)} has no derivative: only floating point and complex tensors can require grad"
    else:
        told = "it was made without requires_grad=True, in no_grad mode, or by detach()"
    if "_cut" not in t.__dict__:
        return f"{told}; make it inside `with gradcore.autograd.note_cuts():` to be told on which line"
    cuts: dict[str, None] = {}
    seen: set[int] = set()
    stack: list[Cut] = [t.__dict__["_cut"]]
    while stack:
        cut = stack.pop()
        if id(cut) not in seen:
            seen.add(id(cut))
            stack.extend(reversed(cut.before))
            cuts.update({f"{cut.what} ({cut.where})" if cut.where else cut.what: None} if cut.what else {})
    return "\n  ".join(["its history ends here:", *cuts])
