"""Changes of shape and order, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.conversion import contiguous
from gradcore.ops.registry import label, methods, op
from gradcore.primitives import conversion as c
from gradcore.primitives import shape as p
from gradcore.recorder.caller import warn
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.inplace import reshaped
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Shape = tuple[int, ...]


# -- the same elements in another shape -------------------------------------------------------------------------------


def inferred(shape: Shape, count: int) -> Shape:
    """`shape` with a length of -1 replaced by what makes `count` elements. Raises RuntimeError if they do not fit."""
    if math.prod(shape) == count and min(shape, default=0) >= 0:
        return shape
    known = math.prod(n for n in shape if n != -1)
    for i, n in enumerate(shape):
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
    if -1 in shape:
        if shape.count(-1) > 1:
            raise RuntimeError(f"only one dimension can be inferred, but {list(shape)} has {shape.count(-1)} of -1")
        if known == 0 and count == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size "
                "-1 can be any value and is ambiguous"
            )
        if known and count % known == 0:
            return tuple(count // known if n == -1 else n for n in shape)
    if known != count or -1 in shape:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return shape


def is_view(out: Any) -> bool:
    """Whether the result of a view operation shares the memory of what it was made from."""
    return out._meta is not None and out._meta.view is not None


def reshape_to(input: Any, shape: Shape) -> Any:
    """`input` in `shape`: a view if its strides allow, else a copy."""
    out = p.reshape(input, shape=shape)
    if not is_view(out):
        label(out, "UnsafeViewBackward0", (input,))
    elif not input._array.flags.c_contiguous:
        label(out, "ReshapeAliasBackward0", (input,))
    return out


@op()
def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """Return the elements in another shape, where one length may be -1: a view if the strides allow, else a copy."""
    return reshape_to(input, inferred(arguments.shape(sizes, shape), input._array.size))  # type: ignore[no-any-return]


@op(function=False)
def view(self: Tensor, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """Return a view in another shape, or of the same bytes as another dtype. Raises RuntimeError if there is none."""
    if len(sizes) == 1 and isinstance(sizes[0], dtypes.dtype):
        dtype = sizes[0]
    if dtype is not None:
        return _viewed_as(self, dtype)  # type: ignore[no-any-return]
    shape = inferred(arguments.shape(sizes, size), self._array.size)
    out = p.reshape(self, shape=shape)
    if not is_view(out):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            f"contiguous subspaces). Use .reshape(...) instead. (shape {list(self._array.shape)} to {list(shape)})"
        )
    return out  # type: ignore[no-any-return]


def _viewed_as(self: Any, dtype: Any) -> Any:
    have, want = self._array.dtype.itemsize, dtype.itemsize
    if have != want and self._array.ndim == 0:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {self.dtype._title} as {dtype._title} (different element sizes)"
        )
    if have != want and self._array.strides[-1] != have and self._array.size:
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {self.dtype._title} as {dtype._title} (different element sizes), but "
            f"got {self._array.strides[-1] // have}"
        )
    if self._array.ndim and self._array.shape[-1] * have % want:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {want // have} to view {self.dtype._title} as {dtype._title} "
            f"(different element sizes), but got {self._array.shape[-1]}"
        )
    return p.bitcast(self, dtype=dtype.numpy)


@op(function=False)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """Return a view in the shape of `other`."""
    need_tensor(other, "view_as", "other")
    return view(self, other._array.shape)


@op(function=False)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the elements in the shape of `other`: a view if the strides allow, else a copy."""
    need_tensor(other, "reshape_as", "other")
    return reshape(self, other._array.shape)


@op()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dimensions from `start_dim` to `end_dim` into one; the tensor itself if that is one already."""
    shape = input._array.shape
    first, last = axis(start_dim, len(shape)), axis(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if shape and first == last:
        return input
    merged = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return reshape_to(input, merged)  # type: ignore[no-any-return]


@op()
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Split dimension `dim` into several of `sizes`, one of which may be -1."""
    shape, at, parts = input._array.shape, axis(dim, input._array.ndim), arguments.shape((sizes,))
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not shape:
        raise RuntimeError(f"unflatten: dimension specified as {dim} but the tensor has none; reshape({list(parts)}) it")
    known = math.prod(n for n in parts if n != -1)
    if parts.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if -1 in parts and known and shape[at] % known == 0:
        parts = tuple(shape[at] // known if n == -1 else n for n in parts)
    if math.prod(parts) != shape[at] or -1 in parts:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {at} ({shape[at]}) in the "
            "input tensor"
        )
    return p.reshape(input, shape=(*shape[:at], *parts, *shape[at + 1 :]))  # type: ignore[no-any-return]


