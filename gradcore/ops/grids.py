"""Images read at the places of a grid, as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import nan, prod
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.registry import functions, label, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import grids, selection
from gradcore.primitives import shape as s
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.joining import concatenate
from gradcore.primitives.padding import pad
from gradcore.primitives.products import matmul, matrix_transpose
from gradcore.primitives.resampling import cubic, polynomial
from gradcore.recorder import wrap
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


@op(namespace="nn.functional", method=False)
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Read (N, C, H, W) at the places (N, *out, 2), or (N, C, D, H, W) at (N, *out, 3): x, y (and z) in [-1, 1].

    `mode` is "bilinear", "nearest" or, of images, "bicubic"; beyond the borders are `padding_mode` "zeros", the cells of
    the "border", or a "reflection". -1 and 1 are the centres of the outermost cells if `align_corners`, else their edges.
    """
    need_tensor(input, "grid_sampler")
    need_tensor(grid, "grid_sampler", "grid")
    for name, value, known in (("mode", mode, _MODES), ("padding_mode", padding_mode, _PADDINGS)):
        if value not in known:
            wanted = ", ".join(f"'{each}'" for each in known[:-1])
            raise ValueError(
                f"nn.functional.grid_sample(): expected {name} to be {wanted}, or '{known[-1]}', but got: '{value}'"
            )
    if align_corners is None:
        warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        )
    _check(input, grid, mode)
    shape, n = tuple(input._array.shape), input._array.ndim - 2
    size, out = shape[2:], tuple(grid._array.shape[1:-1])
    narrow = input.dtype if input._array.dtype.itemsize == 2 else None
    wide = dtypes.float32 if narrow else None
    # Zeros all around, which is what there is beyond: nothing there is multiplied by 0 instead, as infinities are not.
    around = tuple(m + 2 for m in size)
    inside = (slice(None), slice(None), *(slice(1, m + 1) for m in size))
    image = pad(converted(input, wide, "grid_sampler"), index=inside, shape=(*shape[:2], *around), value=0)
    flat = s.reshape(image, shape=(*shape[:2], prod(around)))
    rows = s.reshape(converted(grid, wide, "grid_sampler"), shape=(shape[0], prod(out), n))
    places = grids.in_cells(rows, size=size, aligned=bool(align_corners))
    if n == 3 and padding_mode == "zeros":  # torch leaves out what is no place; not so of images
        places = selection.where(wrap(of(places._array).isfinite(places._array)), places, -2.0)
    weights, cells = _around(places, size, mode, padding_mode, bool(align_corners))
    made = s.reshape(grids.gather_weighted(flat, weights, cells), shape=(*shape[:2], *out))
    made = converted(made, narrow, "grid_sampler")
    label(made, f"GridSampler{n}DBackward0", (input, grid))
    return made  # type: ignore[no-any-return]


