"""Images made larger and smaller, as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from gradcore.ops.arguments import need_tensor
from gradcore.ops.registry import label, op
from gradcore.primitives.conversion import copy
from gradcore.primitives.resampling import Sampling, resample
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_AREAS = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}

# Each mode: the filter, the dimensions of the inputs it takes, torch's node.
_MODES = {
    "nearest": ("nearest", (3, 4, 5), "UpsampleNearest{}D"),
    "nearest-exact": ("nearest-exact", (3, 4, 5), "UpsampleNearestExact{}D"),
    "linear": ("linear", (3,), "UpsampleLinear{}D"),
    "bilinear": ("linear", (4,), "UpsampleBilinear{}D"),
    "trilinear": ("linear", (5,), "UpsampleTrilinear{}D"),
    "bicubic": ("cubic", (4,), "UpsampleBicubic{}D"),
    "lanczos": ("lanczos", (4,), "UpsampleLanczos{}D"),
}


@op(namespace="nn.functional", method=False)
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resample (N, C, *) to the sizes `size`, or to those of `input` times `scale_factor`, rounded down.

    `mode` is "nearest", "nearest-exact", "area", or of inputs of 3, 4, 5 dimensions "linear", "bilinear" or "bicubic" or
    "lanczos", "trilinear". With `align_corners` the centres of the corner cells stay where they are, else their outer
    corners; `antialias` averages over as much as a cell of the result covers. The distance of cells comes from
    `scale_factor`, or with `recompute_scale_factor` from the sizes.
    """
    need_tensor(input, "interpolate")
    plan = _kept_plan if _is_plain(size, _SIZES) and _is_plain(scale_factor, _FACTORS) else _plan
    shape = tuple(input._array.shape)
    out, todo, node = plan(shape, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    if todo is None:
        return _AREAS[len(shape)](input, out)
    dtype = input._array.dtype
    if dtype.kind in "bic" or (dtype.kind == "u" and not mode.startswith("nearest")):
        name = node.removesuffix("Backward0").removesuffix("Aa").lower()
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.of(dtype)._title}'")
    made: Any = input
    for axis, sampling in todo:
        made = resample(made, axis=axis, sampling=sampling)
    made = copy(made) if made is input else made
    label(made, node, (input,))
    return made  # type: ignore[no-any-return]


def _is_plain(given: Any, kinds: frozenset[type]) -> bool:
    """Whether `given` is None, a number or a tuple of numbers, which can be looked up."""
    return given is None or type(given) in kinds or (type(given) is tuple and kinds.issuperset(map(type, given)))


_SIZES: frozenset[type] = frozenset((int,))
_FACTORS: frozenset[type] = frozenset((int, float))
# What to make of the shape of the input and the arguments: the sizes, the axes with their samplings (the mode "area" has
# none), and the name of the node.
Plan = tuple[tuple[int, ...], tuple[tuple[int, Sampling], ...] | None, str]


def _plan(
    shape: tuple[int, ...], size: Any, scale_factor: Any, mode: str, align_corners: Any, recompute: Any, antialias: Any
) -> Plan:
    out, factors = _sizes(shape, size, scale_factor)
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if recompute and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and len(shape) == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if mode == "area" and len(shape) in _AREAS:
        return out, None, ""
    _check_mode(mode, len(shape), align_corners, antialias)
    filter_, _, node = _MODES[mode]
    if min(*out, *shape[2:]) < 1:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input {list(shape[2:])} and output {list(out)} "
            "(interpolate)"
        )
    if shape[1] == 0:
        raise RuntimeError(f"Non-empty {len(shape)}D data tensor expected but got a tensor with sizes {list(shape)}")
    todo = []
    for i, (m, o) in enumerate(zip(shape[2:], out, strict=True)):
        if align_corners:
            scale = (m - 1) / (o - 1) if o > 1 else 0.0
        else:
            scale = 1 / factors[i] if factors is not None and factors[i] > 0 and not recompute else m / o
        if m != o or (scale != 1 and not antialias):
            todo.append((o / m, i + 2, Sampling(filter_, m, o, scale, bool(align_corners), antialias)))
    shorter_first = tuple((axis, sampling) for _, axis, sampling in sorted(todo))
    return out, shorter_first, node.format(len(out)) + ("AaBackward0" if antialias else "Backward0")


_kept_plan = lru_cache(maxsize=512)(_plan)


def _sizes(shape: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[tuple[int, ...], Sequence[float] | None]:
    """The sizes of the result, and the factors if these were given."""
    n = len(shape) - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    name, given = ("output size", size) if size is not None else ("scale_factor", scale_factor)
    if not isinstance(given, (tuple, list)):
        given = [given] * n
    elif len(given) != n:
        raise ValueError(
            f"Input and {name} must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{list(shape[2:])} and {name} of {given}."
        )
    if size is None:
        return tuple(int(m * float(f)) for m, f in zip(shape[2:], given, strict=True)), [float(f) for f in given]
    try:
        return tuple(index(each) for each in given), None
    except TypeError:
        raise TypeError(
            "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size with "
            f"types {[type(each) for each in given]}"
        ) from None


def _check_mode(mode: str, ndim: int, align_corners: bool | None, antialias: bool) -> None:
    known = mode in _MODES or mode == "area"
    if known and mode != "area" and ndim in (3, 4, 5) and ndim not in _MODES[mode][1]:
        raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {_MODES[mode][1][0]}D input")
    if not known or ndim not in (3, 4, 5):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: nearest | linear | "
            f"bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")


# -- torch's older names -------------------------------------------------------------------------------------


def _warn(name: str) -> None:
    warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.")


@op(namespace="nn.functional", method=False)
def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """Return `interpolate` of the same arguments; deprecated."""
    _warn("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@op(namespace="nn.functional", method=False)
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return `interpolate` with the nearest cells; deprecated."""
    _warn("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


@op(namespace="nn.functional", method=False)
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return bilinear `interpolate` with aligned corners; deprecated."""
    _warn("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
