"""Rows of tables by number as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.norms import norm_
from gradcore.ops.registry import op
from gradcore.primitives import embedding as p
from gradcore.recorder.inplace import write

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of `weight` at the indices `input`, of shape (*input.shape, columns).

    The gradient leaves out row `padding_idx`, and is dense though `sparse`; with `max_norm`, the rows looked up
    are first scaled down to it in place.
    """
    need_tensor(input, "embedding")
    need_tensor(weight, "embedding", "weight")
    if weight._array.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, but embedding got one of shape {list(weight._array.shape)}")
    rows = weight._array.shape[0]
    if input._array.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, "
            "Int; but got "
            f"torch.{dtypes.of(input._array.dtype)._title}Tensor instead (while checking arguments for "
            "embedding)"
        )
    if padding_idx is not None:
        if not -rows <= padding_idx < (rows or 1):
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows or 1
    check_range(input, rows)
    if max_norm is not None:
        renormalize(weight, input, float(max_norm), float(norm_type))
    return p.embedding(weight, input, padding=padding_idx, by_frequency=bool(scale_grad_by_freq))  # type: ignore[no-any-return]


def check_range(index: Tensor, rows: int, name: str = "embedding", kind: type[Exception] = IndexError) -> None:
    """Raise an error of `kind` for an index out of range; on a device nobody waits to see."""
    array = index._array
    if of(array).device_type != "cpu" or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= rows:
        raise kind(f"index out of range in self: {low if low < 0 else high} is no row of {rows} ({name})")


def renormalize(weight: Any, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale rows of `weight` that `index` names down to `max_norm`, in place."""
    with modes.no_grad():
        norms = norm_(weight, norm_type, 1, keepdim=True)
        F = of(weight._array)
        seen = F.zeros((weight._array.shape[0], 1), "bool")
        seen[index._array.reshape(-1)] = True
        scale = F.where(seen & (norms._array > max_norm), max_norm / (norms._array + 1e-7), 1)
        write(weight, weight._array * F.astype(scale, weight._array.dtype), "embedding")
