"""The gradient of each of several losses, from a graph that was recorded as always. It must not know any operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore.autograd import grad
from gradcore.recorder.primitive import registry
from gradcore.tensor import Tensor
from gradcore.transforms.jacobians import basis, chunks


def per_sample_grad(
    losses: Tensor, params: Tensor | Sequence[Tensor] | dict[str, Tensor], *, chunk_size: int | None = None
) -> Any:
    """Return the gradients of each of the `losses`, of shape (n,), by `params`: of shapes (n, *param), in their nesting.

    `chunk_size` of them are swept at a time, all by default. The work is that of n backward passes at once: where the
    function is at hand, `vmap(grad(f))` looks at one sample each. A parameter that is not used has zeros. The graph stays,
    as with `retain_graph`. Raises RuntimeError for losses of another number of dimensions or without history.
    """
    if losses._array.ndim != 1:
        raise RuntimeError(f"per_sample_grad: expected losses of shape (n,), but got {list(losses.shape)}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("per_sample_grad: `chunk_size` should be greater than 0.")
    single = isinstance(params, Tensor)
    names = list(params) if isinstance(params, dict) else None
    inputs: tuple[Any, ...] = (params,) if single else tuple(params.values() if isinstance(params, dict) else params)
    parts = []
    for start, stop in chunks(losses._array.size, chunk_size):
        units: Any = basis(losses, start, stop)
        found = grad(losses, inputs, units, retain_graph=True, allow_unused=True, is_grads_batched=True)
        parts.append([_zeros(x, stop - start) if g is None else g for x, g in zip(inputs, found, strict=True)])
    join = registry["concatenate"].function
    whole = tuple(column[0] if len(column) == 1 else join(*column, axis=0) for column in zip(*parts, strict=True))
    return whole[0] if single else whole if names is None else dict(zip(names, whole, strict=True))


def _zeros(x: Any, n: int) -> Any:
    return x.new_zeros((n, *x.shape))
