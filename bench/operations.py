"""What single operations cost, tiny and large: a table. It must not know how time is taken.

A row makes four cases: the operation on tiny and on large leaves, its forward alone and a step, in which a fixed cotangent
goes back from the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

from bench.cases import CASES, Case, normal
from bench.libraries import Library, Run

PHASES = ("forward", "step")
Spec = tuple[int, ...] | np.ndarray  # a leaf of normal numbers of that shape; or these numbers, a leaf unless integers


def integers(high: int, *shape: int) -> np.ndarray:
    """Random indices."""
    return np.random.default_rng([high, *shape]).integers(0, high, shape)


def distinct(*shape: int) -> np.ndarray:
    """Numbers from 0 to 1, shuffled, no two of a row the same."""
    return np.random.default_rng(0).permuted(np.broadcast_to(np.linspace(0, 1, shape[-1], dtype="f4"), shape), axis=-1)


def matrices(*shape: int, symmetric: bool = False) -> np.ndarray:
    """Well-conditioned matrices, the symmetric ones positive definite with distinct eigenvalues."""
    n = shape[-1]
    if not symmetric:
        return np.eye(n) + normal(*shape) / (4 * n**0.5)
    q = np.linalg.qr(normal(*shape))[0]
    return q * np.linspace(1, 2, n) @ q.swapaxes(-2, -1)


def row(path: str, call: Callable[..., Any], tiny: Sequence[Spec], large: Sequence[Spec], name: str = "") -> None:
    """Make the cases of `call(f, *tensors)`, where `f` is what the library has at `path`."""
    name = name or path.rpartition(".")[2]
    for (size, specs), phase in itertools.product((("tiny", tiny), ("large", large)), PHASES):
        about = f"{path} on {', '.join('×'.join(map(str, getattr(s, 'shape', s))) for s in specs) or 'nothing'}."
        build = partial(_built, path=path, call=call, specs=specs, phase=phase)
        if specs or phase == "forward":
            CASES.append(Case(f"op {name} {size} {phase}", about, build, None, f"op {name}", None))


def _built(lib: Library, *, path: str, call: Callable[..., Any], specs: Sequence[Spec], phase: str) -> Run:
    tensors = [_tensor(lib, spec, i) for i, spec in enumerate(specs)]
    run = partial(call, attrgetter(path)(lib), *tensors)
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    if phase == "forward":
        return run
    result = run()
    cotangent = lib.tensor(normal(*result.shape, seed=9), dtype=result.dtype, device=lib.device)

    def step() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        run().backward(cotangent)
        return [leaf.grad for leaf in leaves]

    return step


def _tensor(lib: Library, spec: Spec, i: int) -> Any:
    if isinstance(spec, tuple):
        return lib.leaf(normal(*spec, seed=i))
    tensor = lib.tensor(spec, device=lib.device)
    return tensor if spec.dtype.kind == "i" else tensor.requires_grad_()


# -- networks --------------------------------------------------------------------------------------

NN = "nn.functional."

row(NN + "layer_norm", lambda f, x, w, b: f(x, w.shape, w, b), [(4, 10), (10,), (10,)], [(128, 1000), (1000,), (1000,)])
row(
    NN + "batch_norm", lambda f, x, w, b: f(x, None, None, w, b, True),
    [(4, 3, 5), (3,), (3,)], [(16, 32, 32, 32), (32,), (32,)],
)
row(NN + "group_norm", lambda f, x, w, b: f(x, 2, w, b), [(2, 4, 5), (4,), (4,)], [(16, 32, 32, 32), (32,), (32,)])
row(NN + "conv1d", lambda f, x, w: f(x, w, padding=1), [(1, 2, 10), (3, 2, 3)], [(16, 32, 256), (32, 32, 3)])
row(NN + "conv2d", lambda f, x, w: f(x, w, padding=1), [(1, 1, 5, 5), (16, 1, 3, 3)], [(16, 16, 32, 32), (32, 16, 3, 3)])
row(NN + "conv2d", lambda f, x, w: f(x, w), [(8, 1, 8, 8), (4, 1, 3, 3)], [(64, 1, 28, 28), (8, 1, 5, 5)], "conv2d unpadded")
row(
    NN + "conv2d", lambda f, x, w: f(x, w, stride=2, padding=1),
    [(2, 4, 8, 8), (4, 4, 3, 3)], [(16, 16, 32, 32), (32, 16, 3, 3)], "conv2d strided",
)
row(
    NN + "conv2d", lambda f, x, w: f(x, w, padding=1, groups=w.shape[0]),
    [(1, 4, 8, 8), (4, 1, 3, 3)], [(8, 32, 32, 32), (32, 1, 3, 3)], "conv2d depthwise",
)
row(
    NN + "conv3d", lambda f, x, w: f(x, w, padding=1),
    [(1, 1, 4, 4, 4), (2, 1, 3, 3, 3)], [(4, 4, 16, 16, 16), (8, 4, 3, 3, 3)],
)
row(
    NN + "conv_transpose2d", lambda f, x, w: f(x, w, stride=2),
    [(1, 2, 5, 5), (2, 3, 2, 2)], [(8, 16, 16, 16), (16, 16, 4, 4)],
)
row(NN + "max_pool2d", lambda f, x: f(x, 2), [(1, 2, 6, 6)], [(16, 16, 64, 64)])
row(NN + "avg_pool2d", lambda f, x: f(x, 2), [(1, 2, 6, 6)], [(16, 16, 64, 64)])
row(NN + "adaptive_avg_pool2d", lambda f, x: f(x, 1), [(1, 2, 6, 6)], [(16, 64, 16, 16)])
row(NN + "interpolate", lambda f, x: f(x, scale_factor=2, mode="bilinear"), [(1, 1, 4, 4)], [(8, 8, 32, 32)])
row(NN + "interpolate", lambda f, x: f(x, scale_factor=2), [(1, 1, 4, 4)], [(8, 8, 32, 32)], "interpolate nearest")
row(
    NN + "grid_sample", lambda f, x, grid: f(x, grid, align_corners=False),
    [(1, 1, 4, 4), (1, 4, 4, 2)], [(8, 8, 64, 64), (8, 64, 64, 2)],
)
row(NN + "embedding", lambda f, i, w: f(i, w), [integers(10, 6), (10, 4)], [integers(10_000, 64, 64), (10_000, 128)])
row(NN + "embedding_bag", lambda f, i, w: f(i, w), [integers(10, 3, 2), (10, 4)], [integers(10_000, 256, 16), (10_000, 64)])
row(NN + "cross_entropy", lambda f, x, y: f(x, y), [(4, 10), integers(10, 4)], [(128, 1000), integers(1000, 128)])
row(
    "nn.functional.ctc_loss",
    lambda f, x, y, n, m: f(x.log_softmax(2), y, n, m),
    [(6, 2, 5), 1 + integers(4, 2, 2), np.full(2, 6), np.full(2, 2)],
    [(100, 16, 40), 1 + integers(39, 16, 20), np.full(16, 100), np.full(16, 20)],
)
row(
    NN + "scaled_dot_product_attention", lambda f, q, k, v: f(q, k, v),
    [(1, 2, 4, 4)] * 3, [(4, 8, 128, 32)] * 3, "attention",
)
row(NN + "softmax", lambda f, x: f(x, -1), [(4, 10)], [(128, 1000)])
row(NN + "gelu", lambda f, x: f(x), [(4, 10)], [(128, 1000)])
row(NN + "linear", lambda f, x, w, b: f(x, w, b), [(4, 10), (5, 10), (5,)], [(128, 512), (256, 512), (256,)])
row(NN + "dropout", lambda f, x: f(x, 0.5), [(4, 10)], [(1000, 1000)])
row(NN + "mse_loss", lambda f, x, y: f(x, y), [(4, 10), (4, 10)], [(1000, 1000)] * 2)
row(NN + "unfold", lambda f, x: f(x, 3), [(1, 1, 5, 5)], [(8, 8, 32, 32)])
row(NN + "pad", lambda f, x: f(x, (1, 1, 1, 1), "reflect"), [(1, 1, 5, 5)], [(8, 8, 64, 64)])

# -- along an axis ---------------------------------------------------------------------------------

row("cumsum", lambda f, x: f(x, 1), [(4, 10)], [(1000, 1000)])
row("cumprod", lambda f, x: f(x, 1), [(4, 10)], [(100, 100)])
row("sort", lambda f, x: f(x)[0], [distinct(4, 10)], [distinct(1000, 1000)])
row("topk", lambda f, x: f(x, 3)[0], [distinct(4, 10)], [distinct(1000, 1000)])
row("logsumexp", lambda f, x: f(x, 1), [(4, 10)], [(1000, 1000)])
row("std", lambda f, x: f(x, 1), [(4, 10)], [(1000, 1000)])
row("linalg.norm", lambda f, x: f(x, dim=1), [(4, 10)], [(1000, 1000)])
row("max", lambda f, x: f(x, 1)[0], [(4, 10)], [(1000, 1000)])
row("cdist", lambda f, x, y: f(x, y), [(4, 3), (5, 3)], [(300, 32), (200, 32)])

# -- picking and joining ---------------------------------------------------------------------------

row("gather", lambda f, x, i: f(x, 1, i), [(4, 10), integers(10, 4, 3)], [(1000, 1000), integers(1000, 1000, 500)])
row(
    "scatter", lambda f, x, i, y: f(x, 1, i, y),
    [(4, 10), integers(10, 4, 1), (4, 1)], [(1000, 1000), integers(1000, 1000, 1), (1000, 1)],
)
row(
    "scatter_add", lambda f, x, i, y: f(x, 1, i, y),
    [(4, 10), integers(10, 4, 3), (4, 3)], [(1000, 100), integers(100, 1000, 500), (1000, 500)],
)
row("index_select", lambda f, x, i: f(x, 0, i), [(4, 10), integers(4, 3)], [(1000, 1000), integers(1000, 500)])
row(
    "index_add", lambda f, x, i, y: f(x, 0, i, y),
    [(4, 10), integers(4, 3), (3, 10)], [(1000, 64), integers(1000, 5000), (5000, 64)],
)
row("masked_fill", lambda f, x, m: f(x, m > 0, 0.0), [(4, 10), integers(2, 4, 10)], [(1000, 1000), integers(2, 1000, 1000)])
row(
    "where", lambda f, x, y, m: f(m > 0, x, y),
    [(4, 10), (4, 10), integers(2, 4, 10)], [(1000, 1000), (1000, 1000), integers(2, 1000, 1000)],
)
row("cat", lambda f, x, y: f([x, y]), [(4, 10), (4, 10)], [(1000, 1000)] * 2)
row("stack", lambda f, x, y: f([x, y]), [(4, 10), (4, 10)], [(1000, 1000)] * 2)
row("chunk", lambda f, x: f(x, 2)[1], [(4, 10)], [(1000, 1000)])
row("split", lambda f, x: f(x, 2)[0], [(4, 10)], [(1000, 1000)])
row("unbind", lambda f, x: f(x)[0], [(4, 10)], [(100, 100)])
row("Tensor.expand", lambda f, x: f(x, 4, -1, -1), [(4, 10)], [(500, 500)])
row("Tensor.repeat", lambda f, x: f(x, 2, 3), [(4, 10)], [(300, 300)])
row("roll", lambda f, x: f(x, 1, 0), [(4, 10)], [(1000, 1000)])
row("tril", lambda f, x: f(x), [(4, 4)], [(1000, 1000)])
row("flip", lambda f, x: f(x, (0,)), [(4, 10)], [(1000, 1000)])

# -- products and matrices -------------------------------------------------------------------------

row("einsum", lambda f, x, y: f("bij,bjk->bik", x, y), [(2, 3, 4), (2, 4, 5)], [(16, 64, 64), (16, 64, 64)])
row("bmm", lambda f, x, y: f(x, y), [(2, 3, 4), (2, 4, 5)], [(16, 64, 64), (16, 64, 64)])
row("linalg.solve", lambda f, a, b: f(a, b), [matrices(4, 4), normal(4, 2)], [matrices(200, 200), normal(200, 20)])
row("linalg.inv", lambda f, a: f(a), [matrices(4, 4)], [matrices(200, 200)])
row("linalg.det", lambda f, a: f(a), [matrices(4, 4)], [matrices(64, 8, 8)])
row("linalg.cholesky", lambda f, a: f(a), [matrices(4, 4, symmetric=True)], [matrices(200, 200, symmetric=True)])
row("linalg.svd", lambda f, a: f(a, full_matrices=False)[1], [normal(4, 3)], [normal(100, 80)])
row("linalg.eigh", lambda f, a: f(a)[0], [matrices(4, 4, symmetric=True)], [matrices(100, 100, symmetric=True)])
row("linalg.qr", lambda f, a: f(a)[1], [normal(4, 3)], [normal(200, 100)])
row("fft.fft", lambda f, x: f(x).abs(), [(4, 10)], [(100, 1024)])

# -- making tensors, mixing dtypes -----------------------------------------------------------------

row("mul", lambda f, x, y: f(x, y), [(4, 10), normal(4, 10)], [(1000, 1000), normal(1000, 1000)], "mixed dtypes")
row("add", lambda f, x, y: f(x, y), [(4, 10), integers(9, 4, 10)], [(1000, 1000), integers(9, 1000, 1000)], "mixed kinds")
row("randn", lambda f: f(4, 10), [], [], "randn 4x10")
row("randn", lambda f: f(1000, 1000), [], [], "randn 1000x1000")
row("rand", lambda f: f(1000, 1000), [], [], "rand 1000x1000")
row("arange", lambda f: f(10), [], [])
row("zeros", lambda f: f(4, 10), [], [])
row("tensor", lambda f: f([[1.0, 2.0], [3.0, 4.0]]), [], [])
