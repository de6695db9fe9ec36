"""What is measured: a function per case, one source for all libraries. It must not know how time is taken.

`@case(goal=..., n=[...], phase=[...])` makes a case of each combination; the function gets a Library and
these, and returns what to call. It looks the library's names up before that, so that this is not measured.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.libraries import PHASES, Library, Run

CASES: list[Case] = []


@dataclass(frozen=True)
class Case:
    """A program to measure. `goal` is the ratio that the project wants, of torch's time (of `beside`'s) to gradcore's.

    What is `beside` may be another way in gradcore: `build` sees it as the library's name.
    """

    name: str
    about: str
    build: Callable[[Library], Run]
    goal: float | None
    family: str
    size: int | None
    beside: str = "torch"


def case(
    goal: float | Mapping[str, float] | None = None, beside: str = "torch", **grid: Sequence[Any]
) -> Callable[[Any], Any]:
    """Make cases of the decorated function, one per combination in `grid`; `goal` for all, or by name."""

    def declare(build: Callable[..., Run]) -> Callable[..., Run]:
        for values in itertools.product(*grid.values()):
            chosen = dict(zip(grid, values, strict=True))
            family = build.__name__.replace("_", " ")
            name = " ".join([family, *map(label, values)])
            own = goal.get(name) if isinstance(goal, Mapping) else goal
            size = chosen.get("n")
            CASES.append(Case(name, build.__doc__ or "", partial(build, **chosen), own, family, size, beside))
        return build

    return declare


def label(value: Any) -> str:
    """A value of the grid as it stands in a case's name."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, int) and value >= 10_000:
        return f"{value:.0e}".replace("e+0", "e")
    return str(value)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """The same random numbers for every library."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


# -- small: what an operation costs ----------------------------------------------------------------


@case(goal=5.0)
def notebook(lib: Library) -> Run:
    """The notebook's step on 2×2, forward and backward: mean of 3 (x + 2)²."""

    def loss(x: Any) -> Any:
        y = x + 2
        z = y * y * 3
        return z.mean()

    return lib.run("step", loss, lib.leaf(np.ones((2, 2))))


HUNDRED = {f"hundred {kind} {other} step": 4.0 for kind in ("sums", "ops") for other in ("tensor", "number")}


def hundred(lib: Library, phase: str, other: str, four: Callable[[Any, Any, Any], Any]) -> Run:
    """A chain of 25 times `four` operations on 2×2, with leaves or with numbers, and its sum."""

    def chain(x: Any, w: Any, b: Any) -> Any:
        y = x
        for _ in range(25):
            y = four(y, w, b)
        return y.sum()

    leaf = lib.leaf(normal(2, 2))
    if other == "number":
        return lib.run(phase, lambda x: chain(x, 1.1, 0.1), leaf)
    return lib.run(phase, lambda x, w: chain(x, w, x), leaf, lib.leaf(normal(2, 2, seed=1)))


@case(goal=HUNDRED, other=("tensor", "number"), phase=PHASES)
def hundred_sums(lib: Library, other: str, phase: str) -> Run:
    """A chain of 100 multiplications, additions and subtractions on 2×2, with leaves or with numbers."""
    return hundred(lib, phase, other, lambda y, w, b: ((y * w + b) * w) - b)


@case(goal=HUNDRED, other=("tensor", "number"), phase=PHASES)
def hundred_ops(lib: Library, other: str, phase: str) -> Run:
    """A chain of 100 operations on 2×2, unary and binary in turn, the latter with leaves or with numbers."""
    sin, tanh = lib.sin, lib.tanh
    return hundred(lib, phase, other, lambda y, w, b: tanh(sin(y * w) + b))


@case(goal=1.6)
def record(lib: Library) -> Run:
    """Recording one binary operation, x * y on 2×2."""
    return lib.run("forward", operator.mul, lib.leaf(normal(2, 2)), lib.leaf(normal(2, 2, seed=1)))


@case(phase=("step",), n=(10_000,))
def deep(lib: Library, phase: str, n: int) -> Run:
    """A graph of `n` additions of a number, one after the other."""

    def loss(x: Any) -> Any:
        y = x
        for _ in range(n):
            y = y + 1.0
        return y

    return lib.run(phase, loss, lib.leaf(1.0))


