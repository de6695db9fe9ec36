"""Tensors made to show other memory than they did, or more of it, and their diagonals. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import modes, stamps, versions
from gradcore.ops import arguments
from gradcore.ops.arguments import python_number
from gradcore.ops.filling import size_of, uninitialised
from gradcore.ops.queries import Storage
from gradcore.ops.registry import methods
from gradcore.recorder import views
from gradcore.recorder.inplace import bump, check_writable
from gradcore.recorder.value import meta, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def resize_(input: Tensor, *sizes: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Let the tensor have another shape, in C order over its memory, or over new memory that begins with what was there.

    Raises RuntimeError for a tensor that requires grad. Tensors that share memory that is too small do not follow.
    """
    return _resized(input, size_of("resize_", sizes, size))


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Let the tensor have the shape of another, as `resize_`."""
    arguments.need_tensor(the_template, "resize_as_", "the_template")
    return _resized(input, tuple(the_template._array.shape))


def _resized(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    if t.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    check_writable(t, "resize_")
    array = t._array
    F = of(array)
    if array.shape != shape:
        n, start, strides = math.prod(shape), F.storage_offset(array), _c_order(shape)
        all_there = F.flat_storage(array)
        if n and start + n > all_there.size:
            grown, version = uninitialised(F, (start + n,), array.dtype), t._version
            grown[: all_there.size] = all_there
            _show(t, F.as_strided(grown, shape, strides, start), same_memory=False)
            meta(t).versions = versions.Own(version, silent=False)
        else:
            _show(t, F.as_strided(array, shape, strides, start), same_memory=True)
        bump(t, "resize_")
    return t


def _c_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def _show(t: Tensor, array: Any, same_memory: bool) -> None:
    """Let `t` be `array`. If it is a view it is one still in the same memory, but no longer elsewhere."""
    t._array = array
    view = None if t._meta is None else t._meta.view
    if view is not None and t._meta is not None and not same_memory:
        t._meta.view = t._meta.aliases = t._meta.versions = None
    elif view is not None:
        view.chain = views.strided(view.base._array, array)
        view.seen = next(stamps)


def set_(
    input: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Sequence[int] | None = None
) -> Tensor:
    """Let the tensor be an alias of `source` (a tensor or a storage), or of a part of its memory; empty memory if None.

    Outside `no_grad` its history becomes that of `source`. Raises RuntimeError for another dtype or device, and for a leaf
    that requires grad outside `no_grad`.
    """
    check_writable(input, "set_")
    have = input._array
    F = of(have)
    if source is None:
        source = wrap(F.empty((0,), have.dtype))
    elif isinstance(source, Storage):
        source = wrap(F.flat_storage(source._array).view(have.dtype))
    arguments.need_tensor(source, "set_", "source")
    if source._array.dtype != have.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {dtypes.of(source._array.dtype)} to a tensor of type {dtypes.of(have.dtype)}"
        )
    if type(source._array) is not type(have) or F.device_of(source._array) != F.device_of(have):
        raise RuntimeError(f"set_: expected both tensors on one device, but got {input.device} and {source.device}")
    if size is not None:
        shape = arguments.shape((size,))
        source = source.as_strided(shape, _c_order(shape) if stride is None else tuple(stride), storage_offset)
    recorded = modes.is_grad_enabled() and source._node is not None
    _show(input, source._array, same_memory=False)
    bump(input, "set_")
    if recorded:
        alias = source.as_strided(source.size(), source.stride(), source.storage_offset()) if size is None else source
        input._node, input._meta = alias._node, alias._meta
    elif modes.is_grad_enabled():
        input._node = None
    return input


def fill_diagonal_(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write one number along the main diagonal; with `wrap` it starts again below the square that a tall matrix begins with.

    Raises RuntimeError for fewer than two dimensions, and for more of different lengths.
    """
    shape = input._array.shape
    number = python_number(fill_value, "fill_diagonal_", "fill_value")
    if len(shape) < 2:
        raise RuntimeError(f"dimensions must larger than 1 (fill_diagonal_ on shape {list(shape)})")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"all dimensions of input must be of equal length (fill_diagonal_ on shape {list(shape)})")
    for top in range(0, shape[0] if wrap and len(shape) == 2 else 1, shape[1] + 1):
        square = input[top : top + shape[1]]
        square.as_strided((min(square.shape),), (sum(input.stride()),), square.storage_offset()).fill_(number)
    return input


for _method in (resize_, resize_as_, set_, fill_diagonal_):
    methods[_method.__name__] = _method
