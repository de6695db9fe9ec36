"""What a failed operation tells its user: the op, shapes, dtypes, devices, and the fix. It must not know any operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.value import Value


def described(inputs: Sequence[Any]) -> str:
    """One phrase for each input: shape, dtype and, if not the CPU, device."""
    return ", ".join(_described(x) for x in inputs)


def _described(x: Any) -> str:
    if not isinstance(x, Value):
        return repr(x) if isinstance(x, (bool, int, float, complex)) else type(x).__name__
    return f"{dtypes.of(x._array.dtype).name}{list(x._array.shape)}" + (
        "" if device_name(x._array) == "cpu" else f" on {device_name(x._array)}"
    )


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
    if isinstance(error, (MemoryError, NotImplementedError, ImportError)):
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
    # An array library raises TypeError where it has no loop for these dtypes.
    kind = NotImplementedError if isinstance(error, TypeError) else RuntimeError
    return kind(f"{op.name}: {error} (got {described(inputs)})")


def no_such_kernel(op: Primitive, inputs: Sequence[Any], dtype: Any) -> NotImplementedError:
    """The error for a dtype that `op` refuses."""
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
