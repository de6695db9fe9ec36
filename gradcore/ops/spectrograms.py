"""Fourier transforms of the windows of a signal, and back: stft and istft. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.complex_numbers import view_as_real
from gradcore.ops.padding import pad
from gradcore.ops.registry import op
from gradcore.primitives import elementwise as e
from gradcore.primitives import fourier as p
from gradcore.primitives import padding as border
from gradcore.primitives import shape as s
from gradcore.primitives.complex_parts import real
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.selection import fill
from gradcore.recorder import renamed
from gradcore.recorder.record import cast
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


_transposed, _unbatched = renamed(s.transpose, "TransposeBackward1"), renamed(s.reshape, "SqueezeBackward4")


def _window(window: Any, x: Any, name: str, n_fft: int, hop: int | None, win: int | None) -> tuple[Any, int, int]:
    """The window in the middle of `n_fft` elements, the hop and the window's length, checked."""
    hop = n_fft // 4 if hop is None else hop
    win = n_fft if win is None else win
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={win} and n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{name}: expected hop_length > 0, but got hop_length={hop}")
    if window is None:
        real_dtype = dtypes.of(x._array.dtype).to_real().numpy
        first = e.zero(basic_getitem(s.reshape(x, shape=(-1,)), index=(slice(0, 1),)))
        first = real(first) if x._array.dtype.kind == "c" else first
        window = fill(s.expand(cast(first, real_dtype), shape=(win,)), 1)
    need_tensor(window, name, "window")
    if window._array.shape != (win,):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win}, but got window with size "
            f"{list(window._array.shape)}"
        )
    left = (n_fft - win) // 2
    if win < n_fft:
        window = border.pad(window, index=(slice(left, left + win),), shape=(n_fft,), value=0)
    return window, hop, win


@op()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Return the Fourier transforms of windows every `hop_length` of (batch, time): (batch, frequency, window).

    With `center` the signal is first padded by half a window on both sides. Raises RuntimeError for lengths that do not fit,
    and for a real signal without `return_complex`; with `return_complex=False` parts are along a last dimension.
    """
    need_tensor(input, "stft")
    x = input
    if x._array.dtype.kind not in "fcV":
        raise RuntimeError(f"stft: expected a tensor of floating point or complex values (got {input.dtype})")
    if x._array.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor (got shape {list(x._array.shape)})")
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    is_complex = x._array.dtype.kind == "c" or (isinstance(window, Value) and window._array.dtype.kind == "c")
    if return_complex is None and not is_complex:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further require that "
            "return_complex=True in a future PyTorch release."
        )
    x = s.unsqueeze(x, shape=(1, *x._array.shape)) if x._array.ndim == 1 else x
    if center:
        rows, half = x._array.shape[0], n_fft // 2
        x = pad(s.reshape(x, shape=(1, *x._array.shape)), (half, half), pad_mode)
        x = s.reshape(x, shape=(rows, x._array.shape[-1]))
    if not 0 < n_fft <= x._array.shape[1]:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {x._array.shape[1]}, but got n_fft={n_fft}")
    window, hop, _ = _window(window, x, "stft", n_fft, hop_length, win_length)
    onesided = not is_complex if onesided is None else onesided
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = e.multiply(s.unfold(x, axis=1, size=n_fft, step=hop), window)
    norm = "ortho" if normalized else "backward"
    made = p.rfft(frames, axes=(2,), norm=norm) if onesided else p.fft(frames, axes=(2,), inverse=False, norm=norm)
    made = _transposed(made, axes=(0, 2, 1))
    if input._array.ndim == 1:
        made = _unbatched(made, shape=made._array.shape[1:])
    return made if return_complex or return_complex is None else view_as_real(made)  # type: ignore[no-any-return]


@op()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """Return the signal of which (batch, frequency, window) is the `stft`, by adding up its overlapping windows.

    Raises RuntimeError for lengths that do not fit, and for windows that leave a part of the signal out.
    """
    need_tensor(input, "istft")
    x = input
    if x._array.dtype.kind != "c":
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if x._array.size == 0:
        raise RuntimeError("istft: input tensor cannot be empty.")
    if x._array.ndim not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, but got {x._array.ndim}")
    is_complex = isinstance(window, Value) and window._array.dtype.kind == "c"
    rows, frames = x._array.shape[-2:]
    onesided = rows != n_fft if onesided is None else onesided
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if is_complex and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if rows != wanted:
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to be {wanted} when "
            f"onesided={onesided}, but got {rows}"
        )
    window, hop, win = _window(window, x, "istft", n_fft, hop_length, win_length)
    if hop > win:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, but got hop_length={hop}")
    x = x if x._array.ndim == 3 else s.unsqueeze(x, shape=(1, rows, frames))
    x, norm = s.swap(x, axes=(0, 2, 1)), "ortho" if normalized else "backward"
    if return_complex:
        parts = p.fft(x, axes=(2,), inverse=True, norm=norm)
    else:  # of a real signal, the other half of the frequencies says nothing new
        x = x if onesided else basic_getitem(x, index=(..., slice(0, n_fft // 2 + 1)))
        parts = p.irfft(x, axes=(2,), length=n_fft, norm=norm)
    total = n_fft + hop * (frames - 1)
    size = (parts._array.shape[0], total)
    signal = s.fold(e.multiply(parts, window), axis=1, size=n_fft, step=hop, shape=size)
    squares = s.expand(s.unsqueeze(e.multiply(window, window), shape=(1, 1, n_fft)), shape=(1, frames, n_fft))
    weights = s.fold(squares, axis=1, size=n_fft, step=hop, shape=(1, total))
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    kept = (slice(None), slice(start, min(end, total)))
    signal, weights = basic_getitem(signal, index=kept), basic_getitem(weights, index=kept)
    F = of(weights._array)
    least = float(F.min(F.absolute(weights._array))) if weights._array.size else 1.0
    if not least > 1e-11:
        raise RuntimeError(f"istft: window overlap add min: {least} is not above 1e-11; use center=True or more overlap")
    signal = e.divide(signal, weights)
    if end > total:
        shape = (size[0], end - start)
        signal = border.pad(signal, index=(slice(None), slice(0, total - start)), shape=shape, value=0)
    if input._array.ndim == 2:
        signal = s.squeeze_one(signal, shape=signal._array.shape[1:])
    return signal  # type: ignore[no-any-return]
