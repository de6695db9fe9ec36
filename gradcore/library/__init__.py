"""torch.library: operators of one's own, with kernels by device, a derivative and a rule for batches. It must not know any
primitive.

An operator is called by its schema and runs an `autograd.Function` around its kernel: there is nothing else to it.
"""

from typing import Any as _Any
from warnings import warn as _warn

from gradcore.library.checks import OpCheckError as OpCheckError
from gradcore.library.checks import get_ctx, opcheck
from gradcore.library.custom import (
    CustomOpDef,
    custom_op,
    get_kernel,
    register_autocast,
    register_autograd,
    register_fake,
    register_kernel,
    register_torch_dispatch,
    register_vmap,
    triton_op,
    wrap_triton,
)  # fmt: skip
from gradcore.library.inference import infer_schema
from gradcore.library.libraries import Library, define, impl
from gradcore.library.operators import fallthrough_kernel

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "fallthrough_kernel", "get_ctx", "get_kernel", "impl", "impl_abstract",
    "infer_schema", "opcheck", "register_autocast", "register_autograd", "register_fake", "register_kernel",
    "register_torch_dispatch", "register_vmap", "triton_op", "wrap_triton",
]  # fmt: skip


def impl_abstract(qualname: _Any, func: _Any = None, *, lib: Library | None = None, _stacklevel: int = 1) -> _Any:
    """Do what `register_fake` does, under its old name, and say so."""
    _warn(
        "`torch.library.impl_abstract` was renamed to `torch.library.register_fake`. Please use that instead; we will "
        "remove `torch.library.impl_abstract` in a future version of PyTorch.",
        FutureWarning,
        stacklevel=2,
    )
    return register_fake(qualname, func, lib=lib)
