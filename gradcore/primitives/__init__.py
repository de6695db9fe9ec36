"""The mathematics: strict canonical functions, each with its derivatives beside it. It must not know torch's spelling.

Each module is a family of primitives. A module's function is the recorded one, of Tensors; in a rule, `F.NAME` is the same
primitive on raw arrays in a first-order sweep and on Tensors in a traced one. In a forward, `F` is the backend.

Most programs use few families, so each is imported by the operations that need it; `load` imports them all.
"""

from importlib import import_module
from typing import Final

from gradcore.recorder.primitive import registry

FAMILIES: Final = (
    "activations",
    "attention",
    "bessel",
    "bessel_orders",
    "beta",
    "comparison",
    "complex_parts",
    "conversion",
    "convolution",
    "counting",
    "cumulative",
    "distances",
    "dropout",
    "elementwise",
    "elimination",
    "embedding",
    "factorizations",
    "floating_point",
    "fourier",
    "gamma",
    "grids",
    "indexing",
    "joining",
    "linalg",
    "logarithms",
    "losses",
    "normalization",
    "padding",
    "pooling",
    "products",
    "reductions",
    "resampling",
    "segments",
    "selection",
    "shape",
    "softmax",
    "sorting",
    "special",
    "transcendental",
    "trellis",
)


def load() -> None:
    """Import every family."""
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")


# A rule may name a primitive of a family that nobody has imported yet.
registry.load = load