@op()
def ravel(input: Tensor) -> Tensor:
    """Return the elements in one dimension: a view if they are contiguous, else a copy."""
    return reshape_to(contiguous(input), (input._array.size,))  # type: ignore[no-any-return]


@op()
def squeeze(input: Tensor, dim: Any = ...) -> Tensor:
    """Remove all dimensions of length 1, or those of `dim` (an int or a tuple) that are of length 1, as a view."""
    shape = input._array.shape
    if dim is ...:
        return p.squeeze_all(input, shape=tuple(n for n in shape if n != 1))  # type: ignore[no-any-return]
    several = isinstance(dim, Iterable) and not isinstance(dim, Value)
    gone = arguments.distinct(dim, len(shape)) if several else (axis(dim, len(shape)),)
    rest = tuple(n for i, n in enumerate(shape) if n != 1 or i not in gone)
    return (p.squeeze_some if several else p.squeeze_one)(input, shape=rest)  # type: ignore[no-any-return]


@op()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dimension of length 1 at `dim`, as a view."""
    shape = input._array.shape
    at = axis(dim, len(shape) + 1)
    return p.unsqueeze(input, shape=(*shape[:at], 1, *shape[at:]))  # type: ignore[no-any-return]


def becomes(f: Any, node: str, later: int) -> None:
    """Make a view operation a method in place; torch numbers the nodes of `node` that it makes `later` then."""
    nodes = {f"{node}Backward{i}": f"{node}Backward{i + later}" for i in range(later)}
    methods[f"{f.__name__}_"] = reshaped(f, f"{f.__name__}_", nodes)


becomes(squeeze, "Squeeze", 3)
becomes(unsqueeze, "Unsqueeze", 1)


# -- repetition -------------------------------------------------------------------------------------------------------


def expand_to(input: Any, shape: Shape) -> Any:
    """`input` repeated to `shape`, where -1 keeps a length, without a copy."""
    have = input._array.shape
    lead = len(shape) - len(have)
    if lead < 0:
        raise RuntimeError(
            f"expand({input.type()}{{{list(have)}}}, size={list(shape)}): the number of sizes provided ({len(shape)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    wanted = []
    for i, n in enumerate(shape):
        if n == -1 and i < lead:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
            )
        if n < -1:
            raise RuntimeError(f"expand: invalid size {n} in {list(shape)}")
        old = have[i - lead] if i >= lead else 1
        if n != -1 and old not in {1, n}:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension "
                f"{i}.  Target sizes: {list(shape)}.  Tensor sizes: {list(have)}"
            )
        wanted.append(old if n == -1 else n)
    return p.expand(input, shape=tuple(wanted))


@op(function=False)
def expand(self: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Repeat dimensions of length 1 (and new ones in front) to `size` without a copy; -1 keeps a length."""
    return expand_to(self, arguments.shape(sizes, size))  # type: ignore[no-any-return]


@op(function=False)
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expand to the shape of `other`."""
    need_tensor(other, "expand_as", "other")
    return expand_to(self, other._array.shape)  # type: ignore[no-any-return]


@op()
def broadcast_to(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Expand to `size`."""
    return expand_to(input, arguments.shape(sizes, size))  # type: ignore[no-any-return]