# -- any size --------------------------------------------------------------------------------------


@case(goal={"chain 1e6 step": 0.5}, n=(1, 1_000, 1_000_000, 10_000_000), phase=PHASES)
def chain(lib: Library, n: int, phase: str) -> Run:
    """A chain of eleven elementwise operations on `n` floats, and their mean."""
    exp, tanh = lib.exp, lib.tanh

    def loss(x: Any, w: Any) -> Any:
        y = tanh(x * w + x)
        z = exp(-y * y) - w / (y * y + 1)
        return z.mean()

    return lib.run(phase, loss, lib.leaf(normal(n)), lib.leaf(normal(n, seed=1)))


@case(n=(1, 1_000, 100_000))
def double_backward(lib: Library, n: int) -> Run:
    """A gradient's gradient (`create_graph=True`) of a chain of six operations on `n` floats."""
    exp, tanh = lib.exp, lib.tanh

    def loss(x: Any, w: Any) -> Any:
        y = tanh(x * w + x)
        return (exp(y) * w).mean()

    return lib.run("double", loss, lib.leaf(normal(n)), lib.leaf(normal(n, seed=1)))


@case(n=(2, 64, 512), phase=PHASES)
def matmul(lib: Library, n: int, phase: str) -> Run:
    """The sum of a product of two `n`×`n` matrices."""

    def loss(x: Any, y: Any) -> Any:
        return (x @ y).sum()

    return lib.run(phase, loss, lib.leaf(normal(n, n)), lib.leaf(normal(n, n, seed=1)))


@case(shape=((4, 4), (1000, 1000)))
def sums(lib: Library, shape: tuple[int, int]) -> Run:
    """Sums over rows and a mean over columns."""

    def loss(x: Any) -> Any:
        return (x.sum(0) * x.mean(1)).sum()

    return lib.run("step", loss, lib.leaf(normal(*shape)))


@case(shape=((4, 4), (1000, 1000)))
def bias(lib: Library, shape: tuple[int, int]) -> Run:
    """A row added to every row of a matrix: broadcasting, and a sum in the backward pass."""

    def loss(x: Any, b: Any) -> Any:
        return ((x + b) * x).sum()

    return lib.run("step", loss, lib.leaf(normal(*shape)), lib.leaf(normal(shape[1])))


@case(n=(10, 1_000_000))
def slices(lib: Library, n: int) -> Run:
    """Differences of neighbours by basic indexing."""

    def loss(x: Any) -> Any:
        d = x[1:] - x[:-1]
        return (d * d).sum()

    return lib.run("step", loss, lib.leaf(normal(n)))


@case(n=(10, 100_000))
def gather(lib: Library, n: int) -> Run:
    """Rows of a matrix of `n` rows picked by an array of indices, some of them twice."""
    index = lib.constant(np.random.default_rng(0).integers(0, n, n))

    def loss(x: Any) -> Any:
        y = x[index]
        return (y * y).sum()

    return lib.run("step", loss, lib.leaf(normal(n, 8)))


@case(n=(10, 1_000_000))
def cumsum(lib: Library, n: int) -> Run:
    """Running sums of `n` floats."""

    def loss(x: Any) -> Any:
        return (x.cumsum(0) * x).mean()

    return lib.run("step", loss, lib.leaf(normal(n)))


@case(n=(10, 100_000))
def sort(lib: Library, n: int) -> Run:
    """Sorting `n` different floats; the gradient goes back to where they were."""
    shuffled = np.random.default_rng(0).permutation(n) / n
    weight = lib.constant(normal(n, seed=1))

    def loss(x: Any) -> Any:
        return (x.sort().values * weight).sum()

    return lib.run("step", loss, lib.leaf(shuffled))


# -- networks --------------------------------------------------------------------------------------


