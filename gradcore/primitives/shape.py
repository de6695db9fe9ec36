"""Changes of shape and order of elements, with their transposes. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive
from gradcore.recorder.primitive import renamed
from gradcore.recorder.steps import sum_to
from gradcore.recorder.views import strider

Array = Any
Shape = tuple[int, ...]
Layout = tuple[Shape, Shape, int]


@primitive("linear", x=lambda F, g, x_shape: F.reshape(g, shape=x_shape), view=True, node="View")
def reshape(F: Any, x: Array, *, shape: Shape) -> Array:
    return F.reshape(x, shape)


# Inserting and removing axes of length 1 under torch's names for it; a reshape always finds a view for these.
unsqueeze = renamed(reshape, "Unsqueeze")
squeeze_all = renamed(reshape, "Squeeze")
squeeze_one = renamed(reshape, "SqueezeBackward1")
squeeze_some = renamed(reshape, "SqueezeBackward2")


@primitive("linear", x=lambda F, g, axes: F.transpose(g, axes=inverse(axes)), view=True, node="Permute")
def transpose(F: Any, x: Array, *, axes: Shape) -> Array:
    return F.transpose(x, axes)


swap = renamed(transpose, "Transpose")
swap_last = renamed(transpose, "T")


def inverse(permutation: Shape) -> Shape:
    """The permutation that undoes `permutation`."""
    order = [0] * len(permutation)
    for place, axis in enumerate(permutation):
        order[axis] = place
    return tuple(order)


@primitive("linear", x=lambda F, g, x_shape: sum_to(F, g, x_shape), view=True, node="Expand")
def expand(F: Any, x: Array, *, shape: Shape) -> Array:
    """Broadcast `x` to `shape` without a copy."""
    return F.broadcast_view(x, shape)


@primitive("linear", x=lambda F, g, axis: F.flip(g, axis=axis))
def flip(F: Any, x: Array, *, axis: Shape) -> Array:
    turned = F.flip(x, axis)
    return F.copy(turned) if 0 in x.strides else F.astype(turned, x.dtype, copy=True)  # in the order that x has in memory


@primitive("linear", dense=True, x=lambda F, g, shift, axis: F.roll(g, shift=tuple(-n for n in shift), axis=axis))
def roll(F: Any, x: Array, *, shift: Shape, axis: Shape | None) -> Array:
    """Move elements cyclically by `shift` along each `axis`; in flat order if that is None."""
    return F.roll(x, shift if axis is not None else shift[0], axis)


@primitive("linear")
def bitcast(F: Any, x: Array, *, dtype: Any) -> Array:
    """The same bytes as numbers of another dtype."""
    return x.view(dtype)


# -- triangles and diagonals ------------------------------------------------------------------------------------------


@primitive("linear", dense=True, x=lambda F, g, k: F.tril(g, k=k))
def tril(F: Any, x: Array, *, k: int) -> Array:
    return F.tril(x, k)


@primitive("linear", dense=True, x=lambda F, g, k: F.triu(g, k=k))
def triu(F: Any, x: Array, *, k: int) -> Array:
    return F.triu(x, k)


@primitive(
    "linear",
    x=lambda F, g, x_shape, offset, axes: F.diagonal_embed(g, offset=offset, axes=axes, shape=x_shape),
    view=True,
)
def diagonal(F: Any, x: Array, *, offset: int, axes: tuple[int, int]) -> Array:
    """The diagonal of the planes spanned by the two `axes`, as the last axis of a view."""
    planes = F.moveaxis(x, axes, (-2, -1))
    part = planes[..., offset:] if offset >= 0 else planes[..., -offset:, :]
    *strides, down, right = part.strides
    return F.strided(part, (*part.shape[:-2], min(part.shape[-2:])), (*strides, down + right))


@primitive("linear", x=lambda F, g, offset, axes: F.diagonal(g, offset=offset, axes=axes), node="DiagEmbed")
def diagonal_embed(F: Any, x: Array, *, offset: int, axes: tuple[int, int], shape: Shape) -> Array:
    """Zeros of `shape` with `x` on the diagonal of the planes spanned by the two `axes`."""
    out = F.zeros(shape, x.dtype)
    F.setitem(diagonal.primitive.forward(F, out, offset=offset, axes=axes), ..., x)  # type: ignore[attr-defined]
    return out


# -- other strides over the same memory -------------------------------------------------------------------------------


def _as_strided_vjp(F: Any, g: Array, layout: Layout, target: Layout) -> Array:
    back = F.relayout(g, layout=target, target=layout)
    return F.shared_out(back, layout=layout) if _may_overlap(layout) else back


@primitive("linear", x=_as_strided_vjp, view=True, node="AsStrided")
def as_strided(F: Any, x: Array, *, layout: Layout, target: Layout) -> Array:
    """The view with the shape, strides and offset `target` of the storage in which `x` had `layout`."""
    if layout == (x.shape, tuple(s // x.itemsize for s in x.strides), F.storage_offset(x)):
        return F.as_strided(x, *target)
    if _may_overlap(layout):
        x = shared_out.primitive.forward(F, x, layout=layout)  # type: ignore[attr-defined]
    return _relayout(F, x, layout, target)


strider.append(as_strided)


@primitive("linear", x=lambda F, g, layout, target: F.relayout(g, layout=target, target=layout))
def relayout(F: Any, x: Array, *, layout: Layout, target: Layout) -> Array:
    """What `target` reads of a storage of zeros to which `x` was added as `layout` lays it out."""
    return _relayout(F, x, layout, target)


@primitive("linear", x=lambda F, g, layout: F.shared_out(g, layout=layout))
def shared_out(F: Any, x: Array, *, layout: Layout) -> Array:
    """Each element of `x` divided by how many elements of an array laid out so are one in memory, as torch has it."""
    return x / _relayout(F, F.ones(layout[0], x.dtype), layout, layout)


def _may_overlap(layout: Layout) -> bool:
    reach = 0
    for step, n in sorted((step, n) for n, step in zip(*layout[:2], strict=True) if n > 1):
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def _relayout(F: Any, x: Array, layout: Layout, target: Layout) -> Array:
    written, read = _places(F, layout), _places(F, target)
    storage = F.zeros((max(_end(layout), _end(target)) + 1,), x.dtype)
    F.scatter_add(storage, (F.reshape(written, (-1,)),), F.reshape(x, (-1,)))
    return F.getitem(storage, (read,))


def _end(layout: Layout) -> int:
    shape, strides, offset = layout
    return offset + sum(max(n - 1, 0) * step for n, step in zip(shape, strides, strict=True))


def _places(F: Any, layout: Layout) -> Array:
    """The number in its storage of each element of an array laid out so."""
    shape, strides, offset = layout
    places = F.full((1,) * len(shape), offset, "int64")
    for axis, (n, step) in enumerate(zip(shape, strides, strict=True)):
        along = F.arange(n) * step
        places = places + F.reshape(along, (*(1,) * axis, n, *(1,) * (len(shape) - axis - 1)))
    return places


@primitive(
    "linear",
    x=lambda F, g, x_shape, axis, size, step: F.fold(g, axis=axis, size=size, step=step, shape=x_shape),
    view=True,
)
def unfold(F: Any, x: Array, *, axis: int, size: int, step: int) -> Array:
    """The windows of `size` elements along `axis`, every `step`, as the last axis of a view."""
    return F.sliding_window_view(x, (size,), (axis,))[(*(slice(None),) * axis, slice(None, None, step))]


@primitive("linear", x=lambda F, g, axis, size, step: F.unfold(g, axis=axis, size=size, step=step), node="UnfoldBackward")
def fold(F: Any, x: Array, *, axis: int, size: int, step: int, shape: Shape) -> Array:
    """Zeros of `shape` to which the windows `x` are added where `unfold` would find them."""
    out = F.zeros(shape, x.dtype)
    for i in range(size):
        along = slice(i, i + step * (x.shape[axis] - 1) + 1, step)
        F.scatter_add(out, (*(slice(None),) * axis, along), x[..., i])
    return out
