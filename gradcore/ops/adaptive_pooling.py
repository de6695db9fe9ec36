"""Pools of a given output size, by random windows, and back from maxima, as torch.nn.functional spells them. It must
not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.pooling import lowered, raised
from gradcore.ops.registry import functions, label, op
from gradcore.ops.sampling import rand
from gradcore.primitives import pooling as p
from gradcore.primitives import shape as s
from gradcore.primitives.conversion import copy
from gradcore.primitives.indexing import basic_getitem, index_put
from gradcore.primitives.reductions import mean
from gradcore.primitives.resampling import Sampling, resample
from gradcore.primitives.sorting import pick
from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder import renamed, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Pair = tuple["Tensor", "Tensor"]

_mean = renamed(mean, "MeanBackward1")


def _checked(name: str, x: Any, n: int, output_size: Any) -> Sizes:
    """The sizes of the result; None is the input's own. Raises torch's RuntimeError for what cannot be pooled."""
    need_tensor(x, name)
    shape = tuple(x._array.shape)
    if n > 1 and isinstance(output_size, (tuple, list)) and len(shape) <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(shape)}")
    if 0 in shape[len(shape) - n - ("max" in name) :]:
        raise RuntimeError(
            f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {list(shape)}"
        )
    given = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * n
    if len(given) != n:
        raise RuntimeError(f"{name}: output_size must be {n}")
    out = tuple(have if o is None else index(o) for o, have in zip(given, shape[-n:], strict=True))
    if min(out) < 0:
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0, but received {list(out)}")
    if x._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.of(x._array.dtype)._title}'")
    return out


# -- averages ------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, L) or (C, L) over `output_size` windows that differ in length by one at most."""
    out = _checked("adaptive_avg_pool1d", input, 1, output_size)
    return lowered(_averages(raised(input), (1, *out)))  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, H, W) or (C, H, W) over `output_size` windows; None keeps a dimension."""
    return _averages(input, _checked("adaptive_avg_pool2d", input, 2, output_size))


@op(namespace="nn.functional", method=False)
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Average (N, C, D, H, W) or (C, D, H, W) over `output_size` windows; None keeps a dimension."""
    return _averages(input, _checked("adaptive_avg_pool3d", input, 3, output_size))


