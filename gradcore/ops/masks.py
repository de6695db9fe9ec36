"""Reading and writing where a mask is true, and filling by it, as torch spells it. It must not know any derivative."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.arguments import axis
from gradcore.ops.assigning import allow_expanded
from gradcore.ops.registry import methods, op
from gradcore.ops.scatter import check_range, out_of_bounds, row, same_dtype, scalar
from gradcore.ops.shaping import broadcast_shapes, expand_to, reshape_to
from gradcore.primitives import conversion as c
from gradcore.primitives import indexing as p
from gradcore.primitives import selection
from gradcore.recorder.errors import broadcast_mismatch
from gradcore.recorder.inplace import bump, check_writable, overlapping
from gradcore.recorder.primitive import renamed
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_masked_select = renamed(p.getitem, "MaskedSelect")
_masked_fill = tuple(renamed(selection.where, f"MaskedFillBackward{i}", dense=True) for i in range(2))
_index_fill = (renamed(selection.where, "IndexFillBackward0"), renamed(selection.where, "IndexFillBackward1"))
_masked_scatter = renamed(selection.where, "MaskedScatter")


@op(out="apart")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements of `input` where `mask` is true, in one dimension; the two broadcast."""
    arguments.need_tensor(mask, "masked_select", "mask")
    if mask._array.dtype != bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask (got {mask.dtype.name})")
    shape = _common(mask, input)
    x, m = (row(expand_to(t, shape) if t._array.shape != shape else t) for t in (input, mask))
    return _masked_select(x, index=(m._array,))  # type: ignore[no-any-return]


def _common(a: Any, b: Any) -> tuple[int, ...]:
    message = broadcast_mismatch(a._array.shape, b._array.shape)
    if message:
        raise RuntimeError(message)
    return tuple(broadcast_shapes(a._array.shape, b._array.shape))


@op(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Replace the elements of `input` where `mask` is true by `value`, a number or 0-d tensor; the tensors broadcast."""
    arguments.need_tensor(mask, "masked_fill", "mask")
    if mask._array.dtype != bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
    number, from_tensor = scalar(input, value, "masked_fill")
    return _masked_fill[from_tensor](mask, number, input)  # type: ignore[no-any-return]


@op(inplace=True, out="exact")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Replace the slices of `input` along `dim` at `index` by `value`, a number or a 0-d tensor."""
    at, array = axis(dim, input._array.ndim), index._array
    if array.dtype.name != "int64":
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if array.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    if isinstance(value, complex) and input._array.dtype.kind != "c":
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    number, from_tensor = scalar(input, value, "index_fill")
    shape = row(input)._array.shape
    check_range(array, shape[at], -shape[at], out_of_bounds(IndexError, "index_fill_()", input, at))
    # A mask, because the value counts once at a place that is named twice.
    F = of(input._array)
    mask = F.zeros((shape[at],), bool)
    F.setitem(mask, (array.reshape(-1),), True)
    mask = mask.reshape([-1 if i == at else 1 for i in range(input._array.ndim)])
    return _index_fill[from_tensor](wrap(mask), number, input)  # type: ignore[no-any-return]


@op(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Replace the elements of `input` where `mask` is true by those of `source`, one after the other."""
    arguments.need_tensor(mask, "masked_scatter", "mask")
    arguments.need_tensor(source, "masked_scatter", "source")
    same_dtype(input, source, "masked_scatter: expected self and source to have same dtypes but got {} and {}")
    if mask._array.dtype != bool:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
    if hasattr(of(mask._array), "interpreter"):  # only a transform can read its masks
        whole = expand_to(mask, _common(mask, input))
        place: Any = whole.reshape(-1).cumsum(0).clamp(min=1).reshape(whole.shape) - 1
        return _masked_scatter(mask, source.take(place), input)  # type: ignore[no-any-return]
    F = of(input._array)
    chosen = F.broadcast_view(mask._array, _common(mask, input))
    place = F.cumsum(chosen.reshape(-1), 0, dtype="int64").reshape(chosen.shape) - 1
    n = source._array.size
    check_range(place, n, -1, lambda i: RuntimeError("Number of elements of source < number of ones in mask"))
    if not n:
        return expand_to(c.copy(input), chosen.shape)  # type: ignore[no-any-return]
    values = p.getitem(reshape_to(source, (n,)), index=(F.maximum(place, 0),))
    return _masked_scatter(mask, values, input)  # type: ignore[no-any-return]


def _onto_expanded(function: Any) -> None:
    """Let the method in place of a filling function write into expanded tensors, too, as torch still does."""
    name = f"{function.__name__}_"
    usual = methods[name]

    @functools.wraps(usual)
    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        if not overlapping(self._array):
            return usual(self, *args, **keywords)
        value, args = (keywords.pop("value"), args) if "value" in keywords else (args[-1], args[:-1])
        allow_expanded(self, name, value)
        F = of(self._array)
        filled = function(wrap(F.zeros(self._array.shape, bool)), *args, value=True, **keywords)._array
        number, _ = scalar(self, value, name[:-1])
        check_writable(self, name)
        F.setitem(F.writable(self._array), (filled,), number._array)
        bump(self, name)
        return self

    methods[name] = method


for _function in (masked_fill, index_fill):
    _onto_expanded(_function)
