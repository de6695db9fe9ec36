"""What a tensor prints as, to torch's letter, and the print options; must not know Tensors nor the graph."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from gradcore import backends, dtypes
from gradcore.devices import device as Device

# -- Options -------------------------------------------------------------------------------------------------


class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; None leaves an option as it is, but makes `sci_mode` automatic.

    `precision` counts decimals. Above `threshold` elements only `edgeitems` at each end of a dimension show.
    `profile` is "default", "short" or "full"; the other arguments override it.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, default in _PROFILES.get(profile or "", {}).items():
        setattr(_options, name, default)
    for name, value in given.items():
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """Return the print options as keyword arguments of `set_printoptions`."""
    return {name: getattr(_options, name) for name in _Options.__annotations__}


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Set print options inside a `with` block; takes what `set_printoptions` takes."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


# -- Entry points --------------------------------------------------------------------------------------------


def tensor_repr(
    array: Any,
    *,
    device: Device | None = None,
    grad_fn_name: str | None = None,
    requires_grad: bool = False,
    class_name: str = "tensor",
    tensor_contents: str | None = None,
    tangent: str | None = None,
) -> str:
    """Return the repr of a tensor that holds `array`, of any backend.

    Only the numbers shown are copied to the host. `device` is named unless it is a CPU. `class_name`
    opens the repr, `tensor_contents` replaces the numbers, `tangent` is the repr of a forward-mode tangent.
    """
    if hasattr(array, "shown"):  # an array of a transform, by that of what it holds

        def repr_of(inner: Any, tangent: str | None = None) -> str:
            return tensor_repr(
                inner, device=device, grad_fn_name=grad_fn_name, requires_grad=requires_grad, class_name=class_name,
                tensor_contents=tensor_contents, tangent=tangent,
            )  # fmt: skip

        return array.shown(repr_of)  # type: ignore[no-any-return]
    dtype, default = dtypes.of(array.dtype), dtypes.get_default_dtype()
    opening = f"{class_name}("
    if tensor_contents is None:
        tensor_contents = contents(array, len(opening)) if array.size else "[]"

    suffixes = []
    if device is not None and device.type != "cpu":
        suffixes.append(f"device='{device}'")
    if array.size:
        # The numbers tell these dtypes from all others, so that they go without saying.
        understood = {default, dtypes.int64, dtypes.bool, _complex_of(default)}
        show_size = not _options.edgeitems
    else:
        understood = {default}
        show_size = array.ndim != 1
    if show_size:
        suffixes.append(f"size={tuple(array.shape)}")
    if dtype not in understood:
        suffixes.append(f"dtype={dtype}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    return _with_suffixes(opening + tensor_contents, suffixes, len(opening)) + ")"


def tensor_format(tensor: object, array: Any, spec: str) -> str:
    """Return `format(tensor, spec)`: of the number when `array` is 0-d, else of the tensor's str, as for a Parameter and
    its like.

    Raises TypeError when what is no number is given a format.
    """
    if array.ndim == 0 and "__format__" in vars(type(tensor)):
        return format(backends.of(array).to_host(array).tolist(), spec)
    return object.__format__(tensor, spec)


def contents(array: Any, indent: int) -> str:
    """Return the numbers of a nonempty array, in brackets; its further lines start `indent` columns in."""
    summarize = array.size > _options.threshold
    shown, cut = _edges(array) if summarize else (array, (False,) * array.ndim)
    values = backends.of(array).to_host(shown).reshape(-1).tolist()
    cells, width = _cells(values)
    return _bracketed(iter(cells), tuple(shown.shape), cut, indent, width)


def _complex_of(default: dtypes.dtype) -> dtypes.dtype:
    return dtypes.complex128 if default is dtypes.float64 else dtypes.complex64


# -- Numbers -------------------------------------------------------------------------------------------------


def _cells(values: Sequence[Any]) -> tuple[list[str], int]:
    """Return the numbers as strings padded to one width, and the columns that torch reckons for each."""
    if values and isinstance(values[0], complex):
        real, real_width = _real_cells([value.real for value in values])
        imag, imag_width = _real_cells([value.imag for value in values])
        tails = [f"{cell.lstrip()}j" for cell in imag]
        joined = [
            head + (tail if tail[0] in "+-" else f"+{tail}") for head, tail in zip(real, tails, strict=True)
        ]
        return joined, real_width + imag_width + 1
    if values and isinstance(values[0], float):
        return _real_cells(values)
    cells = [str(value) for value in values]
    return _padded(cells, max(map(len, cells), default=1))


def _real_cells(values: Sequence[float]) -> tuple[list[str], int]:
    # Zeros, infinities and nans have no say in notation and width, even where they are the widest.
    finite = [math.isfinite(value) for value in values]
    decisive = [value != 0 and known for value, known in zip(values, finite, strict=True)]
    spec, point = _notation(list(itertools.compress(values, decisive)))
    cells = [format(value, spec) for value in values]
    if point:
        cells = [cell + "." if known else cell for cell, known in zip(cells, finite, strict=True)]
    return _padded(cells, max(map(len, itertools.compress(cells, decisive)), default=1))


def _notation(decisive: Sequence[float]) -> tuple[str, bool]:
    """Return the format of floats and whether a point must follow, which tells whole floats from ints."""
    if not decisive:
        return ".0f", True
    scientific = _options.sci_mode
    if scientific is None:
        low, high = min(map(abs, decisive)), max(map(abs, decisive))
        scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
    if scientific:
        return f".{_options.precision}e", False
    if all(value.is_integer() for value in decisive):
        return ".0f", True
    return f".{_options.precision}f", False


def _padded(cells: list[str], width: int) -> tuple[list[str], int]:
    return [cell.rjust(width) for cell in cells], width


# -- Layout --------------------------------------------------------------------------------------------------


def _edges(array: Any) -> tuple[Any, tuple[bool, ...]]:
    """Return the part of the array that a summary shows, and which axes it was cut out of."""
    F, ends, shape = backends.of(array), _options.edgeitems, array.shape
    cut = tuple(size > 2 * ends for size in shape)
    # The longest axis first, so that little is copied.
    for axis in sorted(range(array.ndim), key=shape.__getitem__, reverse=True):
        if cut[axis]:
            before = (slice(None),) * axis
            head, tail = slice(ends), slice(shape[axis] - ends, None)
            array = F.concatenate([array[(*before, head)], array[(*before, tail)]], axis)
    return array, cut


def _bracketed(
    cells: Iterator[str], shape: tuple[int, ...], cut: tuple[bool, ...], indent: int, width: int
) -> str:
    """Return the cells in nested brackets, with an ellipsis in the middle of an axis that was cut."""
    if not shape:
        return next(cells)
    size, *inner = shape
    margin = " " * (indent + 1)
    if inner:
        parts = [_bracketed(cells, tuple(inner), cut[1:], indent + 1, width) for _ in range(size)]
        ellipsis, separator = "...", "," + "\n" * len(inner) + margin
    else:
        parts = list(itertools.islice(cells, size))
        ellipsis, separator = " ..." if parts else "...", f",\n{margin}"
    if cut[0]:
        parts.insert(size // 2, ellipsis)
    if not inner:
        per_line = max(1, math.floor((_options.linewidth - indent) / (width + 2)))
        parts = [", ".join(parts[start : start + per_line]) for start in range(0, len(parts), per_line)]
    return f"[{separator.join(parts)}]"


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    # torch reckons one column more than the last line has; the places where lines break depend on it.
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += f",\n{' ' * indent}{suffix}"
            column = indent + len(suffix)
        else:
            text += f", {suffix}"
            column += len(suffix) + 2
    return text
