"""Second derivatives without mixed ones: the diagonal of a Hessian, and its sum. It must not know any operation.

Forward mode twice along each unit array, some of them at a time: memory does not grow with the square of the input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from gradcore.recorder.primitive import registry
from gradcore.recorder.value import Value
from gradcore.transforms.arguments import Argnums, Arguments
from gradcore.transforms.derivatives import jvp
from gradcore.transforms.jacobians import basis, chunks, refuse_complex
from gradcore.transforms.mapping import as_given, as_value, name_of, program, vmap

Function = Callable[..., Any]


def hessian_diag(func: Function, argnums: Argnums = 0, *, chunk_size: int | None = None) -> Function:
    """Return a function that computes the second derivatives of `func` by each element alone: the Hessian's diagonal.

    For an output of shape S, the nesting of the arguments that `argnums` says, of shapes (*S, *argument). `chunk_size`
    limits how many elements are done at once. Raises RuntimeError for complex tensors.
    """

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        arguments = Arguments(args, argnums)
        found = []
        for j, x in enumerate(_checked("hessian_diag", arguments)):
            parts = list(_curvatures(func, arguments, j, chunk_size))
            whole = parts[0] if len(parts) == 1 else registry["concatenate"].function(*parts, axis=0)
            order = (*range(1, whole._array.ndim), 0)
            last = registry["transpose"].function(whole, axes=order)
            found.append(registry["reshape"].function(last, shape=(*last._array.shape[:-1], *x._array.shape)))
        return as_given(arguments.tree(found), arguments.arrays)

    return wrapper


def laplacian(func: Function, argnums: Argnums = 0, *, chunk_size: int | None = None) -> Function:
    """Return a function that computes the Laplacian of `func`: the sum of the Hessian's diagonal, in the output's shape.

    It sums over all elements of the arguments that `argnums` says. `chunk_size` limits how many are done at once. Raises
    RuntimeError for complex tensors.
    """

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        arguments = Arguments(args, argnums)
        add, total = registry["add"].function, None
        for j, _ in enumerate(_checked("laplacian", arguments)):
            for part in _curvatures(func, arguments, j, chunk_size):
                summed = registry["sum"].function(part, axis=(0,))
                total = summed if total is None else add(total, summed)
        return as_given(total, arguments.arrays)

    return wrapper


def _checked(api: str, arguments: Arguments) -> list[Value]:
    for x in arguments.leaves:
        if not isinstance(x, Value):
            raise ValueError(f"{api}: Thing passed to transform API must be Tensor, got {type(x)}")
    refuse_complex(api, arguments.leaves, "inputs")
    return arguments.leaves


def _curvatures(func: Function, arguments: Arguments, j: int, chunk_size: int | None) -> Iterator[Value]:
    """The second derivatives of the output by each element of leaf number `j`, which count along a new first axis."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("`chunk_size` should be greater than 0.")
    x = arguments.leaves[j]

    def along(unit: Value) -> Any:
        return _slope(lambda x: _slope(of_one, x, unit), x, unit)

    def of_one(x: Value) -> Any:
        leaves = [x if k == j else leaf for k, leaf in enumerate(arguments.leaves)]
        output = as_value(program(func, arguments.arrays)(*arguments.replaced(leaves)))
        if not isinstance(output, Value):
            raise RuntimeError(f"{name_of(func)}: Expected f(*args) to return one Tensor, got {type(output)}")
        refuse_complex(name_of(func), [output], "outputs")
        return output

    along.__name__ = name_of(func)
    for start, stop in chunks(x._array.size, chunk_size):
        yield vmap(along)(basis(x, start, stop))


def _slope(function: Function, x: Value, direction: Value) -> Any:
    return jvp(function, (x,), (direction,))[1]
