"""torch.func: functions of functions that differentiate and vectorise them, nested in any order. It must not know how.

They take Tensors in nested dicts, lists and tuples; or functions of plain NumPy or CuPy arrays, which come back as such.
`jacobian`, which torch.func has not, is `jacrev`.
"""

from __future__ import annotations

from gradcore.transforms.derivatives import grad, grad_and_value, jvp, linearize, vjp
from gradcore.transforms.jacobians import hessian, jacfwd, jacrev
from gradcore.transforms.mapping import vmap
from gradcore.transforms.modules import functional_call, stack_module_state

jacobian = jacrev

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacobian", "jacrev", "jvp", "linearize",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip
