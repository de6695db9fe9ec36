"""Results of reductions, scans and normalizations are contiguous whatever their input's strides are, as torch's."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

LINES = """
x.softmax(-1)           x.softmax(1)            x.log_softmax(0)        x.sum(-1)               x.sum(0)
x.mean(1)               x.max(1)[0]             x.amax(1)               x.amin(0)               x.var(1)
x.std(-1)               x.norm(dim=1)           x.prod(1)               x.logsumexp(1)          x.argmax(1)
x.all(1)                x.any(0)                x.cumsum(1)             x.cumprod(1)            x.logcumsumexp(1)
x.cummax(1)[0]          x.roll(1, 0)            x.gather(1, i)          x.take_along_dim(i, 1)  x.median(1)[0]
x.nansum(1)             x.count_nonzero(1)      x.kthvalue(1, 1)[0]     x.topk(1, 1)[0]         x[[0, 1]]
F.layer_norm(x, x.shape[-1:])                   F.group_norm(x, 1)      F.avg_pool1d(x, 2)      F.max_pool1d(x, 2)
F.batch_norm(x, None, None, training=True)      F.normalize(x).sum(0)   F.softmin(x, 1)         T.cat([x, x], 1)
T.stack([x, x], 1)      F.pad(x, (1, 1))        x.repeat(1, 1, 2)       F.linear(x, x[0])       x.diff(dim=1)
F.cosine_similarity(x, x + 1, dim=1)            T.cdist(x, x)           x.matmul(x.transpose(-1, -2))
x.tril()                x.masked_fill(x > 0, 1)  x.rot90()              x.rot90(2, (1, 2))      x.flip(0)
T.fft.fft(x)            T.fft.ifft(x + 0j)      T.fft.rfft(x)           T.fft.irfft(x)          T.fft.hfft(x)
T.fft.rfft2(x)          T.fft.irfft2(x)         T.fft.fft(x, dim=0)     F.one_hot(i, 3)         T.fft.fftshift(x)
F.nll_loss(x, i[:, 0], reduction="none")        F.cross_entropy(x, i[:, 0], reduction="none")
F.cross_entropy(x, x, reduction="none")         F.binary_cross_entropy_with_logits(x, x, reduction="none")
""".replace("\n", "  ").split("  ")


@pytest.mark.parametrize("line", [line.strip() for line in LINES if line.strip()])
@pytest.mark.parametrize("recorded", [False, True])
def test_where_torchs_is_contiguous_it_is(line: str, recorded: bool) -> None:
    draw = np.random.default_rng()
    numbers, places = draw.normal(size=(2, 3, 4)), draw.integers(0, 2, size=(2, 3, 4))
    for order in permutations(range(3)):
        found = []
        for T in (torch, gradcore):
            x: Any = T.tensor(numbers, requires_grad=recorded).permute(order)
            i = T.tensor(places).permute(order)
            found.append(eval(line, {"T": T, "F": T.nn.functional, "x": x, "i": i}))
        theirs, ours = found
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-12)
        if theirs.is_contiguous():
            assert ours.is_contiguous()
            assert ours.view(-1).shape == theirs.view(-1).shape
