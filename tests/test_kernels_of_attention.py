"""What the kernels of attention and of dropout compute, without a GPU: their C++ on the host, by threads in either order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda
from gradcore.backends import composed
from gradcore.backends import numpy as host
from gradcore.nn import functional as F
from tests import double
from tests.double import kernels as pretended
from tests.test_kernels import BLOCKS, TOLERANCE, close, dtype_of, needs_a_compiler

rng = np.random.default_rng()


@pytest.fixture(params=BLOCKS, ids=lambda p: f"{p[0]} threads{', last first' * p[1]}")
def block(request: pytest.FixtureRequest) -> Iterator[None]:
    with pretended.block(*request.param):
        yield


def attention() -> Any:
    return double.parts()["gradcore.backends.kernels.attention"]


# Heads, queries, keys, depth and width: tiles that are full and not, one size of them and the other.
HEADS = {
    "some": ((2, 3), 37, 41, 8, 8),
    "few": ((1,), 1, 3, 5, 7),
    "more keys than depth": ((2,), 33, 70, 4, 2),
    "deep": ((1, 2), 20, 18, 96, 96),
    "wide": ((1,), 5, 40, 3, 130),
}


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("which", HEADS)
def test_attention_and_back(which: str, causal: bool, code: str, block: None, strict_cuda: Any) -> None:
    (lead, queries, keys, depth, width), B, before = HEADS[which], strict_cuda.backend, len(pretended.runs)
    sizes = [(queries, depth), (keys, depth), (keys, width), (queries, width)]
    q, k, v, g = (rng.normal(size=(*lead, *each)).astype(dtype_of(code)) for each in sizes)
    scale = 1.5 / depth**0.5
    out, *kept = B.attend(*map(strict_cuda.array, (q, k, v)), None, scale, causal)
    back = B.attend_backward(*map(strict_cuda.array, (g, q, k, v)), None, out, *kept, scale, causal)
    if which == "deep" and code == "f8":  # more than a block has room for
        assert not any("attend" in name for name in pretended.runs[before:])
    else:
        assert pretended.runs[before:] == [f"gradcore_attend{end}" for end in ("", "_query", "_key")]
        assert kept[0].shape == (*lead, queries)
    q, k, v, g = (each.astype("f8") for each in (q, k, v, g))
    expected, *saved = composed.attend(host, q, k, v, None, scale, causal)
    close(out, expected, code, 4.0)
    found = composed.attend_backward(host, g, q, k, v, None, expected, *saved, scale, causal)
    for mine, other in zip(back, found, strict=True):
        close(mine, other, code, 16.0)


# Batches and heads, and the shape of a mask over them.
MASKS = {
    "of keys": ((2, 3), (2, 1, 1, 41)),
    "of queries and keys": ((2, 3), (37, 41)),
    "of heads": ((2, 3), (1, 3, 37, 41)),
    "of all": ((2, 3), (2, 3, 37, 41)),
    "of queries": ((2, 3), (37, 1)),
    "one number": ((2,), (1,)),
    "three axes of batches": ((2, 2, 2), (2, 1, 1, 37, 41)),
    "three axes, one mask": ((2, 2, 2), (2, 1, 41)),
    "no batch": ((), (37, 41)),
}


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("boolean", [False, True], ids=["added", "boolean"])
@pytest.mark.parametrize("which", MASKS)
def test_masks(which: str, boolean: bool, code: str, block: None, strict_cuda: Any) -> None:
    """With rows that may look at nobody, tiles of keys that no query may, and one that hides nothing."""
    (lead, shape), B, before = MASKS[which], strict_cuda.backend, len(pretended.runs)
    q, k, v, g = (rng.normal(size=(*lead, n, 8)).astype(dtype_of(code)) for n in (37, 41, 41, 37))
    hidden = rng.random(shape) < 0.3
    if shape[-2:] == (37, 41):
        hidden[..., 3, :] = True
        hidden[..., 33:36] = hidden[..., :8, :32] = True
    mask = ~hidden if boolean else np.where(hidden, -np.inf, rng.normal(size=shape)).astype(dtype_of(code))
    given = [strict_cuda.array(x) for x in (q, k, v, mask)]
    out, *kept = B.attend(*given, 0.4, False)
    back = B.attend_backward(strict_cuda.array(g), *given, out, *kept, 0.4, False)
    assert pretended.runs[before:] == [f"gradcore_attend{end}" for end in ("", "_query", "_key")]
    wide = [x.astype("f8") for x in (g, q, k, v)]
    with np.errstate(invalid="ignore"):
        expected, *saved = composed.attend(host, *wide[1:], mask if boolean else mask.astype("f8"), 0.4, False)
    assert not np.isnan(expected).any()
    close(out, expected, code, 4.0)
    for mine, other in zip(back, composed.attend_backward(host, *wide, mask, expected, *saved, 0.4, False), strict=True):
        close(mine, other, code, 16.0)


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("which", HEADS)
def test_attention_drops_what_the_composition_drops(
    which: str, masked: bool, code: str, block: None, strict_cuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lead, queries, keys, depth, width), B, before = HEADS[which], strict_cuda.backend, len(pretended.runs)
    sizes = [(queries, depth), (keys, depth), (keys, width), (queries, width)]
    q, k, v, g = (strict_cuda.array(rng.normal(size=(*lead, *each)).astype(dtype_of(code))) for each in sizes)
    mask = strict_cuda.array(rng.random((queries, keys)) < 0.8) if masked else None
    found = []
    for few in (1 << 20, 0):
        monkeypatch.setattr(attention(), "FEW", few)
        source = B.generator(7)
        source.call()
        out, kept, dropped = B.attend(q, k, v, mask, 0.3, False, 0.4, source)
        found.append((out, *B.attend_backward(g, q, k, v, mask, out, kept, dropped, 0.3, False, 0.4)))
        assert dropped._host.tolist() == [7, 2]
    kernels = [f"gradcore_attend{end}" for end in ("", "_query", "_key")]
    if which != "deep" or code != "f8":
        assert pretended.runs[before:][:3] == kernels
    assert pretended.runs[-5:].count("gradcore_dropout") == 3
    for mine, other in zip(*found, strict=True):
        close(mine, other._host.astype("f8"), code, 32.0)


@needs_a_compiler
def test_attention_is_composed_in_between(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where products by cuBLAS are faster, though the softmax's kernel serves."""
    monkeypatch.setattr(attention(), "FEW", 5)
    q, k, v = (strict_cuda.array(each) for each in rng.normal(size=(3, 2, 4, 5)))
    before = len(pretended.runs)
    assert strict_cuda.backend.attend(q, k, v, None, 0.5, True)[1].shape == (2, 4, 4)
    monkeypatch.setattr(attention(), "MANY", 20)
    assert strict_cuda.backend.attend(q, k, v, None, 0.5, True)[1].shape == (2, 4)
    assert pretended.runs[before:] == ["gradcore_softmax", "gradcore_attend"]


