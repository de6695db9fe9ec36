"""Dimensions taken apart, moved and joined as a pattern says, after einops: torch.func.rearrange. It must not know arrays.

    rearrange(x, "b (h w) c -> b c h w", h=4)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from gradcore.ops.joining import stack
from gradcore.tensor import Tensor

# A dimension of one side: the names of what it is made of. The ellipsis stands for any number of dimensions.
Dim = list[str]
_ELLIPSIS = "..."
_REST: Dim = [_ELLIPSIS]  # the ellipsis outside of parentheses


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """Return `tensor` with the dimensions named left of "->" arranged as on the right.

    Parentheses join dimensions, `axes_lengths` says how long their parts are (one per group may be left out), `...` stands
    for all dimensions not named, 1 or () for one of length 1. A sequence of tensors is stacked first. Raises ValueError for
    a pattern that is wrong or does not fit.
    """
    x = tensor if isinstance(tensor, Tensor) else stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"Pattern must have exactly one '->', got {pattern!r}")
    left, right = (_parsed(side, pattern) for side in sides)
    unknown = axes_lengths.keys() - {name for dim in left for name in dim}
    if unknown:
        raise ValueError(f"Pattern {pattern!r} has no dimensions {sorted(unknown)} on its left side")
    left, right = _spelled_out(left, right, x.ndim, pattern)
    a, b = ({name for dim in side for name in dim} for side in (left, right))
    if a != b:
        raise ValueError(f"Identifiers only on one side of the pattern (should be on both): {sorted(a ^ b)} in {pattern!r}")
    lengths: dict[str, int] = {}
    for dim, n in zip(left, x.shape, strict=True):
        lengths.update(_lengths(dim, int(n), axes_lengths, pattern))
    order = [name for dim in left for name in dim]
    parts = x.reshape([lengths[name] for name in order])
    moved = parts.permute([order.index(name) for dim in right for name in dim])
    return moved.reshape([prod(lengths[name] for name in dim) for dim in right])  # type: ignore[no-any-return]


def _parsed(side: str, pattern: str) -> list[Dim]:
    """One side of a pattern."""
    dims: list[Dim] = []
    group: Dim | None = None
    for word in re.findall(r"\.\.\.|\w+|\S", side):
        if word == "(" and group is None:
            group = []
        elif word == ")" and group is not None:
            dims.append(group)
            group = None
        elif word == _ELLIPSIS or word.isidentifier():
            if group is None:
                dims.append(_REST if word == _ELLIPSIS else [word])
            else:
                group.append(word)
        elif word == "1":
            if group is None:
                dims.append([])
        else:
            raise ValueError(f"{word!r} is not a valid dimension in the pattern {pattern!r}")
    names = [name for dim in dims for name in dim]
    if group is not None:
        raise ValueError(f"Parentheses are not closed in the pattern {pattern!r}")
    if len(names) != len(set(names)):
        raise ValueError(f"An identifier is used twice on one side of the pattern {pattern!r}")
    return dims


def _spelled_out(left: list[Dim], right: list[Dim], ndim: int, pattern: str) -> tuple[list[Dim], list[Dim]]:
    """Both sides with names of their own for the dimensions that the ellipsis stands for."""
    where = next((i for i, dim in enumerate(left) if dim is _REST), None)
    if any(_ELLIPSIS in dim and dim is not _REST for dim in left):
        raise ValueError(f"The ellipsis may not be in parentheses on the left side of the pattern {pattern!r}")
    if (where is None) != all(_ELLIPSIS not in dim for dim in right):
        raise ValueError(f"The ellipsis is only on one side of the pattern (should be on both): {pattern!r}")
    if where is None:
        if len(left) != ndim:
            raise ValueError(f"The pattern {pattern!r} is of {len(left)} dimensions, the tensor has {ndim}")
        return left, right
    n = ndim - len(left) + 1
    if n < 0:
        raise ValueError(f"Number of dimensions in pattern ({len(left) - 1}) must not exceed that of the tensor ({ndim})")
    names = [f"...{i}" for i in range(n)]
    out: list[Dim] = []
    for dim in right:
        if dim is _REST:
            out.extend([name] for name in names)
        else:
            out.append([each for name in dim for each in (names if name == _ELLIPSIS else [name])])
    return [*left[:where], *([name] for name in names), *left[where + 1 :]], out


def _lengths(dim: Dim, n: int, given: Mapping[str, Any], pattern: str) -> dict[str, int]:
    """The lengths of the parts of a dimension of length `n`."""
    found = {name: int(given[name]) for name in dim if name in given}
    known, open_ = prod(found.values()), [name for name in dim if name not in given]
    if len(open_) > 1:
        raise ValueError(f"The lengths of all but one of {open_} must be given (pattern {pattern!r})")
    if known == 0 or n % known or (not open_ and n != known):
        raise ValueError(f"A dimension of length {n} does not consist of {found or dim} (pattern {pattern!r})")
    return {**found, **dict.fromkeys(open_, n // known)}
