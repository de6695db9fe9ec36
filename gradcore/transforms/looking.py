"""What transforms show to those who look into them, and what they need not do. It must not know any operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradcore.recorder.value import Value, wrap
from gradcore.transforms.lifted import Lifted
from gradcore.transforms.tangents import Dual


def debug_unwrap(tensor: Any, *, recurse: bool = True) -> Any:
    """Return the tensor underneath one that `vmap` or `jvp` made: all of the batch, along the first dimension; the primal.

    Not to be computed with. With `recurse` it is the innermost one, else that of the next level. Raises TypeError for others
    than tensors.
    """
    if not isinstance(tensor, Value):
        raise TypeError(f"debug_unwrap(): argument 'tensor' must be a Tensor, not {type(tensor).__name__}")
    array: Any = tensor._array
    if not isinstance(array, Lifted):
        return tensor
    while isinstance(array, Lifted):
        array = array.primal if isinstance(array, Dual) else array.data
        if not recurse:
            break
    return wrap(array)


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Return `func`: torch's takes writes in place out of what is traced, and nothing is traced here.

    Raises RuntimeError unless `remove` is "mutations" or "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are: "
            "'mutations', 'mutations_and_views'"
        )
    return functools.wraps(func)(lambda *args, **keywords: func(*args, **keywords))
