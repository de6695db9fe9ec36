"""x[index] = value, and tensors overwritten as a whole. It must not know any derivative."""

from __future__ import annotations

import math
from typing import Any

from gradcore import dtypes
from gradcore.backends import cuda_streams, of
from gradcore.backends import numpy as host
from gradcore.graph.modes import is_grad_enabled
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.indexing import advanced, basic, items_of
from gradcore.ops.registry import methods, of_tensor
from gradcore.ops.shaping import broadcast_shapes, expand_to
from gradcore.primitives import conversion as c
from gradcore.primitives import indexing as p
from gradcore.primitives import selection
from gradcore.primitives import shape as s
from gradcore.recorder.caller import warn
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.inplace import bump, check_writable, overlapping, overwritten, receive, refuse_overlap, store, target
from gradcore.recorder.primitive import renamed
from gradcore.recorder.transfer import transfer
from gradcore.recorder.value import Value, wrap

_copied = renamed(selection.fill, "CopyBackwards")


def setitem(x: Any, index: Any, value: Any) -> None:
    """Overwrite the part of `x` at `index` with `value`, a Tensor that broadcasts or a number. Raises as `getitem` does."""
    if not isinstance(value, Value):
        value = plain(x, value)
    if index is False:
        return
    if index is True:
        index = None
    record, at, left = basic(x, items_of(x, index))
    if not left and x._node is None and x._meta is None and _written_plainly(x, at, value):
        return
    view = x if record is None else record(x, index=at)
    value = value if isinstance(value, Value) else wrap(number(x, value))
    if not left:
        assign(view, value, "__setitem__")
        return
    if value._array.size == 1 and _is_one_mask(left):  # it fills, as in torch
        value = c.astype(s.reshape(value, shape=()), dtype=x._array.dtype)
    if value._array.dtype != x._array.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {dtypes.of(x._array.dtype)._title} for the "
            f"destination and {dtypes.of(value._array.dtype)._title} for the source. (Convert the value with "
            f".to({x.dtype}))"
        )
    put(view, advanced(view, left), value, "__setitem__")


def _is_one_mask(left: list[Any]) -> bool:
    arrays = [item for item in left if type(item) is not slice]
    return len(arrays) == 1 and arrays[0].dtype.kind == "b"


def _written_plainly(x: Any, at: tuple[Any, ...], value: Any) -> bool:
    """Write into `x`, which has no history, if there is nothing to record, to convert or to refuse; whether it was done."""
    array = x._array
    if 0 in array.strides:
        return False
    F = of(array)
    if isinstance(value, Value):
        other = value._array
        if value._node is not None or type(other) is not type(array) or other.dtype != array.dtype:
            return False
        if hasattr(F, "interpreter"):  # of a transform, perhaps of other levels
            return False
        part = F.getitem(array, at)
        same = other.shape == part.shape and F.device_of(other) == F.device_of(array)
        if not same or F.storage(other) is F.storage(array):
            return False
        value = other
    else:
        part = F.getitem(array, at)
    F.setitem(part, ..., value)
    bump(x, "__setitem__")
    return True