def _averages(x: Any, out: Sizes) -> Tensor:
    n, shape = len(out), tuple(x._array.shape)
    size = shape[-n:]
    first = len(shape) - n
    if set(out) == {1}:
        return _mean(x, axis=tuple(range(first, len(shape))), count=prod(size), keepdims=True)  # type: ignore[no-any-return]
    made = x
    if 0 in out:
        made = basic_getitem(x, index=(..., *(slice(0, min(o, m)) for o, m in zip(out, size, strict=True))))
        made = s.reshape(made, shape=(*shape[:first], *out))
    elif all(m % o == 0 for o, m in zip(out, size, strict=True)):
        step = tuple(m // o for o, m in zip(out, size, strict=True))
        made = p.avg_pool(x, window=Window(step, step, (1,) * n, ((0, 0),) * n), counted=True, divisor=None)
    else:
        for axis, m, o in sorted(zip(range(first, len(shape)), size, out, strict=True), key=lambda each: each[2] / each[1]):
            if m != o:
                made = resample(made, axis=axis, sampling=Sampling("area", m, o, m / o))
    label(made, f"AdaptiveAvgPool{n}DBackward0", (x,))
    return made  # type: ignore[no-any-return]


# -- maxima --------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of (N, C, L) or (C, L) over `output_size` windows, with `return_indices` where in L they
    stand."""
    found = adaptive_max_pool1d_with_indices(input, output_size)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Pair:
    """Return the maxima of (N, C, L) or (C, L) over `output_size` windows, and where in L they stand."""
    out = _checked("adaptive_max_pool1d", input, 1, output_size)
    values, indices = _maxima(raised(input), (1, *out))
    return lowered(values), lowered(indices)


@op(namespace="nn.functional", method=False)
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of (N, C, H, W) or (C, H, W) over `output_size` windows, with `return_indices` where in H * W
    they stand."""
    found = adaptive_max_pool2d_with_indices(input, output_size)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Pair:
    """Return the maxima of (N, C, H, W) or (C, H, W) over `output_size` windows, and where in H * W they stand."""
    return _maxima(input, _checked("adaptive_max_pool2d", input, 2, output_size))


@op(namespace="nn.functional", method=False)
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the maxima of (N, C, D, H, W) or (C, D, H, W) over `output_size` windows, with `return_indices` where in
    D * H * W they stand."""
    found = adaptive_max_pool3d_with_indices(input, output_size)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Pair:
    """Return the maxima of (N, C, D, H, W) or (C, D, H, W) over `output_size` windows, and where in D * H * W they
    stand."""
    return _maxima(input, _checked("adaptive_max_pool3d", input, 3, output_size))


def _maxima(x: Any, out: Sizes) -> Pair:
    F, size = of(x._array), x._array.shape[-len(out) :]
    cells = []
    for m, o in zip(size, out, strict=True):
        step, most = F.arange(o), min(m, m // o + (2 if m % o else 0)) if o else 1
        start, end = step * m // max(o, 1), -(-(step + 1) * m // max(o, 1))
        cells.append(F.minimum(start + F.arange(most).reshape(-1, 1), end - 1)[:, None])
    return _picked(x, cells, out, f"AdaptiveMaxPool{len(out)}DBackward0")


def _picked(x: Any, cells: Sequence[Any], out: Sizes, node: str) -> Pair:
    """The maxima over windows, and their places, in rows of the cells of all pooled axes.

    `cells` has (taps, rows or 1, windows) cells along each of them.
    """
    n, shape = len(out), tuple(x._array.shape)
    lead, size = shape[: len(shape) - n], shape[len(shape) - n :]
    places: Any = None
    for axis, each in enumerate(cells):
        row = each * prod(size[axis + 1 :])
        if places is None:
            places = row
        else:
            taps, rows = places.shape[0] * row.shape[0], max(places.shape[1], row.shape[1])
            wide = places.shape[2] * row.shape[2]
            places = (places[:, None, :, :, None] + row[None, :, :, None, :]).reshape((taps, rows, wide))
    flat = s.reshape(x, shape=(prod(lead), prod(size)))
    indices = p.argmax_at(flat, wrap(places))
    values = s.reshape(pick(flat, indices, axis=1, keepdims=True, distinct=False), shape=(*lead, *out))
    label(values, node, (x,))
    return values, s.reshape(indices, shape=(*lead, *out))


# -- maxima over random windows ------------------------------------------------------------------------------


def _fractional(n: int, x: Any, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any) -> Pair:
    """Graham, "Fractional Max-Pooling" (2014): `samples` (N, C, n) set where the windows begin."""
    name = f"fractional_max_pool{n}d"
    need_tensor(x, name)
    shape = tuple(x._array.shape)
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratios = list(output_ratio) if isinstance(output_ratio, (tuple, list)) else [output_ratio] * n
        output_size = [int(m * ratio) for m, ratio in zip(shape[-n:], ratios, strict=True)]
    kernel, out = _each(name, "kernel_size", kernel_size, n), _each(name, "output_size", output_size, n)
    if len(shape) not in (n + 1, n + 2) or 0 in shape[1:]:
        raise RuntimeError(f"{name}_out: Expected {n + 1}D or {n + 2}D tensor, but got shape {list(shape)}")
    size = shape[-n:]
    for m, k, o in zip(size, kernel, out, strict=True):
        if o + k - 1 > m - (n == 3):
            raise RuntimeError(f"{name}(): pool {k} too large relative to input {m}")
    batch, planes = 1 if len(shape) == n + 1 else shape[0], shape[-n - 1]
    if samples is None:
        samples = rand(batch, planes, n, dtype=x.dtype, device=x.device)
    given = samples._array.shape
    if len(given) != 3 or given[0] < batch or given[1:] != (planes, n):
        raise RuntimeError(
            f"{name}: expected _random_samples of shape [{batch}, {planes}, {n}], with its size(0) no less than the input's "
            f"batch size and its size(1) equal to the input's channel size, but got {list(given)}"
        )
    if samples._array.dtype != x._array.dtype:
        raise RuntimeError(f"Expect _random_samples to have the same dtype as input ({name}: {samples.dtype}, {x.dtype})")
    F = of(x._array)
    drawn = samples._array[:batch].reshape((-1, n))
    order = range(n) if n == 3 else (1, 0)  # torch's samples of a plane are those of W, then of H
    cells = []
    for axis, m, k, o in zip(order, size, kernel, out, strict=True):
        start = F.full((1, 1), m - k, "int64")
        if o > 1:
            sample, alpha = drawn[:, axis : axis + 1], drawn.dtype.type((m - k) / (o - 1))
            steps = F.astype(F.arange(o - 1), drawn.dtype)
            starts = F.astype((steps + sample) * alpha, "int64") - F.astype(sample * alpha, "int64")
            last = F.broadcast_to(start, (starts.shape[0], 1))
            start = F.concatenate([starts, last], 1)
        cells.append(start[None, :, :o] + F.arange(k).reshape(-1, 1, 1))
    return _picked(x, cells, out, f"FractionalMaxPool{n}DBackward0")


def _each(name: str, argument: str, value: Any, n: int) -> Sizes:
    given = [index(v) for v in value] if isinstance(value, (tuple, list)) else [index(value)] * n
    if len(given) != n:
        raise RuntimeError(f"{name}: {argument} must either be a single Int or tuple of {n} Ints")
    return tuple(given)


@op(namespace="nn.functional", method=False)
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Return the maxima of (N, C, H, W) or (C, H, W) over windows that begin at random, `output_size` of them."""
    found = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Tensor | None = None,
) -> Pair:
    """Return `fractional_max_pool2d`, and where in H * W the maxima stand."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)


@op(namespace="nn.functional", method=False)
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Return the maxima of (N, C, D, H, W) or (C, D, H, W) over windows that begin at random, `output_size` of them."""
    found = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = True,
    _random_samples: Tensor | None = None,
) -> Pair:
    """Return `fractional_max_pool3d`, and where in D * H * W the maxima stand."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)


# -- back from maxima ----------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put each value of (N, C, L) or (C, L) where `max_pool1d` says it was, among zeros."""
    return _unpooled(1, input, indices, kernel_size, stride, padding, output_size)


