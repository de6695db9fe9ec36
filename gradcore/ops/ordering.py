"""The order of dimensions and of elements along them, as torch spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore.ops import arguments
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.registry import methods, op
from gradcore.ops.shaping import becomes
from gradcore.primitives import shape as p
from gradcore.recorder.caller import warn
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def swap(x: Any, dim0: Any, dim1: Any, record: Any = None) -> Any:
    """`x` with two dimensions exchanged."""
    n = x._array.ndim
    a, b = axis(dim0, n), axis(dim1, n)
    axes = list(range(n))
    if n:
        axes[a], axes[b] = b, a
    return (record or p.swap)(x, axes=tuple(axes))


@op("swapdims")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two dimensions, as a view."""
    return swap(input, dim0, dim1)  # type: ignore[no-any-return]


@op()
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Exchange two dimensions, as a view."""
    return swap(input, axis0, axis1)  # type: ignore[no-any-return]


@op()
def t(input: Tensor) -> Tensor:
    """Transpose a matrix, as a view. Raises RuntimeError for more than two dimensions."""
    n = input._array.ndim
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return p.swap_last(input, axes=tuple(reversed(range(n))))  # type: ignore[no-any-return]


becomes(transpose, "Transpose", 1)
becomes(swapaxes, "Transpose", 1)
methods["swapdims_"] = methods["transpose_"]
becomes(t, "T", 1)


@op()
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """Put the dimensions in the order `dims`, as a view."""
    order, n = arguments.shape(order, dims), input._array.ndim
    if len(order) != n:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(order)}"
        )
    axes = tuple(axis(dim, n) for dim in order)
    if len(set(axes)) != n:
        raise RuntimeError(f"permute(): duplicate dims are not allowed (in {list(order)})")
    return p.transpose(input, axes=axes)  # type: ignore[no-any-return]


@op("moveaxis")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move the dimensions `source` to the positions `destination`, keeping the order of the others, as a view."""
    n = input._array.ndim
    source, destination = (index(x) if getattr(x, "ndim", 1) == 0 else x for x in (source, destination))
    if isinstance(source, Iterable) != isinstance(destination, Iterable):
        raise TypeError(
            "movedim() received an invalid combination of arguments: source and destination must both be ints or both be "
            f"tuples of ints (got {source} and {destination})"
        )
    from_, to = ((x,) if not isinstance(x, Iterable) else tuple(x) for x in (source, destination))
    if len(from_) != len(to):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(from_)} dims) should contain the same number of "
            f"dims as destination ({list(to)} dims)"
        )
    for name, dims in (("source", from_), ("destination", to)):
        found = [axis(dim, n) for dim in dims]
        if len(set(found)) != len(found):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    moved = dict(zip((axis(d, n) for d in to), (axis(d, n) for d in from_), strict=True))
    rest = iter(i for i in range(n) if i not in moved.values())
    order = tuple(moved[i] if i in moved else next(rest) for i in range(n))
    return p.transpose(input, axes=order)  # type: ignore[no-any-return]


def _reversed(self: Any) -> Any:
    n = self._array.ndim
    if n != 2:
        warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw "
            "an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
        )
    return p.transpose(self, axes=tuple(reversed(range(n))))


def _matrix_transpose(self: Any, name: str = "mT") -> Any:
    n = self._array.ndim
    if n == 0:
        instead = "This function is the identity in these cases." if name == "mT" else "Consider using x.conj()."
        warn(f"Tensor.{name} is deprecated on 0-D tensors. {instead}")
        return self
    if n < 2:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {n}-D tensor.")
    return swap(self, -2, -1)


def _adjoint(self: Any, name: str = "mH") -> Any:
    out = _matrix_transpose(self, name)
    return methods["conj"](out) if self._array.dtype.kind == "c" else out


def _hermitian(self: Any) -> Any:
    n = self._array.ndim
    if n not in {0, 2}:
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor. For batches of matrices, consider "
            "using tensor.mH"
        )
    return _adjoint(self, "H")


_properties: dict[str, Any] = {
    "T": property(_reversed, doc="The tensor with its dimensions reversed, a view."),
    "mT": property(_matrix_transpose, doc="The tensor with its last two dimensions exchanged, a view."),
    "mH": property(_adjoint, doc="The tensor with its last two dimensions exchanged, conjugated."),
    "H": property(_hermitian, doc="The matrix transposed and conjugated."),
}
methods.update(_properties)


@op()
def adjoint(input: Tensor) -> Tensor:
    """Exchange the last two dimensions and conjugate; of a single number, only conjugate."""
    return _adjoint(input, "adjoint()") if input._array.ndim else methods["conj"](input)  # type: ignore[no-any-return]


@op()
def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Reverse the order along each of `dims`; a copy."""
    axis = arguments.distinct(arguments.shape(axes, dims), input._array.ndim)
    return p.flip(input, axis=axis if input._array.ndim else ())  # type: ignore[no-any-return]


@op()
def fliplr(input: Tensor) -> Tensor:
    """Reverse the order along dimension 1. Raises RuntimeError for less than two dimensions."""
    if input._array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@op()
def flipud(input: Tensor) -> Tensor:
    """Reverse the order along dimension 0. Raises RuntimeError for a 0-d tensor."""
    if input._array.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@op(node="Rot90Backward0")
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotate by `k` times 90 degrees in the plane of two dimensions, from the first towards the second."""
    n = input._array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {n}")
    a, b = (axis(dim, n) for dim in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    if k % 2:
        turned = swap(flip(input, b if k % 4 == 1 else a), a, b)
        return wrap(turned._array, turned._node)  # type: ignore[no-any-return]  # nobody has what it is a view of
    return flip(input, (a, b) if k % 4 else ())


@op()
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Move elements cyclically by `shifts` along `dims`, or in flat order if no dims are given."""
    need_tensor(input, "roll")
    shift = arguments.shape((shifts,) if isinstance(shifts, Iterable) else (index(shifts),))
    at = () if dims is None else tuple(dims) if isinstance(dims, Iterable) else (dims,)
    if not shift:
        raise RuntimeError("`shifts` required")
    if not at and len(shift) == 1:
        return p.roll(input, shift=shift, axis=None)  # type: ignore[no-any-return]
    if len(shift) != len(at):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shift)}, dims:{len(at)}")
    axes = tuple(axis(dim, input._array.ndim) for dim in at)
    return p.roll(input, shift=shift, axis=axes)  # type: ignore[no-any-return]
