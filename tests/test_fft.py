"""Fourier transforms beside torch's and NumPy's: what they take, refuse and return. It must not know how."""

from __future__ import annotations

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.beside import names  # noqa: E402
from tests.twin import same  # noqa: E402

EXPRESSIONS = [
    *(f"torch.fft.{name}(x)" for name in "fft ifft rfft irfft hfft ihfft fft2 rfft2 irfft2 hfft2 fftn ihfftn".split()),
    *(f"torch.fft.{name}(w)" for name in "fft rfft irfft hfft fft2 rfftn irfft2 hfftn".split()),
    *(f"torch.fft.{name}(c)" for name in "fft ifft irfft hfft fftn ifft2 irfftn".split()),
    "torch.fft.fft(x, 5)", "torch.fft.fft(x, 2, 0)", "torch.fft.rfft(x, n=7, dim=0, norm='ortho')",
    "torch.fft.irfft(x, 4)", "torch.fft.hfft(x, 5, norm='forward')", "torch.fft.ihfft(x, norm='backward')",
    "torch.fft.fftn(x3, s=(2, 5))", "torch.fft.rfftn(x3, s=(2, -1))", "torch.fft.fftn(x3, dim=(0, 2))",
    "torch.fft.fftn(z)", "torch.fft.fftn(x, dim=())", "torch.fft.fftn(x, s=4, dim=0)", "torch.fft.ihfft2(x3)",
    "torch.fft.hfft2(x, s=(3, 5))", "torch.fft.fft(l)", "torch.fft.rfft(l)", "torch.fft.fft(l > 2)",
    "torch.fft.fft(x.half())", "torch.fft.fft(x.double())", "torch.fft.fft(x.bfloat16())",
    "torch.fft.fft(x, 0)", "torch.fft.fft(x, dim=5)", "torch.fft.fft(z)", "torch.fft.fft(x, norm='bad')",
    "torch.fft.fft2(y)", "torch.fft.fftn(x, s=(1, 2, 3))", "torch.fft.fftn(x, s=(2, 2), dim=(0,))",
    "torch.fft.fftn(x, dim=(0, 0))", "torch.fft.rfft(c)", "torch.fft.ihfft(c)", "torch.fft.rfft2(c)",
    "torch.fft.irfft(x[:, :1])", "torch.fft.rfftn(x, dim=())", "torch.fft.irfftn(x, dim=())", "torch.fft.fftn(x[:0])",
    "torch.fft.fft(x, out=torch.empty(0, dtype=torch.complex64))",
    "torch.fft.fftshift(x)", "torch.fft.ifftshift(x, 1)", "torch.fft.fftshift(x3, (0, -1))", "torch.fft.fftshift(w)",
    "torch.fft.fftfreq(5, 0.5)", "torch.fft.fftfreq(4)", "torch.fft.rfftfreq(5, d=0.1, dtype=torch.float64)",
]  # fmt: skip


@pytest.mark.parametrize("code", EXPRESSIONS)
def test_transforms_are_torchs(code: str) -> None:
    same(lambda T: eval(code, names(T)), torch, words=3, may_raise=True)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_gradients_are_torchs(name: str, norm: str) -> None:
    values = np.random.default_rng().normal(size=(2, 5))
    found = []
    for T in (gradcore, torch):
        x = T.tensor(values, requires_grad=True)
        out = getattr(T.fft, name)(x, 6, norm=norm)
        out = T.fft.fftn(out, norm=norm).abs().pow(3).sum()
        (g,) = T.autograd.grad(out, x, create_graph=True)
        (h,) = T.autograd.grad(g.pow(2).sum(), x)
        found.append((g.detach().numpy(), h.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_energy_is_that_of_the_spectrum() -> None:
    x = gradcore.randn(4, 8, dtype=gradcore.float64)
    spectrum = gradcore.fft.fftn(x, norm="ortho")
    assert abs(spectrum.abs().pow(2).sum().item() - x.pow(2).sum().item()) < 1e-9


def test_transforms_stay_on_the_device(strict_cuda) -> None:  # type: ignore[no-untyped-def]
    x = gradcore.tensor(strict_cuda.array(np.arange(12.0).reshape(3, 4)), requires_grad=True)
    before = strict_cuda.syncs
    gradcore.fft.irfft2(gradcore.fft.rfft2(x, s=(4, 6))).pow(2).sum().backward()
    assert strict_cuda.syncs == before
    assert x.grad.is_cuda