def _title(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def plain(x: Any, value: Any) -> Any:
    """`value` as the Python number that `x` can hold. Raises TypeError for what is no number, RuntimeError if too large."""
    kind = x._array.dtype.kind
    if type(value) is float and kind == "f" and -65504 <= value <= 65504:  # what any of them holds
        return value
    is_number = isinstance(value, (bool, int, float, complex)) or hasattr(value, "__float__")
    if not is_number or (hasattr(value, "shape") and value.shape):
        raise TypeError(f"can't assign a {_title(value)} to a {x.type()}")
    if isinstance(value, (host.generic, host.Array)):  # which compare in their own precision, and drop imaginary parts
        value = value.item()
    if kind == "b":
        return bool(value)
    if isinstance(value, complex):
        if kind == "c":
            return complex(value)
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {x.dtype.name} without overflow ({value})")
        value = value.real
    limits = (dtypes.iinfo if kind in "iu" else dtypes.finfo)(x.dtype)
    least = 0 if kind == "u" and isinstance(value, float) else -limits.max - (kind == "i")
    if kind in "iu" and math.isfinite(value) and least <= value and int(value) <= limits.max:
        return int(value) % (limits.max + 1) if kind == "u" else int(value)
    if kind in "iu" or (abs(value) > limits.max and math.isfinite(value) and x.dtype.itemsize > 2):
        raise RuntimeError(f"value cannot be converted to type {x.dtype.name} without overflow ({value})")
    return float(value) if not math.isfinite(value) or abs(value) <= limits.max else math.copysign(math.inf, value)


def number(x: Any, value: Any) -> Any:
    """`value` as a 0-d array of the dtype and device of `x`. Raises as `plain` does."""
    F = of(x._array)
    with F.on_device(F.device_of(x._array)[1]):
        return F.full((), plain(x, value), x._array.dtype)


def _refuse_overlap(into: Any, array: Any, name: str) -> None:
    """Raise RuntimeError where torch does: two blocks without gaps that share a part of their memory."""
    F = of(into)
    if type(into) is not type(array) or F.storage(into) is not F.storage(array) or into.strides != array.strides:
        return
    first, second, n = F.address(into), F.address(array), into.nbytes
    if first != second and abs(first - second) < n and into.flags.c_contiguous and array.flags.c_contiguous:
        raise RuntimeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
            f"location. Please clone() the tensor before performing the operation. ({name} on shape {list(into.shape)})"
        )


def allow_expanded(t: Any, name: str, value: Any) -> None:
    """Warn if elements of `t` share memory, where torch lets them be written all the same.

    Raises RuntimeError if the write would be recorded, for its gradients would not be those of the values in memory.
    """
    if overlapping(t._array):
        if is_grad_enabled() and any(isinstance(x, Value) and target(x) is not None for x in (t, value)):
            refuse_overlap(t, name)
        warn(f"Use of {name} on expanded tensors is deprecated. Please clone() the tensor before performing this operation.")


def assign(view: Any, value: Any, name: str, non_blocking: bool = False) -> Any:
    """Make the Tensor `view` hold `value`, broadcast and converted; recorded."""
    receive(view, value)
    check_writable(view, name)
    filling = name == "__setitem__" and view._array.ndim and not value._array.ndim
    record = _filled[True] if filling else _copied
    extra = value._array.ndim - view._array.ndim
    if extra > 0 and value._array.shape[:extra] == (1,) * extra:
        value = s.reshape(value, shape=value._array.shape[extra:])
    if value._array.shape != view._array.shape:
        value = expand_to(value, view._array.shape)
    _refuse_overlap(view._array, value._array, name)
    if value._array.dtype != view._array.dtype:
        if value._array.dtype.kind == "c":
            warn("Casting complex values to real discards the imaginary part")
        value = c.astype(value, dtype=view._array.dtype)
        if value._array.dtype.kind in "biu":  # integers that are written want no gradient, as in torch
            value = wrap(value._array)
    F = of(view._array)
    if F.device_of(view._array) != of(value._array).device_of(value._array):
        on = non_blocking and F is not host  # what comes to the host is read there at once
        value = transfer(value, F, F.device_of(view._array)[1], on)
    if view._meta is not None and view._meta.view is not None:
        return store(view, value, name)
    array = value._array
    return overwritten(view, lambda into: of(into).copyto(into, array), record, (value,), {}, name)


def put(view: Any, index: tuple[Any, ...], value: Any, name: str, accumulate: bool = False) -> Any:
    """Write `value` into the Tensor `view` at an index with arrays (add it there, with `accumulate`); recorded."""
    receive(view, value)
    allow_expanded(view, "index_put_", value)
    F = of(view._array)
    if not accumulate and view._node is None and view._meta is None and value._node is None:
        try:
            F.setitem(view._array, index, value._array)
        except (ValueError, IndexError, TypeError):
            pass  # said below
        else:
            bump(view, name)
            return view
    if value._array.size != 1 or value._node is not None or accumulate:
        value = fitted(view, index, value)
    function, write = (p.index_add, F.scatter_add) if accumulate else (p.index_put, F.setitem)
    return overwritten(
        view, lambda array: write(array, index, value._array), function, (value,), {"index": index}, name
    )


