"""torch.fft: discrete Fourier transforms. It must not know any derivative.

The transforms of real tensors hold half of the frequencies, since the others are their conjugates; those that begin with
"h" take a signal whose spectrum is real, and are the real ones seen from the other side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.filling import arange
from gradcore.ops.numbers import in_dtype
from gradcore.ops.ordering import roll
from gradcore.ops.registry import op
from gradcore.primitives import fourier as p
from gradcore.primitives.complex_parts import conj
from gradcore.primitives.conversion import copy
from gradcore.primitives.fourier import SAME_FACTOR
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.padding import pad
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Sizes = tuple[int, ...]

_of_real = {False: renamed(p.fft, "FftR2C"), True: renamed(p.fft, "Conj")}  # by whether it is the inverse
_untransformed = renamed(copy, "FftC2C")
_conj = renamed(conj, "Conj")
_conj_physical = renamed(conj, "ConjPhysical")


# -- arguments -------------------------------------------------------------------------------------------------------


def _prepared(x: Any, name: str, real: str = "") -> Any:
    """`x`, integers as the default dtype. Raises RuntimeError for 16-bit numbers and, with `real`, for complex ones."""
    need_tensor(x, name)
    dtype = dtypes.of(x._array.dtype)
    if real and dtype.is_complex:
        raise RuntimeError(f"{name} expects a {real} input tensor, but got {dtype._title}")
    if dtype.is_floating_point or dtype.is_complex:
        if dtype.itemsize == 2:
            raise RuntimeError(f"Unsupported dtype {dtype._title} ({name})")
        return x
    return in_dtype(x, dtypes.get_default_dtype().numpy)


def _complex(x: Any) -> Any:
    return in_dtype(x, dtypes.of(x._array.dtype).to_complex().numpy)


def _norm(norm: str | None) -> str:
    if norm not in (None, *SAME_FACTOR):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm or "backward"


def _plan(x: Any, s: Any, dim: Any, name: str) -> tuple[Sizes, Sizes]:
    """The axes to transform, and for each how many elements to take, -1 for all."""
    ndim = x._array.ndim
    given = None if s is None else _integers(s)
    if dim is None:
        if given is None:
            return tuple(range(ndim)), (-1,) * ndim
        if len(given) > ndim:
            raise RuntimeError(f"Got shape with {len(given)} values but input tensor only has {ndim} dimensions.")
        return tuple(range(ndim - len(given), ndim)), given
    dims = _integers(dim)
    if given is not None and len(given) != len(dims):
        raise RuntimeError(f"When given, dim and shape arguments must have the same length ({name}: {dims} and {given})")
    axes = tuple(_axis(each, ndim) for each in dims)
    if len(set(axes)) < len(axes):
        raise RuntimeError("FFT dims must be unique")
    return axes, (-1,) * len(axes) if given is None else given


def _integers(given: Any) -> Sizes:
    return tuple(map(index, given)) if isinstance(given, Iterable) else (index(given),)


def _axis(dim: int, ndim: int) -> int:
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return axis(dim, ndim)


def _check_length(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _resized(x: Any, axes: Sizes, sizes: Iterable[int]) -> Any:
    """`x` cut off or filled up with zeros at the ends of `axes`. Raises RuntimeError for less than one element."""
    old = x._array.shape
    new = list(old)
    for at, n in zip(axes, sizes, strict=True):
        new[at] = _check_length(old[at] if n == -1 else n)
    kept = tuple(slice(0, min(m, n)) for m, n in zip(old, new, strict=True))
    if any(n < m for m, n in zip(old, new, strict=True)):
        x = basic_getitem(x, index=kept)
    return pad(x, index=kept, shape=tuple(new), value=0) if x._array.shape != tuple(new) else x


# -- the transforms over any number of dimensions --------------------------------------------------------------------
# `inverse` and `norm` together say which factor there is and which sign in the exponent.


def _fft(x: Any, s: Any, dim: Any, norm: str | None, name: str, *, inverse: bool) -> Any:
    x, norm = _prepared(x, name), _norm(norm)
    axes, sizes = _plan(x, s, dim, name)
    x = _resized(x, axes, sizes)
    one = name in ("fft", "ifft") and x._array.dtype.kind == "f"
    if not axes:
        return _untransformed(_complex(x))
    return (_of_real[inverse] if one else p.fft)(x if one else _complex(x), axes=axes, inverse=inverse, norm=norm)


def _rfft(x: Any, s: Any, dim: Any, norm: str | None, name: str) -> Any:
    x, norm = _prepared(x, name.replace("2", "n"), "real" if name == "rfft" else "real-valued"), _norm(norm)
    axes, sizes = _plan(x, s, dim, name)
    _need_axes(axes, name)
    return p.rfft(_resized(x, axes, sizes), axes=axes, norm=norm)


def _irfft(x: Any, s: Any, dim: Any, norm: str | None, name: str) -> Any:
    x, norm = _prepared(x, name), _norm(norm)
    axes, sizes = _plan(x, s, dim, name)
    _need_axes(axes, name)
    x, length = _half(x, axes, sizes)
    return p.irfft(_complex(x), axes=axes, length=length, norm=norm)


def _hfft(x: Any, s: Any, dim: Any, norm: str | None, name: str) -> Any:
    x, norm = _prepared(x, name), _norm(norm)
    axes, sizes = _plan(x, s, dim, name)
    _need_axes(axes, name)
    x, length = _half(x, axes, sizes)
    x = _complex(x)
    if axes[:-1]:
        x = p.fft(x, axes=axes[:-1], inverse=False, norm=norm)
    return p.irfft(_conj(x), axes=axes[-1:], length=length, norm=SAME_FACTOR[norm])


def _ihfft(x: Any, s: Any, dim: Any, norm: str | None, name: str) -> Any:
    x, norm = _prepared(x, name, "real"), _norm(norm)
    axes, sizes = _plan(x, s, dim, name)
    _need_axes(axes, name)
    half = p.rfft(_resized(x, axes, sizes), axes=axes[-1:], norm=SAME_FACTOR[norm])
    if not axes[:-1]:
        return _conj(half)
    return p.fft(_conj_physical(half), axes=axes[:-1], inverse=True, norm=norm)


def _need_axes(axes: Sizes, name: str) -> None:
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")


def _half(x: Any, axes: Sizes, sizes: Sizes) -> tuple[Any, int]:
    """Half the frequencies of a real result, and the length of its last axis."""
    last = sizes[-1]
    length = _check_length(2 * (x._array.shape[axes[-1]] - 1) if last == -1 else last)
    return _resized(x, axes, (*sizes[:-1], length // 2 + 1)), length


# -- the public forms: over one dimension, two and any number --------------------------------------------------------


def _forms(transform: Callable[..., Any], name: str, what: str, length: str) -> list[Callable[..., Any]]:
    def one(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        return transform(input, n, dim, norm, name)

    def two(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
        return transform(input, s, dim, norm, f"{name}2")

    def any_number(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        return transform(input, s, dim, norm, f"{name}n")

    made = []
    for form, suffix, over in ((one, "", "dimension `dim`"), (two, "2", "two dimensions"), (any_number, "n", "`dim`")):
        form.__name__ = form.__qualname__ = name + suffix
        size = length.format("`n`" if form is one else "`s`")
        form.__doc__ = f"{what} over {over}, {size}; `norm` is backward, ortho or forward."
        made.append(op(namespace="fft", method=False, out=True)(form))
    return made


_TAKEN = "cut off or filled up with zeros to the length {}"
_GIVEN = "giving a result of the length {}"
fft, fft2, fftn = _forms(partial(_fft, inverse=False), "fft", "Return the Fourier transform", _TAKEN)
ifft, ifft2, ifftn = _forms(partial(_fft, inverse=True), "ifft", "Return the inverse transform", _TAKEN)
rfft, rfft2, rfftn = _forms(_rfft, "rfft", "Return half of the Fourier transform of real numbers", _TAKEN)
irfft, irfft2, irfftn = _forms(_irfft, "irfft", "Return the real inverse transform of half the frequencies", _GIVEN)
hfft, hfft2, hfftn = _forms(_hfft, "hfft", "Return the real Fourier transform of half of a hermitian signal", _GIVEN)
ihfft, ihfft2, ihfftn = _forms(_ihfft, "ihfft", "Return half of the hermitian inverse transform of real numbers", _TAKEN)


# -- frequencies -----------------------------------------------------------------------------------------------------


@op(namespace="fft", method=False)
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Move frequency 0 from the start of each dimension (or of those in `dim`) to its middle."""
    return _shifted(input, dim, lambda n: n // 2, "fftshift")  # type: ignore[no-any-return]


@op(namespace="fft", method=False)
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Undo `fftshift`."""
    return _shifted(input, dim, lambda n: (n + 1) // 2, "ifftshift")  # type: ignore[no-any-return]


def _shifted(x: Any, dim: Any, shift: Callable[[int], int], name: str) -> Any:
    need_tensor(x, name)
    dims = tuple(range(x._array.ndim)) if dim is None else _integers(dim)
    return roll(x, tuple(shift(x._array.shape[axis(d, x._array.ndim)]) for d in dims), dims)


@op(namespace="fft", method=False, out=True)
def fftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """Return the frequencies of a transform of `n` elements that are `d` apart, the negative ones last."""
    half = (n - 1) // 2 + 1
    return _frequencies(lambda made: roll(arange(-(n // 2), half, **made), half - n, 0), n * d, options)  # type: ignore[no-any-return]


@op(namespace="fft", method=False, out=True)
def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """Return the frequencies of `rfft` of `n` elements that are `d` apart."""
    return _frequencies(lambda made: arange(n // 2 + 1, **made), n * d, options)  # type: ignore[no-any-return]


def _frequencies(count: Callable[[dict[str, Any]], Any], length: float, options: dict[str, Any]) -> Any:
    """The numbers that `count` makes, as parts of `length`: with requires_grad a leaf."""
    made = {**options, "dtype": options.get("dtype") or dtypes.get_default_dtype()}
    leaf = made.pop("requires_grad", False)
    return (count(made) * (1.0 / length if length else math.inf)).requires_grad_(leaf)
