"""The arguments of a transformed function: which are differentiated, and which stand beside them. It must not know how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore.recorder.value import Value
from gradcore.transforms import trees
from gradcore.transforms.mapping import as_value, of_arrays

Argnums = int | tuple[int, ...]


def _numbers(argnums: Any, n: int) -> tuple[int, ...]:
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in numbers:
        if not isinstance(i, int):
            raise RuntimeError(f"argnum must be int, got: {type(i)}")
        if not -n <= i < n:
            raise RuntimeError(f"Got argnum={i}, but only {n} positional inputs")
    numbers = tuple(i % n for i in numbers)
    if not numbers and n:
        raise RuntimeError("argnums must be non-empty")
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return numbers


class Arguments:
    """The arguments of a call, those among them that are differentiated with respect to, and their leaves."""

    def __init__(self, args: tuple[Any, ...], argnums: Any) -> None:
        self.numbers = _numbers(argnums, len(args))
        self.args = args
        self.single = not isinstance(argnums, tuple)
        chosen = tuple(args[i] for i in self.numbers)
        leaves, self.shape = trees.flat(chosen)
        self.arrays = of_arrays(leaves)
        self.leaves = list(map(as_value, leaves))

    def beside(self) -> list[Value]:
        """The tensors that are not differentiated with respect to."""
        rest = [leaf for i, a in enumerate(self.args) if i not in self.numbers for leaf in trees.leaves_of(a)]
        return [x for x in rest if isinstance(x, Value)]

    def replaced(self, leaves: Sequence[Any], beside: Sequence[Value] | None = None) -> list[Any]:
        """The arguments with other leaves, and with others for those `beside` them if they are given."""
        args = list(self.args)
        if beside is not None:
            rest = iter(beside)
            for i in set(range(len(args))).difference(self.numbers):
                args[i] = trees.mapped(lambda x: next(rest) if isinstance(x, Value) else x, args[i])
        for i, tree in zip(self.numbers, self.shape.tree(leaves), strict=True):
            args[i] = tree
        return args

    def tree(self, leaves: Sequence[Any]) -> Any:
        """`leaves` in the nesting of the differentiated arguments."""
        made = self.shape.tree(leaves)
        return made[0] if self.single else made
