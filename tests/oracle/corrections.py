"""Where torch's own derivatives are wrong: the same functions in terms whose derivatives are right. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def as_strided_scatter(x: Any, src: Any, *layout: Any, **options: Any) -> Any:
    """torch passes on the gradient of the elements that were replaced, instead of that of the others."""
    out = x.clone()
    out.as_strided(*layout, **options).copy_(src)
    return out


def masked_logaddexp(x: Any, y: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """torch's second derivatives are inf / inf where one of the two is masked."""
    first = torch.ones_like(x, dtype=torch.bool) if input_mask is None else input_mask
    second = torch.ones_like(y, dtype=torch.bool) if other_mask is None else other_mask
    one = torch.where(first, x, torch.where(second, y, -torch.inf))
    return torch.where(first & second, torch.logaddexp(x, y), one).to(dtype or x.dtype)


def norm(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    """The second derivative by the cotangent is the first by the input: 0 at a norm of zero, where torch has nan."""
    found = torch.linalg.norm(x, ord, dim, keepdim, **options)
    if not isinstance(ord, float) or not 2 < ord < torch.inf or isinstance(dim, (tuple, list)):
        return found
    zero = torch.linalg.vector_norm(x.detach(), ord, dim, True) == 0
    elsewhere = torch.linalg.norm(torch.where(zero, torch.ones_like(x), x), ord, dim, keepdim, **options)
    nothing = (x * 0).sum() if dim is None else (x * 0).sum(dim, keepdim)
    return torch.where(zero.reshape(found.shape), nothing.reshape(found.shape), elsewhere)


RIGHT: dict[str, Callable[..., Any]] = {
    "as_strided_scatter": as_strided_scatter,
    "linalg.norm": norm,
    "masked.logaddexp": masked_logaddexp,
}
