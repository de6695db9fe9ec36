"""Spectrograms and windows beside torch's. It must not know how they are computed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.beside import names  # noqa: E402
from tests.twin import same  # noqa: E402

EXPRESSIONS = [
    *(f"torch.{w}_window({n})" for w in ("hann", "hamming", "blackman", "bartlett", "kaiser") for n in (0, 1, 2, 5)),
    *(f"torch.{w}_window(6, periodic=False, dtype=torch.float64)" for w in ("hann", "hamming", "blackman", "bartlett")),
    "torch.kaiser_window(7, False, 3.5)", "torch.hamming_window(4, True, 0.6, 0.3)", "torch.hann_window(-1)",
    "torch.hann_window(4, dtype=torch.int64)", "torch.blackman_window(3, requires_grad=True)",
    "torch.stft(x3.reshape(1, -1)[0], 8, return_complex=True)", "torch.stft(x3.reshape(2, 12), 4, 3, return_complex=False)",
    "torch.stft(x3.reshape(2, 12), 4, 3, 2, torch.tensor([1., 2]), center=False, normalized=True, return_complex=True)",
    "torch.stft(x3.reshape(2, 12) * 1j, 4, window=torch.ones(4))", "torch.stft(x3.reshape(2, 12), 4)",
    "torch.stft(x3.reshape(2, 12), 4, onesided=False, pad_mode='constant', return_complex=True)",
    "torch.istft(torch.stft(x3.reshape(2, 12), 4, return_complex=True), 4)", "torch.istft(c.T.expand(3, 4), 4, 1)",
    "torch.istft(torch.stft(x3.reshape(2, 12), 4, return_complex=True), 4, length=9)", "torch.istft(x, 2)",
    "torch.istft(torch.stft(x3.reshape(2, 12), 4, return_complex=True), 4, length=30)", "torch.istft(c, 4)",
    "torch.istft(c.T.expand(3, 4), 4, 5)", "torch.stft(x, 2, 0, return_complex=True)",
    "torch.stft(x, 9, return_complex=True)",
]  # fmt: skip


@pytest.mark.parametrize("code", EXPRESSIONS)
def test_spectrograms_are_torchs(code: str) -> None:
    same(lambda T: eval(code, names(T)), torch, words=0, may_raise=True)
