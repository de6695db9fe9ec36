"""Expressions over nn.functional, evaluated in either library on fresh data. It must not know which ones.

`t` draws a leaf of normal numbers that needs a gradient, `u` one of numbers in (0, 1), `x` makes one of given numbers,
`c` draws a constant, `i` integers below its first argument; `keep` has a tensor compared at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

SEED = int(os.environ.get("GRADCORE_SEED", 0)) or int(np.random.SeedSequence().generate_state(1)[0])


class Space(dict[str, Any]):
    """The names an expression may use, over one library; `made` makes tensors of arrays its own way."""

    def __init__(self, library: Any, made: Callable[[Any], Any] | None = None) -> None:
        self.library, self.made, self.rng = library, made, np.random.default_rng(SEED)
        self.leaves: list[Any] = []
        self.kept: dict[str, Any] = {}
        super().__init__(
            torch=library, F=library.nn.functional, t=self.t, u=self.u, x=self.x, c=self.c, i=self.i, keep=self.keep
        )

    def drawn(self, values: Any, dtype: str = "float64") -> Any:
        if self.made is not None:
            return self.made(np.asarray(values, dtype))
        return self.library.tensor(np.asarray(values).tolist(), dtype=getattr(self.library, dtype)).reshape(np.shape(values))

    def leaf(self, values: Any, dtype: str) -> Any:
        self.leaves.append(self.drawn(values, dtype).requires_grad_())
        return self.leaves[-1]

    def t(self, *shape: int, dtype: str = "float64") -> Any:
        return self.leaf(self.rng.normal(size=shape) * 2, dtype)

    def u(self, *shape: int, dtype: str = "float64") -> Any:
        return self.leaf(self.rng.uniform(0.05, 0.95, size=shape), dtype)

    def x(self, values: Any) -> Any:
        return self.leaf(values, "float64")

    def c(self, *shape: int, dtype: str = "float64") -> Any:
        return self.drawn(self.rng.uniform(0.5, 1.5, size=shape), dtype)

    def i(self, high: int, *shape: int) -> Any:
        return self.drawn(self.rng.integers(0, high, size=shape), "int64")

    def keep(self, tensor: Any) -> Any:
        """Compare what `tensor` holds in the end, too."""
        self.kept[str(len(self.kept))] = tensor
        return tensor


def evaluated(expression: str, space: Space) -> Any:
    """What the expression returns, the gradients of its leaves, and what it kept."""
    found = eval(expression, {}, space)
    outs = found if isinstance(found, tuple) else (found,)
    roots = [out for out in outs if out is not None and out.requires_grad]
    grads: Any = None
    if roots:
        seeds = [space.drawn(space.rng.normal(size=tuple(out.shape)), str(out.dtype).rpartition(".")[2]) for out in roots]
        grads = space.library.autograd.grad(roots, space.leaves, seeds, allow_unused=True)
    return [found, grads, space.kept]