@case(shape=((4, 10), (128, 1000)))
def softmax(lib: Library, shape: tuple[int, int]) -> Run:
    """Softmax of rows."""
    function = lib.softmax

    def loss(x: Any, w: Any) -> Any:
        return (function(x, 1) * w).sum()

    return lib.run("step", loss, lib.leaf(normal(*shape)), lib.leaf(normal(*shape, seed=1)))


@case(shape=((4, 10), (128, 1000)))
def layer_norm(lib: Library, shape: tuple[int, int]) -> Run:
    """Normalised rows with a scale and a shift."""
    function = lib.nn.functional.layer_norm

    def loss(x: Any, w: Any, b: Any) -> Any:
        return (function(x, shape[1:], w, b) * x).sum()

    return lib.run("step", loss, *map(lib.leaf, (normal(*shape), normal(shape[1]), normal(shape[1], seed=1))))


@case(shape=((4, 10), (128, 1000)))
def cross_entropy(lib: Library, shape: tuple[int, int]) -> Run:
    """Cross entropy of rows with labels."""
    function = lib.nn.functional.cross_entropy
    labels = lib.constant(np.random.default_rng(0).integers(0, shape[1], shape[0]))

    def loss(x: Any) -> Any:
        return function(x, labels)

    return lib.run("step", loss, lib.leaf(normal(*shape)))


@case(shape=((1, 1, 5, 5), (16, 8, 32, 32)))
def conv2d(lib: Library, shape: tuple[int, int, int, int]) -> Run:
    """A 3×3 convolution of a batch of images into 16 channels."""
    function = lib.nn.functional.conv2d

    def loss(x: Any, w: Any) -> Any:
        y = function(x, w, padding=1)
        return (y * y).mean()

    return lib.run("step", loss, lib.leaf(normal(*shape)), lib.leaf(normal(16, shape[1], 3, 3)))


@case(goal=2.0)
def digits_step(lib: Library) -> Run:
    """A training step of examples/digits.py's kind: batch 64, network 64-128-10, cross entropy, SGD."""
    cross_entropy, no_grad = lib.nn.functional.cross_entropy, lib.no_grad
    images, labels = lib.constant(normal(64, 64)), lib.constant(np.arange(64) % 10)
    w1, b1 = lib.leaf(normal(64, 128) / 8), lib.leaf(np.zeros(128))
    w2, b2 = lib.leaf(normal(128, 10) / 11), lib.leaf(np.zeros(10))
    parameters = [w1, b1, w2, b2]

    def step() -> list[Any]:
        hidden = (images @ w1 + b1).relu()
        loss = cross_entropy(hidden @ w2 + b2, labels)
        loss.backward()
        with no_grad():
            for parameter in parameters:
                parameter -= 0.05 * parameter.grad
                parameter.grad = None
        return [loss, *parameters]

    return step


# -- transforms: one sweep of a batch beside a loop over it ------------------------------------------------------------


@case(goal=5.0, beside="loop")
def per_sample_gradients(lib: Library) -> Run:
    """The gradients of each of 256 samples, of a network 32-64-10: vmap(grad(f)) beside a loop of grad(f)."""
    cross_entropy, vmap = lib.nn.functional.cross_entropy, lib.func.vmap
    images, labels = lib.constant(normal(256, 32)), lib.constant(np.arange(256) % 10)
    weights = [lib.constant(normal(*shape) / 8) for shape in ((32, 64), (64,), (64, 10), (10,))]

    def loss(weights: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2 = weights
        return cross_entropy(((x @ w1 + b1).tanh() @ w2 + b2).unsqueeze(0), y.unsqueeze(0))

    gradients = lib.func.grad(loss)
    if lib.name == "loop":
        return lambda: [gradients(weights, x, y) for x, y in zip(images, labels, strict=True)]
    return partial(vmap(gradients, in_dims=(None, 0, 0)), weights, images, labels)


@case(goal=5.0, beside="loop")
def jacobian(lib: Library) -> Run:
    """The Jacobian of a layer with 256 outputs: jacobian(vectorize=True) beside the loop over outputs."""
    w, x = lib.constant(normal(256, 64) / 8), lib.constant(normal(64))
    return partial(lib.autograd.functional.jacobian, lambda x: (w @ x).tanh(), x, vectorize=lib.name != "loop")