@op(namespace="nn.functional", method=False)
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put each value of (N, C, H, W) or (C, H, W) where `max_pool2d` says it was, among zeros."""
    return _unpooled(2, input, indices, kernel_size, stride, padding, output_size)


@op(namespace="nn.functional", method=False)
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Put each value of (N, C, D, H, W) or (C, D, H, W) where `max_pool3d` says it was, among zeros."""
    return _unpooled(3, input, indices, kernel_size, stride, padding, output_size)


def _unpooled(n: int, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    name = f"max_unpool{n}d"
    need_tensor(x, name)
    need_tensor(indices, name, "indices")
    kernel, margin = _each(name, "kernel_size", kernel_size, n), _each(name, "padding", padding, n)
    steps = kernel if stride is None else _each(name, "stride", stride, n)
    shape = tuple(x._array.shape)
    out = _unpooled_size(shape[-n:], kernel, steps, margin, output_size)
    if indices._array.dtype.name != "int64":
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype.name[0:5].title()} ({name})")
    if len(shape) not in (n + 1, n + 2) or 0 in shape[len(shape) - n :]:
        raise RuntimeError(f"Input to {name} should be a {n + 1}d or {n + 2}d Tensor, but got one of shape {list(shape)}")
    if tuple(indices._array.shape) != shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(shape)}) but got indices tensor with "
            f"shape: {list(indices._array.shape)}"
        )
    lead, cells = shape[: len(shape) - n], prod(out)
    F, rows = of(x._array), prod(lead)
    at = indices._array.reshape((rows, prod(shape[-n:])))
    if F.device_type == "cpu" and at.size:
        for found in (int(at.min()), int(at.max())):
            if not 0 <= found < cells:
                volume = "x".join(map(str, out))
                raise RuntimeError(f"Found an invalid max index: {found} (output volumes are of size {volume})")
    zeros = wrap(F.zeros((rows, cells), x._array.dtype))
    made = index_put(zeros, s.reshape(x, shape=at.shape), index=(F.arange(rows).reshape(-1, 1), at))
    made = s.reshape(made, shape=(*lead, *out)) if x._array.size else copy(s.reshape(made, shape=(*lead, *out)))
    label(made, f"MaxUnpool{n}DBackward0" if n > 1 else "SqueezeBackward1", (x,))
    return made  # type: ignore[no-any-return]


def _unpooled_size(size: Sizes, kernel: Sizes, stride: Sizes, margin: Sizes, wanted: Any) -> Sizes:
    natural = tuple((m - 1) * s_ + k - 2 * p_ for m, s_, k, p_ in zip(size, stride, kernel, margin, strict=True))
    if wanted is None:
        return natural
    given = tuple(index(each) for each in wanted)
    n = len(kernel)
    if len(given) == n + 2:
        given = given[2:]
    if len(given) != n:
        raise ValueError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of '{len(given)}'"
        )
    for m, low, high in zip(given, map(int.__sub__, natural, stride), map(int.__add__, natural, stride), strict=True):
        if not low < m < high:
            raise ValueError(f'invalid output_size "{list(given)}" (dim 0 must be between {low} and {high})')
    return given


functions[""].update(adaptive_avg_pool1d=adaptive_avg_pool1d, adaptive_max_pool1d=adaptive_max_pool1d_with_indices)
