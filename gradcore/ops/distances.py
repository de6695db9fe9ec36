"""Distances between all pairs of vectors, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.norms import vector_norm
from gradcore.ops.products import matmul
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, label, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.embedding import embedding
from gradcore.primitives.products import matrix_transpose
from gradcore.primitives.selection import ceil, clip
from gradcore.recorder import wrap
from gradcore.recorder.errors import broadcast_mismatch

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


@op(method=False)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = _MODES[0]) -> Tensor:
    """Return the p-norms of the differences of all rows of (*, n, k) and (*, m, k), in (*, n, m); batches broadcast.

    As in torch, the 2-norms of more than 25 rows are computed by a matrix product, which takes less memory and is
    less exact, unless `compute_mode` says "donot_use_mm_for_euclid_dist".
    """
    for name, x in (("X1", x1), ("X2", x2)):
        need_tensor(x, "cdist", name.lower())
        dtype = dtypes.of(x._array.dtype)
        if not dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {dtype._title}")
        if x._array.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x._array.ndim}D")
    if compute_mode is not None and compute_mode not in (*_MODES, 0, 1, 2):
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    a, b = x1._array.shape, x2._array.shape
    if a[-1] != b[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a[-1]} X2: {b[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    mismatch = broadcast_mismatch(a[:-2], b[:-2])
    if mismatch:
        raise RuntimeError(f"{mismatch} (cdist of shapes {list(a)} and {list(b)})")
    many = compute_mode in (_MODES[0], None, 0) and (a[-2] > 25 or b[-2] > 25)
    if p == 2 and a[-1] and (many or compute_mode in (_MODES[1], 1)):
        return _euclidean(x1, x2)
    left = s.reshape(x1, shape=(*a[:-1], 1, a[-1]))
    apart = e.subtract(left, s.reshape(x2, shape=(*b[:-2], 1, *b[-2:])))
    made = _norms(apart, p)
    label(made, "CdistBackward0", (x1, x2))
    return made


def _norms(apart: Tensor, p: float) -> Tensor:
    if not apart._array.shape[-1]:
        return sum(apart, -1)  # of nothing, even where the norm of nothing is undefined
    if p == 0:  # how many there are, but NaN where one is that
        return sum(clip(ceil(e.absolute(apart)), lo=None, hi=1), -1)
    return vector_norm(apart, p, -1)


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    """The root of |x|^2 - 2 x y + |y|^2."""
    squares = sum(e.multiply(x, x), -1, True), sum(e.multiply(y, y), -1, True)
    products = matmul(e.multiply(x, -2), matrix_transpose(y))
    total = e.add(e.add(products, squares[0]), matrix_transpose(squares[1]))
    made = e.sqrt(clip(total, lo=0, hi=None))
    label(made, "ViewBackward0")
    return made  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Return the p-norms of the differences of all pairs of the rows (n, k), first with first, in n (n - 1) / 2."""
    need_tensor(input, "pdist")
    shape, dtype = input._array.shape, dtypes.of(input._array.dtype)
    if len(shape) != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {len(shape)}D")
    if not dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    F, n = of(input._array), shape[0]
    # Row i of the upper triangle begins after i rows of n - 1, n - 2, ... pairs.
    number, begins = F.arange(n * (n - 1) // 2), F.arange(n) * n - F.arange(n) * (F.arange(n) + 1) // 2
    first = F.searchsorted(begins, number, "right") - 1 if n > 1 else number
    second = number - F.take(begins, first) + first + 1 if n > 1 else number
    apart = e.subtract(embedding(input, wrap(first)), embedding(input, wrap(second)))
    made = _norms(apart, p)
    label(made, "PdistBackward0", (input,))
    return made


functions[""]["pdist"] = pdist
