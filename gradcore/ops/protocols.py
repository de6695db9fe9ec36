"""NumPy's protocols on Tensors: what answers when a NumPy function meets one. It must not know any function.

`numpy_calls` does the work and is imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from gradcore.backends import numpy as host
from gradcore.ops.registry import methods


def _ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
    return import_module("gradcore.ops.numpy_calls").ufunc(ufunc, method, inputs, keywords)


class _OfClass:
    """`__array_ufunc__` of the class, for NumPy, which asks the class; None of an instance on a device.

    CuPy asks the instance, and leaves `cupy_array * tensor` to the Tensor if the answer is None.
    """

    def __get__(self, tensor: Any, owner: Any = None) -> Callable[..., Any] | None:
        if tensor is None:
            return _ufunc
        return partial(_ufunc, tensor) if type(tensor._array) is host.Array else None


def __array_function__(self: Any, function: Any, types: Any, args: Any, keywords: Any) -> Any:
    return import_module("gradcore.ops.numpy_calls").function(function, types, args, keywords)


def __array_namespace__(self: Any, *, api_version: str | None = None) -> Any:
    """Return the array API standard's namespace, gradcore.ops.array_api. Raises ValueError for a version it is not of."""
    namespace = import_module("gradcore.ops.array_api")
    if api_version not in (None, *namespace.VERSIONS):
        raise ValueError(f"array API {api_version} is not known; there are {', '.join(namespace.VERSIONS)}")
    return namespace


def __cupy_override_elementwise_kernel__(self: Any, kernel: Any, *args: Any, **keywords: Any) -> Any:
    """What CuPy's functions of elements (`cupy.sin`) ask of an argument that is no array of CuPy's."""
    return import_module("gradcore.ops.numpy_calls").kernel(kernel, args, keywords)


methods["__cupy_override_elementwise_kernel__"] = __cupy_override_elementwise_kernel__
methods["__array_namespace__"] = __array_namespace__
methods["__array_ufunc__"] = _OfClass()  # type: ignore[assignment]
methods["__array_function__"] = __array_function__
