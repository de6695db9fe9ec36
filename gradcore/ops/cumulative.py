"""Products, and running sums, products and extrema, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.registry import op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import cumulative as c
from gradcore.primitives import sorting as s
from gradcore.primitives.shape import reshape
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


# -- over a whole dimension, or all

_prod_over = renamed(c.prod, "ProdBackward1")


@op(out="dtype")
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Multiply the elements over one dimension, or all of them; booleans and integers multiply in int64."""
    need_tensor(input, "prod")
    x = converted(input, dtype, "prod")
    if dtype is None and x._array.dtype.kind in "biu":
        x = converted(x, dtypes.int64, "prod")
    if dim is None:
        return c.prod(reshape(x, shape=(-1,)), axis=0)  # type: ignore[no-any-return]
    axis = arguments.axis(dim, x._array.ndim)
    if x._array.ndim == 0:
        return _prod_over(reshape(x, shape=(1,)), axis=0)  # type: ignore[no-any-return]
    return _prod_over(x, axis=axis, keepdims=keepdim)  # type: ignore[no-any-return]


# -- up to each element


def _running(x: Tensor, dim: Any, dtype: Any, name: str, run: Callable[..., Any]) -> Tensor:
    need_tensor(x, name)
    x = converted(x, dtype, name)
    if dtype is None and x._array.dtype.kind in "biu":
        x = converted(x, dtypes.int64, name)
    return run(x, axis=arguments.axis(dim, x._array.ndim))  # type: ignore[no-any-return]


@op(inplace=True, out="dtype")
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the sums of the elements up to each along `dim`; booleans and integers add up in int64."""
    return _running(input, dim, dtype, "cumsum", c.cumsum)


@op(inplace=True, out="dtype")
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the products of the elements up to each along `dim`; booleans and integers multiply in int64."""
    return _running(input, dim, dtype, "cumprod", c.cumprod)


@op(out=True)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return log(cumsum(exp(input))) along `dim`, without overflow.

    Raises NotImplementedError for integers.
    """
    need_tensor(input, "logcumsumexp")
    if input._array.dtype.kind in "biu":
        title = dtypes.of(input._array.dtype)._title
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{title}'")
    return c.logcumsumexp(input, axis=arguments.axis(dim, input._array.ndim))  # type: ignore[no-any-return]


@op(out="exact")
def cummax(input: Tensor, dim: int) -> Any:
    """Return the largest elements so far along `dim` and their indices, of equal elements the last one's."""
    return _so_far(input, dim, "cummax", renamed_picks["cummax"], largest=True)


@op(out="exact")
def cummin(input: Tensor, dim: int) -> Any:
    """Return the smallest elements so far along `dim` and their indices, of equal elements the last one's."""
    return _so_far(input, dim, "cummin", renamed_picks["cummin"], largest=False)


renamed_picks = {"cummax": renamed(s.pick, "Cummax"), "cummin": renamed(s.pick, "Cummin")}


def _so_far(x: Tensor, dim: Any, name: str, pick: Callable[..., Any], *, largest: bool) -> Named:
    need_tensor(x, name)
    if x._array.dtype.kind == "c":
        title = dtypes.of(x._array.dtype)._title
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{title}'")
    axis = arguments.axis(dim, x._array.ndim)
    indices = s.argcummax(x, axis=axis, largest=largest)
    values = pick(x, indices, axis=axis, distinct=False)
    return return_type(name, "values", "indices")((values, indices))
