"""Simpson's rule over sample points, which SciPy has and torch has not. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.ops import arguments
from gradcore.ops.creation import as_tensor
from gradcore.ops.cumulative import cumsum
from gradcore.ops.differences import cumulative_trapezoid, diff
from gradcore.ops.indexing import narrow
from gradcore.ops.joining import cat, stack
from gradcore.ops.reductions import sum
from gradcore.ops.registry import op
from gradcore.ops.shaping import broadcast_to
from gradcore.primitives import elementwise as e
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.shape import reshape
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(method=False)
def cumulative_simpson(y: Any, *, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Tensor:
    """Integrate `y` along `axis` up to each point but the first: parabolas through each three points.

    The points are `x`, of the shape of `y` or one-dimensional, or `dx` apart. `initial` stands in front and is added to
    all. Of two points it is a trapezoid. Raises ValueError for none and for points of another number. Cartwright,
    "Simpson's rule cumulative integration with MS Excel and irregularly-spaced data" (2017).
    """
    pieces, at = _pieces("cumulative_simpson", y, x, dx, axis)
    out = cumsum(pieces, at)
    if initial is None:
        return out
    first = as_tensor(initial, dtype=out.dtype, device=out.device)
    out = e.add(out, first)
    return cat((broadcast_to(first, tuple(1 if i == at else n for i, n in enumerate(out.shape))), out), at)


@op(method=False)
def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """Integrate `y` along `axis`, as the last of what `cumulative_simpson` returns."""
    pieces, at = _pieces("simpson", y, x, dx, axis)
    return sum(pieces, at)


def _pieces(name: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Tensor, int]:
    """The integrals between neighbours along `axis`, and which axis that is.

    Each two of them are halves of one parabola; an odd last one is the second half of the parabola before.
    """
    points: Any = x if isinstance(x, Value) else None
    y = y if isinstance(y, Value) else as_tensor(y, device=None if points is None else points.device)
    shape = tuple(y._array.shape)
    at = arguments.axis(axis, len(shape))
    n = shape[at] if shape else 0
    if not n:
        raise ValueError(f"{name}: at least one point is required along axis {axis} (y has shape {list(shape)})")
    if x is not None:
        x = x if isinstance(x, Value) else as_tensor(x, device=y.device)
        if tuple(x._array.shape) not in (shape, (n,)):
            raise ValueError(
                f"{name}: shape of x must be that of y, {list(shape)}, or [{n}], but it is {list(x._array.shape)}"
            )
        if x._array.ndim != len(shape):
            x = reshape(x, shape=tuple(n if i == at else 1 for i in range(len(shape))))
    if n < 3:
        sums = cumulative_trapezoid(y, x, dim=at) if x is not None else cumulative_trapezoid(y, dx=dx, dim=at)
        return sums, at
    a, b, c = (narrow(y, at, i, n - 2) for i in range(3))
    if x is None:
        first, second = _half(a, b, c, dx, dx), _half(c, b, a, dx, dx)
    else:
        h = diff(x, dim=at)
        left, right = narrow(h, at, 0, n - 2), narrow(h, at, 1, n - 2)
        first, second = _half(a, b, c, left, right), _half(c, b, a, right, left)
    # first[0], second[0], first[2], second[2], ...: for an even number of pieces, two by two.
    pairs = (n - 1) // 2
    halves = [_every_other(each, at, pairs) for each in (first, second)]
    ordered = tuple(2 * pairs if i == at else m for i, m in enumerate(first._array.shape))
    whole = reshape(stack(halves, at + 1), shape=ordered)
    return (whole if n % 2 else cat((whole, narrow(second, at, n - 3, 1)), at)), at


def _every_other(x: Tensor, axis: int, count: int) -> Tensor:
    return basic_getitem(x, index=(*(slice(None),) * axis, slice(0, 2 * count, 2)))  # type: ignore[no-any-return]


def _half(a: Any, b: Any, c: Any, near: Any, far: Any) -> Any:
    """Integrate the parabola through three points from the first to the second, `near` it; the third is `far` from that."""
    share = near / (near + far)
    bend = share * (near / far)
    return (a * (3 - share) + b * (3 + bend + share) - c * bend) * (near / 6)
