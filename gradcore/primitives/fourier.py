"""Discrete Fourier transforms, each with its transpose. It must not know torch's spelling or Tensors.

The adjoint of a transform is the inverse one with the same factor. Of real arrays, half the frequencies say all; where
`weighted`, those inside count twice, for themselves and for their mirror images, and the transforms of real arrays that
are weighted are each other's adjoints, as are those that are not.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]

# NumPy's norm of the inverse transform that has the same factor as the forward one with this norm.
SAME_FACTOR = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _fft_pull(F: Any, g: Array, x_dtype: Any, axes: Axes, inverse: bool, norm: str) -> Array:
    back = F.fft(g, axes=axes, inverse=not inverse, norm=SAME_FACTOR[norm])
    return back if x_dtype.kind == "c" else F.real(back)


@primitive("linear", dense=True, x=_fft_pull, holomorphic=False, node="FftC2C")
def fft(F: Any, x: Array, *, axes: Axes, inverse: bool, norm: str) -> Array:
    """The transform over `axes` of a complex array, or of a real one; `norm` as in NumPy."""
    return F.fourier("ifftn" if inverse else "fftn", x, None, axes, norm)


def _weigh(x: Array, n: int, axis: int, factor: float) -> Array:
    """Multiply, in place, the frequencies that stand for two of a real signal of length `n`."""
    x[(*(slice(None),) * axis, slice(1, (n + 1) // 2))] *= factor
    return x


@primitive(
    "linear",
    dense=True,
    x=lambda F, g, x_shape, axes, norm, weighted: F.irfft(
        g, axes=axes, length=x_shape[axes[-1]], norm=SAME_FACTOR[norm], weighted=weighted
    ),
    holomorphic=False,
    node="FftR2C",
)
def rfft(F: Any, x: Array, *, axes: Axes, norm: str, weighted: bool = False) -> Array:
    """The transform over `axes` of a real array, the last of them up to the middle frequency."""
    out = F.fourier("rfftn", x, None, axes, norm)
    return _weigh(out, x.shape[axes[-1]], axes[-1], 2) if weighted else out


@primitive(
    "linear",
    dense=True,
    x=lambda F, g, axes, norm, weighted: F.rfft(g, axes=axes, norm=SAME_FACTOR[norm], weighted=weighted),
    holomorphic=False,
    node="FftC2R",
)
def irfft(F: Any, x: Array, *, axes: Axes, length: int, norm: str, weighted: bool = True) -> Array:
    """The real inverse transform over `axes` of half the frequencies, the last axis of the result `length` long."""
    if not weighted:
        x = _weigh(F.copy(x), length, axes[-1], 0.5)
    return F.fourier("irfftn", x, (*(x.shape[axis] for axis in axes[:-1]), length), axes, norm)
