"""Gradients for the arrays people already have: PyTorch's autograd over NumPy and CuPy. See docs/architecture.md."""

from importlib import import_module as _import_module
from typing import Any as _Any

from gradcore import autograd, ops
from gradcore import dtypes as _dtypes
from gradcore.devices import device, get_default_device, set_default_device
from gradcore.dtypes import (
    bfloat16,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)
from gradcore.generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from gradcore.graph.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from gradcore.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    sparse_coo,
    sparse_csr,
    strided,
)
from gradcore.printing import get_printoptions, printoptions, set_printoptions
from gradcore.size import Size
from gradcore.tensor import Tensor

# torch's names for these hide Python's own, so they are not imported by name above.
bool, int, float = _dtypes.bool, _dtypes.int, _dtypes.float

# The operations. Namespaces and operations that most programs never use are imported when they are first asked for.
globals().update(ops.functions[""])


def __getattr__(name: str) -> _Any:
    if name in {"cuda", "linalg", "masked", "nn", "special"}:
        return _import_module(f"gradcore.{name}")
    return ops.function("", name)

__version__ = "0.1.0"