@op(method=False)
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Return `nn.functional.grid_sample`, whose modes have numbers here."""
    return grid_sample(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


def _check(x: Any, grid: Any, mode: str) -> None:
    shape, places = tuple(x._array.shape), tuple(grid._array.shape)
    if x._array.dtype != grid._array.dtype:
        raise RuntimeError(
            "grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{x.dtype.name} and grid has {grid.dtype.name}"
        )
    if x._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"grid_sampler_cpu\" not implemented for '{dtypes.of(x._array.dtype)._title}'")
    if len(shape) not in (4, 5) or len(shape) != len(places):
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{list(shape)} and grid with sizes {list(places)}"
        )
    if shape[0] != places[0]:
        raise RuntimeError(
            f"grid_sampler(): expected grid and input to have same batch size, but got input with sizes {list(shape)} and "
            f"grid with sizes {list(places)}"
        )
    if places[-1] != len(shape) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(shape) - 2} in last dimension, but got grid with sizes "
            f"{list(places)}"
        )
    if 0 in shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
            f"{list(shape)} with dimension {2 + shape[2:].index(0)} being empty"
        )
    if mode == "bicubic" and len(shape) == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


# -- places --------------------------------------------------------------------------------------------------


def _limited(at: Any, m: int, padding: str, aligned: bool, lost: int) -> Any:
    """Places inside the image, if `padding` brings them there, what is none to one end (`lost` 0) or the other (1).

    The derivative is 0 where they were brought to an end.
    """
    if padding == "zeros":
        return at
    if padding == "reflection":
        at = _reflected(at, m, aligned)
    inside = (at._array > 0) & (at._array < m - 1)
    F = of(at._array)
    ends = wrap(F.where(F.isnan(at._array), lost * (m - 1.0), F.clip(at._array, 0, m - 1)))
    return selection.where(wrap(inside), at, ends)


def _reflected(at: Any, m: int, aligned: bool) -> Any:
    low, span = (0.0, m - 1.0) if aligned else (-0.5, float(m))
    if span == 0:
        return selection.fill(at, 0.0)
    F = of(at._array)
    finite = F.isfinite(at._array)
    array = F.where(finite, at._array, 0.0)
    times = F.floor(F.absolute(array - low) / span)
    odd, sign = times % 2 != 0, F.where(array < low, -1.0, 1.0)
    # |at - low| less so many spans, or what is left of the span, and `low` again: a line in `at` of slope 1 or -1.
    slope = F.where(odd, -sign, sign)
    offset = F.where(odd, (times + 1) * span, -times * span) + low - slope * low
    return at * wrap(F.astype(slope, array.dtype)) + wrap(F.astype(F.where(finite, offset, nan), array.dtype))


# -- which cells, and by what weight -------------------------------------------------------------------------


def _around(places: Any, size: tuple[int, ...], mode: str, padding: str, aligned: bool) -> tuple[Any, Any]:
    """The weights and the flat numbers of the cells that make up each place (N, n, places), both (N, cells, places)."""
    if mode == "bilinear" and padding == "zeros":
        return grids.corners(places, size=size)  # type: ignore[no-any-return]
    lost = len(size) - 2  # as in torch
    columns = [basic_getitem(places, index=(slice(None), slice(i, i + 1))) for i in range(len(size))]
    if mode == "bilinear":
        limited = [_limited(at, m, padding, aligned, lost) for at, m in zip(columns, size, strict=True)]
        return grids.corners(concatenate(*limited, axis=1), size=size)  # type: ignore[no-any-return]
    sides = []
    for at, m in zip(columns, size, strict=True):
        sides.append((_cubic if mode == "bicubic" else _nearest)(at, m, padding, aligned, lost))
    weights, cells = [], []
    for chosen in product(*sides):
        number: Any = 0
        weight: Any = None
        for (share, cell), m in zip(chosen, size, strict=True):
            number = number * (m + 2) + cell
            weight = share if weight is None else weight * share
        weights.append(weight)
        cells.append(number)
    F = of(cells[0])
    return concatenate(*weights, axis=1), wrap(F.concatenate(cells, 1))


def _cell(F: Any, whole: Any, m: int) -> Any:
    return grids.numbers(F, F.clip(F.where(F.isnan(whole), -1.0, whole), -1, m), m)


def _nearest(at: Any, m: int, padding: str, aligned: bool, lost: int) -> list[Any]:
    at = _limited(at, m, padding, aligned, lost)
    F = of(at._array)
    return [(selection.fill(at, 1.0), _cell(F, F.rint(at._array), m))]


def _cubic(at: Any, m: int, padding: str, aligned: bool, lost: int) -> list[Any]:
    F = of(at._array)
    first = F.floor(at._array)
    found = []
    beyond = e.subtract(at, wrap(first))
    for k, powers in zip((-1, 0, 1, 2), cubic(), strict=True):
        place = _limited(wrap(first + k), m, padding, aligned, lost)._array
        found.append((polynomial(beyond, coefficients=powers), _cell(F, F.trunc(place), m)))
    return found


# -- grids ---------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the places for `grid_sample` that the affine maps theta, (N, 2, 3) or (N, 3, 4), send those of a result of
    `size` (N, C, H, W) or (N, C, D, H, W) to."""
    need_tensor(theta, "affine_grid", "theta")
    if theta._array.dtype.kind not in "fV":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if align_corners is None:
        warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        )
    wanted = tuple(int(n) for n in size)
    n, shape = len(wanted) - 2, tuple(theta._array.shape)
    if n not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {list(wanted)}."
        )
    if shape[-2:] != (n, n + 1) or len(shape) != 3:
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {list(wanted)}. Got {list(shape)}."
        )
    if min(wanted) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(wanted)}")
    if shape[0] != wanted[0]:
        raise RuntimeError(f"Expected theta to have the batch size of size {list(wanted)}, but got {list(shape)}")
    F, dtype, out = of(theta._array), theta._array.dtype, wanted[2:]
    base = F.ones((*out, n + 1), dtype)
    for i, m in enumerate(out):
        step = F.astype(F.arange(m), dtype)
        ends = step * (2 / (m - 1)) - 1 if align_corners and m > 1 else (step * 2 + 1) / m - 1
        base[..., n - 1 - i] = ends.reshape((-1, *(1,) * (n - 1 - i)))
    rows = F.broadcast_view(base.reshape((1, prod(out), n + 1)), (shape[0], prod(out), n + 1))
    made = matmul(wrap(F.ascontiguousarray(rows)), matrix_transpose(theta))
    made = s.reshape(made, shape=(shape[0], *out, n))
    label(made, "AffineGridGeneratorBackward0", (theta,))
    return made  # type: ignore[no-any-return]


functions[""]["affine_grid_generator"] = affine_grid
