"""The operations as torch spells them: they normalise arguments and compose primitives.

Those that most programs use are imported here; `later` has the rest, and is imported when a name is not found.
"""

from importlib import import_module
from typing import Any, Final

from gradcore.ops import (
    assigning,
    comparison,
    complex_numbers,
    conversion,
    creation,
    exports,
    filling,
    indexing,
    operators,
    pointwise,
    products,
    protocols,
    reductions,
    shaping,
)
from gradcore.ops.registry import functions as functions
from gradcore.ops.registry import methods

LATER: Final = (
    "activations",
    "convolution",
    "counting",
    "cumulative",
    "differences",
    "distance_losses",
    "distances",
    "distributions",
    "einsum",
    "elimination",
    "embedding",
    "factorizations",
    "gates",
    "joining",
    "least_squares",
    "linalg",
    "linear",
    "losses",
    "masked",
    "masks",
    "matrix_products",
    "normalization",
    "norms",
    "ordering",
    "padding",
    "pooling",
    "positions",
    "quantiles",
    "queries",
    "rare_pointwise",
    "reflections",
    "sampling",
    "scatter",
    "selection",
    "softmax",
    "sorting",
    "strides",
)


def load() -> None:
    """Import all the operations there are."""
    for module in LATER:
        import_module(f"{__name__}.{module}")


def function(namespace: str, name: str) -> Any:
    """The public function `name` of one of torch's namespaces. Raises AttributeError if there is none."""
    if name not in functions[namespace] and not name.startswith("__"):
        load()
    try:
        return functions[namespace][name]
    except KeyError:
        module = f"gradcore.{namespace}".rstrip(".")
        raise AttributeError(f"module '{module}' has no attribute '{name}'") from None


def method(name: str) -> Any:
    """The method or property `name` of Tensor. Raises AttributeError if there is none."""
    if name not in methods and not name.startswith("_"):
        load()
    try:
        return methods[name]
    except KeyError:
        raise AttributeError(f"'Tensor' object has no attribute '{name}'") from None
