"""The mathematics: strict canonical functions, each with its derivatives beside it. It must not know torch's spelling.

Each module is a family of primitives. A module's function is the recorded one, of Tensors; in a rule, `F.NAME` is the same
primitive on raw arrays in a first-order sweep and on Tensors in a traced one. In a forward, `F` is the backend.
"""

from gradcore.primitives import (
    activations,
    comparison,
    complex_parts,
    conversion,
    convolution,
    counting,
    cumulative,
    elementwise,
    embedding,
    factorizations,
    indexing,
    joining,
    linalg,
    losses,
    normalization,
    padding,
    pooling,
    products,
    reductions,
    selection,
    shape,
    softmax,
    sorting,
    transcendental,
)

__all__ = [
    "activations",
    "comparison",
    "complex_parts",
    "conversion",
    "convolution",
    "counting",
    "cumulative",
    "elementwise",
    "embedding",
    "factorizations",
    "indexing",
    "joining",
    "linalg",
    "losses",
    "normalization",
    "padding",
    "pooling",
    "products",
    "reductions",
    "selection",
    "shape",
    "softmax",
    "sorting",
    "transcendental",
]