def fitted(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """`value` in the shape of x[index]; leading dimensions of length 1 may go. Raises RuntimeError if it does not fit."""
    F = of(x._array)
    stand_in = F.broadcast_view(F.zeros((1,) * x._array.ndim, "bool"), x._array.shape)  # takes no memory
    places = [of(item) for item in index if hasattr(item, "dtype")]
    F = next((place for place in places if hasattr(place, "interpreter")), F)  # a mask of a transform, say
    have, shape = value._array.shape, tuple(F.getitem(stand_in, index).shape)
    extra = max(len(have) - len(shape), 0)
    padded = (1,) * (len(shape) - len(have)) + have[extra:]
    if have[:extra] != (1,) * extra or any(m not in {1, n} for m, n in zip(padded, shape, strict=True)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape "
            f"{list(shape)}"
        )
    value = s.reshape(value, shape=have[extra:]) if extra else value
    return value if value._array.shape == shape else s.expand(value, shape=shape)


# -- whole tensors ----------------------------------------------------------------------------------------------------

_zeroed = renamed(selection.fill, "ZeroBackward0")
_filled = (renamed(selection.fill, "FillBackward2"), renamed(selection.fill, "FillBackward3"))


def _copy_from(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Overwrite this tensor with `src`, broadcast and converted to its dtype and device. Returns this tensor.

    If `non_blocking`, the host does not wait for a copy between a device and page-locked memory.
    """
    if isinstance(src, (bool, int, float, complex)):
        src = wrap(number(self, src))
    need_tensor(src, "copy_", "other")
    shape = self._array.shape
    message = broadcast_mismatch(shape, src._array.shape)
    if message:
        raise RuntimeError(message)
    if broadcast_shapes(shape, src._array.shape) != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape "
            f"{list(broadcast_shapes(shape, src._array.shape))}"
        )
    if non_blocking and _fetched(self, src):
        return self
    return assign(self, src, "copy_", non_blocking)


def _fetched(self: Any, src: Any) -> bool:
    """Let a device write `src` into this tensor while the host goes on, if they are alike and nothing is recorded."""
    into, array = self._array, src._array
    alike = type(into) is host.Array and into.shape == array.shape and into.dtype == array.dtype and into.size
    recorded = is_grad_enabled() and (self.requires_grad or src.requires_grad)
    if recorded or not alike or not src.is_cuda or not into.flags.c_contiguous or not cuda_streams().is_pinned(into):
        return False
    overwritten(self, lambda into: cuda_streams().fetch(array, into), _copied, (), {}, "copy_")
    return True


def _zero(self: Any) -> Any:
    """Overwrite this tensor with zeros. Returns this tensor."""
    return overwritten(self, lambda array: of(array).setitem(array, ..., 0), _zeroed, (0.0,), {}, "zero_")


def _fill(self: Any, value: Any) -> Any:
    """Overwrite this tensor with `value`, a number or a 0-d tensor. Returns this tensor."""
    from_tensor = isinstance(value, Value)
    if not from_tensor:
        value = wrap(number(self, value))
    elif value._array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value._array.ndim} dimensions. (shape {list(value._array.shape)})"
        )
    else:
        refuse_overlap(self, "fill_")
        receive(self, value)
    value = converted(value, self.dtype, "fill_")
    array = value._array
    return overwritten(self, lambda into: of(into).setitem(into, ..., array), _filled[from_tensor], (value,), {}, "fill_")


methods.update(__setitem__=setitem, copy_=_copy_from, zero_=_zero, fill_=_fill)
zero_, fill_ = of_tensor(_zero, "zero_"), of_tensor(_fill, "fill_")
