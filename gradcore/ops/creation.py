"""Making tensors. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes
from gradcore.ops.registry import functions
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a leaf from nested sequences, numbers or an array, copying."""
    F = devices.backend(device)
    import numpy as np
    a = np.array(data if not isinstance(data, Value) else data._array)
    if dtype is None:
        if a.dtype == np.float64 and not isinstance(data, np.ndarray): a = a.astype(dtypes.get_default_dtype().numpy)
    else: a = a.astype(dtypes.as_dtype(dtype).numpy)
    out = wrap(F.from_host(a))
    return out.requires_grad_() if requires_grad else out


def ones(*size, dtype=None, device=None, requires_grad=False):
    F = devices.backend(device)
    out = wrap(F.ones(size, (dtype or dtypes.get_default_dtype()).numpy))
    return out.requires_grad_() if requires_grad else out

functions[""].update(tensor=tensor, ones=ones)
as_tensor = empty = tensor