# -- dropout --------------------------------------------------------------------------------------------------------------


WORDS = """
extern "C" __global__ void gradcore_words(
    unsigned int* out, const unsigned long long group, const unsigned long long* kept
) {
    Draws draws(0, 0, 0, kept);
    for (int i = 0; i < 4; i++) out[i] = draws.at(4 * group + i);
}
"""
# Of the library Random123, from the paper's authors: counter, key and result, of which a group has 62 bits of a counter.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0x243F6A88, 0x05A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), None),
]


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    """The paper's figure 2, in Python's integers."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        x, y = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (y >> 32) ^ b ^ k, y & 0xFFFFFFFF, (x >> 32) ^ d ^ m, x & 0xFFFFFFFF
        k, m = (k + 0x9E3779B9) & 0xFFFFFFFF, (m + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


def test_the_numbers_are_philoxs(strict_cuda: Any) -> None:
    assert philox((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    source = double.parts()["gradcore.backends.kernels.dropout"].DRAWS + WORDS
    for counter, key, expected in KNOWN:
        kept = np.array([key[0] | key[1] << 32, counter[2] | counter[3] << 32], np.uint64)
        out = strict_cuda.array(np.zeros(4, np.uint32))
        group = np.uint64(counter[0] | counter[1] << 32)
        if pretended.COMPILER is not None:
            pretended.RawKernel(source, "gradcore_words")((1,), (1,), (out, group, strict_cuda.array(kept)))
            assert out._host.tolist() == philox(counter, key)
        if expected is not None:
            assert " ".join(f"{x:08x}" for x in philox(counter, key)) == expected


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("n", [1, 5, 256, 4099])
def test_dropout_is_one_kernel_forward_and_one_back(n: int, code: str, block: None, strict_cuda: Any) -> None:
    B, before, p = strict_cuda.backend, len(pretended.runs), 0.3
    for start in (0, 1):  # of a view, which lies as no vector may
        x, g = (strict_cuda.array(rng.normal(size=n + start).astype(dtype_of(code)))[start:] for _ in range(2))
        out, kept = B.dropout(x, p, B.generator(11))
        back = B.dropout_backward(g, kept, p)
        words = [w for i in range(-(-n // 4)) for w in philox((i, 0, 1, 0), (11, 0))][:n]
        factors = np.where(np.array(words) < round(p * 2**32), 0, 1 / (1 - p))
        close(out, x._host.astype("f8") * factors, code)
        close(back, g._host.astype("f8") * factors, code)
        np.testing.assert_array_equal(B.kept_places(kept, (n,), p)._host, factors != 0)
    assert pretended.runs[before:] == ["gradcore_dropout"] * 6


def test_dropout_of_tensors(strict_cuda: Any) -> None:
    """Its node, its derivatives of every order, that seeds repeat it, that calls differ; and nothing waits."""
    gc.manual_seed(5)
    x = gc.randn(4, 9, device="cuda", dtype=gc.float64, requires_grad=True)
    with strict_cuda.never_waits():
        y = F.dropout(x, 0.4)
        (g,) = gc.autograd.grad((y * y * y).sum(), x, create_graph=True)
        (second,) = gc.autograd.grad(g.sum(), x, retain_graph=True)
        again = F.dropout(x, 0.4)
    assert y.grad_fn.name() == "NativeDropoutBackward0"
    factor = (y.detach() / x.detach()).cpu()
    values = x.detach().cpu()
    np.testing.assert_allclose(g.detach().cpu().numpy(), (3 * factor**3 * values**2).numpy())
    np.testing.assert_allclose(second.cpu().numpy(), (6 * factor**3 * values).numpy())
    assert not bool(((y == 0) == (again == 0)).all())
    gc.manual_seed(5)
    gc.randn(4, 9, device="cuda", dtype=gc.float64)
    assert bool((F.dropout(x, 0.4) == y).all()) == (pretended.COMPILER is not None)
    seeds = gc.randn(3, 4, 9, device="cuda", dtype=gc.float64)
    (batched,) = gc.autograd.grad(y, x, seeds, is_grads_batched=True)
    np.testing.assert_allclose(batched.cpu().numpy(), (seeds.cpu() * factor).numpy())
    large = F.dropout(gc.ones(1 << 16, device="cuda"), 0.25)
    assert abs((large == 0).float().mean().item() - 0.25) < 0.02
    assert abs(large.mean().item() - 1) < 0.02
    for p, expected in ((0.0, 1.0), (1.0, 0.0)):
        assert F.dropout(gc.ones(3, device="cuda"), p).tolist() == [expected] * 3


@needs_a_compiler
def test_replays_drop_anew_and_backward_what_forward_dropped(strict_cuda: Any) -> None:
    x, q = gc.ones(64, device="cuda", requires_grad=True), gc.randn(1, 2, 6, 4, device="cuda", requires_grad=True)

    def step(x: Any) -> Any:
        x.grad = q.grad = None
        y = F.dropout(x, 0.5)
        z = F.scaled_dot_product_attention(q, q, gc.ones_like(q), None, 0.5)
        (y.sum() + z.sum()).backward()
        return y, x.grad, z, F.dropout(gc.ones_like(x), 0.5)

    graphed = cuda.graphed_step(step, warmup=1)
    seen = []
    for _ in range(4):
        y, g, z, other = (t.detach().cpu() for t in graphed(x))
        assert bool((y == g).all())
        seen += [tuple(y.tolist()), tuple(other.tolist()), tuple(z.flatten().tolist())]
    assert len(set(seen)) == 12
    plain = cuda.graphed_step(lambda x: x + 1, warmup=1)
    for _ in range(3):
        plain(x)
    fresh = gc.Generator("cuda")  # whose beginning every replay would repeat
    with pytest.raises(RuntimeError, match="first number of a generator cannot be captured"), cuda.graph(cuda.CUDAGraph()):
        gc.rand(3, device="cuda", generator=fresh)


# -- attention as a function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", [0.0, 0.3])
@pytest.mark.parametrize("mask", ["none", "added", "boolean"])
def test_second_derivatives_are_those_of_what_was_dropped(mask: str, drop: float, strict_cuda: Any) -> None:
    """The recorded sweep, which composes, against differences of the one that does not; the same numbers in each."""
    q, k, v = (gc.randn(1, 2, n, 4, device="cuda", dtype=gc.float64, requires_grad=True) for n in (3, 5, 5))
    masks = {"none": None, "added": gc.randn(3, 5, dtype=gc.float64).cuda(), "boolean": gc.rand(1, 2, 3, 5).cuda() > 0.4}
    seen = masks[mask]

    def gradients(scale: float, create: bool) -> Any:
        gc.manual_seed(3)
        moved = [x.detach() + scale * d for x, d in zip((q, k, v), directions, strict=True)]
        moved = [x.requires_grad_() for x in moved]
        y = F.scaled_dot_product_attention(*moved, seen, drop)
        return moved, gc.autograd.grad(y.sin().sum(), moved, create_graph=create)

    directions = [gc.randn(*x.shape, device="cuda", dtype=gc.float64) for x in (q, k, v)]
    moved, recorded = gradients(0.0, True)
    _, plain = gradients(0.0, False)
    _, above = gradients(1e-5, False)
    _, below = gradients(-1e-5, False)
    second = gc.autograd.grad(sum((g * d).sum() for g, d in zip(recorded, directions, strict=True)), moved)
    for one, other, h, a, b in zip(recorded, plain, second, above, below, strict=True):
        np.testing.assert_allclose(one.detach().cpu().numpy(), other.cpu().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(h.cpu().numpy(), ((a - b) / 2e-5).cpu().numpy(), rtol=1e-4, atol=1e-6)
