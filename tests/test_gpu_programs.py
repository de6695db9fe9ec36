"""Streams, graphs, fused kernels, optimizers and memory on a real GPU, and the same on the double. Not one primitive alone.

What the double cannot show is what these are for: races, reductions across threads, captures, memory.
"""

from __future__ import annotations

import gc as collector
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda, nn
from gradcore.nn import functional as F
from tests.double import kernels as pretended
from tests.test_backward_streams import Ways, forked, nested
from tests.test_optim_on_device import CAPTURABLE, LAUNCHES, RULES, SHAPES, trained

rng = np.random.default_rng()


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.cuda)])
def where(request: pytest.FixtureRequest) -> str:
    """Which of the two stands for "cuda"."""
    if request.param == "double":
        request.getfixturevalue("strict_cuda")
        if pretended.COMPILER is None:
            pytest.skip("needs g++")
    return str(request.param)


def host(*tensors: Any) -> list[Any]:
    cuda.synchronize()
    return [t.detach().cpu().numpy() for t in tensors]


def close(ours: Any, expected: Any, tolerance: float) -> None:
    for mine, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


# -- kernels --------------------------------------------------------------------------------------------------------------

ROWS = {
    "softmax": lambda x, y: F.softmax(x, -1),
    "log_softmax": lambda x, y: F.log_softmax(x, -1),
    "layer_norm": lambda x, y: F.layer_norm(x, x.shape[-1:]),
    "rms_norm": lambda x, y: F.rms_norm(x, x.shape[-1:]),
    "gelu": lambda x, y: F.gelu(x),
    "silu": lambda x, y: F.silu(x),
    "softplus": lambda x, y: F.softplus(x, 2.0, 3.0),
    "sigmoid": lambda x, y: gc.sigmoid(x),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y),
    "index_add": lambda x, y: gc.zeros_like(x).index_add(0, y % 3, x),
}


