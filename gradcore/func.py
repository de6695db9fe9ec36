"""torch.func: functions of functions that differentiate and vectorise them, nested in any order. It must not know how.

They take Tensors in nested dicts, lists and tuples; or functions of plain NumPy or CuPy arrays, which come back as such.
`jacobian`, which torch.func has not, is `jacrev`; `hessian_diag` and `laplacian` are ours alone.
"""

from __future__ import annotations

from typing import Any

from gradcore.transforms.derivatives import grad, grad_and_value, jvp, linearize, vjp
from gradcore.transforms.jacobians import hessian, jacfwd, jacrev
from gradcore.transforms.looking import debug_unwrap, functionalize
from gradcore.transforms.mapping import vmap
from gradcore.transforms.modules import functional_call, stack_module_state
from gradcore.transforms.patterns import rearrange
from gradcore.transforms.second import hessian_diag, laplacian

jacobian = jacrev

__all__ = [
    "debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "hessian_diag", "jacfwd",
    "jacobian", "jacrev", "jvp", "laplacian", "linearize", "rearrange", "replace_all_batch_norm_modules_",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let every BatchNorm in `root` forget its running statistics, which `vmap` cannot update. Returns `root`, changed."""
    from gradcore.nn.modules.batchnorm import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