@op(method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """Return the shape to which `shapes` broadcast. Raises RuntimeError if they do not, ValueError for negative lengths."""
    from gradcore.size import Size

    for s in shapes:
        if not isinstance(s, (int, Iterable)):
            raise RuntimeError(f"Input shapes should be of type ints, a tuple of ints, or a list of ints, got {s!r}")
    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out: list[int] = []
    for k, shape in enumerate(sizes):
        out = [1] * (len(shape) - len(out)) + out
        for back in range(1, len(shape) + 1):
            n = shape[-back]
            if 1 not in {n, out[-back]} and n != out[-back]:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {n} at {-back}! Mismatching argument at index {k} had "
                    f"{shape}; but expected shape should be broadcastable to {out}"
                )
            out[-back] = out[-back] if n == 1 else n
    if min(out, default=0) < 0:
        raise ValueError(f"Trying to create tensor with negative dimension {min(out)}: {out} (broadcast_shapes)")
    return Size(out)


@op(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Return views of the tensors, expanded to their common shape."""
    found = arguments.tensors(tensors, "broadcast_tensors")
    shape: tuple[int, ...] = ()
    for t in found:
        message = broadcast_mismatch(shape, t._array.shape)
        if message:
            raise RuntimeError(message)
        shape = tuple(broadcast_shapes(shape, t._array.shape))
    return tuple(t if t._array.shape == shape else expand_to(t, shape) for t in found)


@op(function=False)
def repeat(self: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """Return copies of the tensor side by side, `repeats` of them along each dimension, counted from the last."""
    if not sizes and repeats is None:
        raise TypeError('repeat() missing 1 required positional arguments: "repeats"')
    return tiled(self, arguments.shape(sizes, repeats))  # type: ignore[no-any-return]


def tiled(x: Any, repeats: Shape) -> Any:
    """Copies of `x` side by side."""
    shape = x._array.shape
    if len(repeats) < len(shape):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor (repeats "
            f"{list(repeats)}, shape {list(shape)})"
        )
    if min(repeats, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(repeats)}")
    shape = (1,) * (len(repeats) - len(shape)) + shape
    pairs = p.reshape(x, shape=tuple(k for n in shape for k in (1, n)))
    spread = p.expand(pairs, shape=tuple(k for m, n in zip(repeats, shape, strict=True) for k in (m, n)))
    out = p.reshape(spread, shape=tuple(m * n for m, n in zip(repeats, shape, strict=True)))
    if is_view(out):
        out = c.copy(out)
    label(out, "RepeatBackward0", (x,))
    return out


@op()
def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """Return copies of the tensor side by side; missing numbers are ones, as in NumPy."""
    repeats = arguments.shape(sizes, dims)
    return tiled(input, (1,) * (input._array.ndim - len(repeats)) + repeats)  # type: ignore[no-any-return]


@op(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Return the coordinates of the grid that 0-d and 1-d tensors span: "ij" row first, "xy" column first."""
    found = arguments.tensors(tensors, "meshgrid")
    if not found:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
        )
    elif indexing not in {"ij", "xy"}:
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in found:
        if t._array.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: shape {list(t._array.shape)}"
            )
        if t._array.dtype != found[0]._array.dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    flip = indexing == "xy" and len(found) > 1
    order = [found[1], found[0], *found[2:]] if flip else list(found)
    n = len(order)
    shape = tuple(t._array.size for t in order)
    grids = [
        p.expand(p.reshape(t, shape=(1,) * i + (shape[i],) + (1,) * (n - i - 1)), shape=shape)
        for i, t in enumerate(order)
    ]
    if flip:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


# -- at least so many dimensions --------------------------------------------------------------------------------------


def _at_least(name: str, n: int) -> Any:
    def at_least(*tensors: Any) -> Any:
        found = arguments.tensors(tensors, name)
        made = tuple(_padded(x, n) for x in found)
        return made[0] if len(tensors) == 1 and isinstance(tensors[0], Value) else made

    at_least.__name__ = at_least.__qualname__ = name
    at_least.__doc__ = f"Return views of the tensors with at least {n} dimension{'s' * (n > 1)}; the others themselves."
    return op(method=False)(at_least)


def _padded(x: Any, n: int) -> Any:
    ndim = x._array.ndim
    if ndim >= n:
        return x
    if not ndim:
        return reshape_to(x, (1,) * n)
    if ndim == 1:
        x = unsqueeze(x, 0)
    return unsqueeze(x, -1) if n == 3 else x


atleast_1d, atleast_2d, atleast_3d = (_at_least(f"atleast_{n}d", n) for n in (1, 2, 3))