@pytest.mark.parametrize("length", [1, 31, 1000, 5000])
@pytest.mark.parametrize("dtype", [gc.float16, gc.float32, gc.float64], ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_a_fused_kernel_and_its_derivative(name: str, dtype: Any, length: int, where: str) -> None:
    if where == "double" and length > 31:
        pytest.skip("one thread a block")
    values, labels = rng.normal(size=(7, length)), rng.integers(0, length, 7)
    values += 0.1 * np.sign(values)  # the derivative of rms_norm of one number near 0 is nothing but rounding
    found = []
    for device, kind in (("cuda", dtype), ("cpu", gc.float64)):
        x = gc.tensor(values, dtype=dtype).to(device, kind).requires_grad_()
        out = ROWS[name](x, gc.tensor(labels, device=device))
        out.backward(gc.tensor(np.cos(np.arange(out.numel())).reshape(tuple(out.shape)), dtype=kind, device=device))
        found.append([t.detach().cpu().numpy().astype("f8") for t in (out, x.grad)])
    close(*found, {gc.float16: 2e-2, gc.float32: 2e-4, gc.float64: 1e-9}[dtype])


# -- optimizers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "settings"), RULES)
def test_optimizers(name: str, settings: dict[str, Any], where: str) -> None:
    values = [rng.normal(size=shape) for shape in (*SHAPES, *((n,) for n in range(1, 60)), (300_000,))]
    for dtype, tolerance in ((gc.float64, 1e-11), (gc.float32, 1e-4)):
        close(trained(name, settings, values, "cuda", dtype), trained(name, settings, values, "cpu", dtype), tolerance)


@pytest.mark.parametrize(("name", "settings"), CAPTURABLE)
def test_optimizers_that_count_on_the_device(name: str, settings: dict[str, Any], where: str) -> None:
    values = [rng.normal(size=shape) for shape in SHAPES]
    there = trained(name, settings, values, "cuda")
    close(there, trained(name, settings, values, "cpu"), 1e-6 if name in LAUNCHES else 1e-11)


# -- streams --------------------------------------------------------------------------------------------------------------


def large(device: str) -> list[Any]:
    generator = np.random.default_rng(7)
    return [gc.tensor(generator.normal(size=20_000), device=device, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("program", [forked, nested])
def test_backward_on_streams_again_and_again(program: Any, where: str) -> None:
    expected = large("cpu")
    program(*expected, Ways("cpu")).backward()
    for _ in range(2 if where == "double" else 30):
        found = large("cuda")
        program(*found, Ways("cuda")).backward()
        for leaf in found:
            leaf.grad.mul_(1)  # on the stream that called, without waiting by the host
        close(host(*(leaf.grad for leaf in found)), [leaf.grad.numpy() for leaf in expected], 1e-9)


def test_copies_that_do_not_wait(where: str) -> None:
    for size in (1, 1000, 300_000):
        values = rng.normal(size=size)
        there = gc.tensor(values).pin_memory().to("cuda", non_blocking=True)  # the pinned copy is forgotten at once
        collector.collect()
        gc.ones(size, dtype=gc.float64).pin_memory()
        back = (there * 2).to("cpu", non_blocking=True)
        into = gc.zeros(size, dtype=gc.float64).pin_memory().copy_(there, non_blocking=True)
        cuda.synchronize()
        np.testing.assert_array_equal(back.numpy(), values * 2)
        np.testing.assert_array_equal(into.numpy(), values)


# -- graphs ---------------------------------------------------------------------------------------------------------------


def model(device: str) -> Any:
    gc.manual_seed(3)
    return nn.Sequential(
        nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 5)
    ).to(device)  # fmt: skip


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_a_captured_training_step(optimizer: str, where: str) -> None:
    batches = [(rng.normal(size=(8, 16)).astype("f4"), rng.integers(0, 5, 8)) for _ in range(12)]

    def run(device: str, wrap: Any) -> list[Any]:
        net = model(device)
        options: dict[str, Any] = {"momentum": 0.9} if optimizer == "SGD" else {"capturable": device == "cuda"}
        opt = getattr(gc.optim, optimizer)(net.parameters(), lr=0.01, **options)

        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            opt.step()
            return loss

        step = wrap(step)
        losses = [step(gc.tensor(x, device=device), gc.tensor(y, device=device)) for x, y in batches]
        return [t.detach().cpu().numpy() for t in (*losses, *net.parameters())]

    close(run("cuda", cuda.graphed_step), run("cpu", lambda step: step), 2e-2)


def test_graphs_of_attention_and_random_numbers(where: str) -> None:
    gc.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).to("cuda")
    x = gc.tensor(rng.normal(size=(2, 6, 16)).astype("f4"), device="cuda", requires_grad=True)
    step = cuda.graphed_step(lambda x: gc.autograd.grad((layer(x) ** 2).sum(), x)[0])
    plain = host(gc.autograd.grad((layer(x) ** 2).sum(), x)[0])
    for _ in range(6):
        close(host(step(x)), plain, 1e-3)
    drop = cuda.graphed_step(lambda x: F.dropout(x, 0.5))
    assert len({host(drop(x))[0].tobytes() for _ in range(8)}) == 8


def test_graphed_callables(where: str) -> None:
    net, plain = model("cuda"), model("cuda")
    graphed = cuda.make_graphed_callables(net, (gc.zeros(8, 16, device="cuda", requires_grad=True),))
    for _ in range(4):
        x, z = (gc.tensor(np.ones((8, 16), "f4") * rng.normal(), device="cuda", requires_grad=True) for _ in range(2))
        z.data.copy_(x)
        for function, leaf in ((graphed, x), (plain, z)):
            (function(leaf) ** 2).sum().backward()
        close(host(x.grad, *(p.grad for p in net.parameters())), host(z.grad, *(p.grad for p in plain.parameters())), 1e-3)


def test_a_capture_that_fails_leaves_a_device_that_works(where: str) -> None:
    x, made = gc.ones(5, device="cuda"), cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="captured in a CUDA graph"), cuda.graph(made):
        (x * 2).sum().item()
    assert x.sum().item() == 5
    with cuda.graph(made):
        y = x * 3
    made.replay()
    assert y.sum().item() == 15


# -- bits, and memory -----------------------------------------------------------------------------------------------------


def test_the_same_bits_every_time(where: str) -> None:
    values, index = rng.normal(size=(5000, 3)).astype("f4"), rng.integers(0, 7, 5000)
    gc.use_deterministic_algorithms(True)
    try:
        seen = set()
        for _ in range(3 if where == "double" else 20):
            x, i = gc.tensor(values, device="cuda"), gc.tensor(index, device="cuda")
            out = gc.zeros(7, 3, device="cuda")
            parts = out.index_add(0, i, x), out.index_put((i,), x), out.t().contiguous().t().index_add(0, i, x)
            seen.add(b"".join(part.tobytes() for part in host(*parts)))
        assert len(seen) == 1
    finally:
        gc.use_deterministic_algorithms(False)


def test_steps_do_not_use_up_memory(where: str) -> None:
    net = model("cuda")
    opt = gc.optim.AdamW(net.parameters())
    x, used = gc.ones(8, 16, device="cuda"), []
    for _ in range(12):
        opt.zero_grad()
        (net(x) ** 2).sum().backward()
        opt.step()
        used.append(cuda.memory_allocated())
    assert len(set(used[3:])) == 1


@pytest.mark.cuda
def test_out_of_memory_leaves_the_process_usable() -> None:
    before = cuda.memory_allocated()
    _, total = cuda.mem_get_info()
    x = gc.ones(1000, device="cuda", requires_grad=True)
    with pytest.raises(cuda.OutOfMemoryError, match=r"(?i)out of memory.*\((multiply|exp) got"):
        (x.reshape(1000, 1) * gc.ones(1, total // 1000, device="cuda")).exp()
    (x * 2).sum().backward()
    assert x.grad.sum().item() == 2000
    del x
    collector.collect()
    assert cuda.memory_allocated() <= before + 4096
