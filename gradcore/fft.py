"""torch.fft: discrete Fourier transforms. It must not know what they compute; the operations register themselves."""

from typing import TYPE_CHECKING

from gradcore import ops
from gradcore.ops.registry import functions

if TYPE_CHECKING:
    # What the registry has; written by `python -m tests.public_names`.
    # operations: begin
    from gradcore.ops.fft import (  # fmt: skip
        fft as fft, fft2 as fft2, fftfreq as fftfreq, fftn as fftn, fftshift as fftshift, hfft as hfft, hfft2 as hfft2,
        hfftn as hfftn, ifft as ifft, ifft2 as ifft2, ifftn as ifftn, ifftshift as ifftshift, ihfft as ihfft, ihfft2 as
        ihfft2, ihfftn as ihfftn, irfft as irfft, irfft2 as irfft2, irfftn as irfftn, rfft as rfft, rfft2 as rfft2,
        rfftfreq as rfftfreq, rfftn as rfftn,
    )
    # operations: end

ops.load()
globals().update(functions["fft"])
