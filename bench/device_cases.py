"""What is measured on a device alone: captured training steps, and kernels beside the device's own limits. No clock here.

A case with `moved` bytes or `flops` has a rate, which stands beside what the device copies, or multiplies, in a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.cases import Case, label, normal
from bench.libraries import Library, Run

CASES: list[DeviceCase] = []


@dataclass(frozen=True)
class DeviceCase(Case):
    """A program for a device, with the bytes that it must read and write at least, and what it must calculate."""

    moved: float = 0
    flops: float = 0


def case(
    goal: float | None = None, moved: float = 0, flops: Callable[..., float] | None = None, **grid: Sequence[Any]
) -> Callable[[Any], Any]:
    """Make cases of the decorated function, with one goal; `moved` is in arrays of its size."""

    def declare(build: Callable[..., Run]) -> Callable[..., Run]:
        for values in itertools.product(*grid.values()):
            chosen = dict(zip(grid, values, strict=True))
            family, size = build.__name__.replace("_", " "), chosen.get("n")
            name = " ".join([family, *map(label, values)])
            work = flops(**chosen) if flops else 0
            about, run = build.__doc__ or "", partial(build, **chosen)
            bytes_moved = 4 * moved * (size or 0)
            CASES.append(DeviceCase(name, about, run, goal, family, size, moved=bytes_moved, flops=work))
        return build

    return declare


@case(moved=2, n=(1 << 24,))
def copy(lib: Library, n: int) -> Run:
    """Copying `n` floats: what the device can read and write."""
    x, y = lib.constant(normal(n)), lib.constant(normal(n))
    return lib.part(partial(y.copy_, x))


@case(0.95, flops=lambda n: 2.0 * n**3, n=(4096,))
def matmul(lib: Library, n: int) -> Run:
    """A product of matrices: what the device can multiply."""
    x = lib.constant(normal(n, n))
    return lib.part(lambda: x @ x)


@case(0.9, moved=2, n=(1 << 24,))
def gelu(lib: Library, n: int) -> Run:
    """A nonlinearity of `n` floats, forward."""
    function, x = lib.nn.functional.gelu, lib.constant(normal(n))
    return lib.part(lambda: function(x))


@case(0.9, moved=2, n=(1 << 24,))
def softmax_of_rows(lib: Library, n: int) -> Run:
    """The softmax of rows of 4096, forward."""
    function, x = lib.nn.functional.softmax, lib.constant(normal(n // 4096 or 1, min(n, 4096)))
    return lib.part(lambda: function(x, -1))


@case(0.9, moved=2, n=(1 << 24,))
def layer_norm_of_rows(lib: Library, n: int) -> Run:
    """Rows of 4096 brought to mean 0 and variance 1, forward."""
    function, x = lib.nn.functional.layer_norm, lib.constant(normal(n // 4096 or 1, min(n, 4096)))
    return lib.part(lambda: function(x, x.shape[-1:]))


@case(0.9, moved=7, n=(1 << 24,))
def adamw(lib: Library, n: int) -> Run:
    """A step of AdamW on `n` parameters, which reads four arrays and writes three."""
    parameter = lib.leaf(normal(n))
    parameter.grad = lib.constant(normal(n, seed=1))
    optimizer = lib.optim.AdamW([parameter], fused=True)

    def step() -> Any:
        optimizer.step()
        return parameter

    return lib.part(step)


def _training(lib: Library, net: Any, x: Any, y: Any) -> Run:
    """A training step of a network, captured by libraries that do."""
    net = net.to(lib.device)
    options = {"capturable": True} if lib.device != "cpu" else {}
    optimizer = lib.optim.AdamW(net.parameters(), lr=1e-3, **options)
    cross_entropy = lib.nn.functional.cross_entropy

    def step() -> Any:
        optimizer.zero_grad()
        loss = cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return lib.whole(step)


@case(0.8, width=(64, 1024))
def mlp_training(lib: Library, width: int) -> Run:
    """A training step of three linear layers, batch 64, with AdamW."""
    nn = lib.nn
    net = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 10))
    return _training(lib, net, lib.constant(normal(64, width)), lib.constant(np.arange(64) % 10))


@case(0.8, width=(64, 512))
def transformer_training(lib: Library, width: int) -> Run:
    """A training step of a transformer of 4 layers, 8 sequences of 32, with AdamW."""
    nn = lib.nn
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True)
    net = nn.Sequential(nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Flatten(), nn.Linear(32 * width, 10))
    return _training(lib, net, lib.constant(normal(8, 32, width)), lib.constant(np.arange(8) % 10))
