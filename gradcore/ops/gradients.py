"""Attributes of Tensors, about their gradients and hooks, that few programs use. It must not know any derivative."""

from __future__ import annotations

import warnings
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.registry import methods
from gradcore.recorder import hooks
from gradcore.recorder.grad_dtypes import choose

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _grad_fn_set(self: Tensor, value: None) -> None:
    if value is not None:
        raise RuntimeError(f"_grad_fn can be only set to None (got {type(value).__name__})")
    self.detach_()


def _grad_fn_deleted(self: Tensor) -> None:
    raise RuntimeError("Deletion of _grad_fn not allowed. Detach tensor instead!")


methods["_grad_fn"] = property(  # type: ignore[assignment]
    lambda self: self.grad_fn, _grad_fn_set, _grad_fn_deleted, "As `grad_fn`; None, when assigned, detaches the tensor."
)


# -- the hooks of a tensor, as dicts ----------------------------------------------------------------------------------


def _checked(self: Tensor, given: Any, name: str, of_leaves: str) -> None:
    if given is not None and not isinstance(given, MutableMapping):
        raise TypeError(f"{name} must be a dict of hooks by numbers, or None (got {type(given).__name__})")
    if given is not None and not self.is_leaf:
        raise RuntimeError(of_leaves)


def _backward_hooks_set(self: Tensor, given: Any) -> None:
    _checked(
        self, given, "_backward_hooks", "_backward_hooks can be assigned to leaf tensors only; this one has a grad_fn: use "
        "register_hook()"
    )  # fmt: skip
    hooks.set_hooks(self, given)


def _backward_hooks_deleted(self: Tensor) -> None:
    raise RuntimeError("Deletion of _backwards_hooks not allowed!")


methods["_backward_hooks"] = property(  # type: ignore[assignment]
    hooks.dict_of, _backward_hooks_set, _backward_hooks_deleted,
    "The hooks of `register_hook` by the ids of their handles, in a dict that may be changed; None before there were any.",
)  # fmt: skip


def _accumulated_set(self: Tensor, given: Any) -> None:
    _checked(
        self, given, "_post_accumulate_grad_hooks", "post accumulate grad hooks cannot be registered on non-leaf tensors"
    )
    hooks.set_accumulated(self, given)


def _accumulated_deleted(self: Tensor) -> None:
    raise RuntimeError("Deletion of _post_accumulate_grad_hooks not allowed!")


methods["_post_accumulate_grad_hooks"] = property(  # type: ignore[assignment]
    hooks.accumulated_of, _accumulated_set, _accumulated_deleted,
    "The hooks of `register_post_accumulate_grad_hook` by the ids of their handles; None before there were any.",
)  # fmt: skip


# -- the dtype of the gradient ----------------------------------------------------------------------------------------


def _grad_dtype(self: Tensor) -> dtypes.dtype | None:
    """The dtype that gradients of this leaf are converted to, by default its own; None takes them as they come.

    Raises RuntimeError for a non-leaf, for what is no dtype, and if there is a gradient of another dtype.
    """
    if not self.is_leaf:
        raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
    chosen = getattr(self, "_grad_dtype", self._array.dtype)
    return None if chosen is None else dtypes.of(chosen)


def _grad_dtype_set(self: Tensor, dtype: Any) -> None:
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise RuntimeError(f"grad_dtype must be a gradcore.dtype or None, but got {type(dtype).__name__}")
    if not self.is_leaf:
        raise RuntimeError("grad_dtype can only be set on leaf tensors.")
    kept = self.grad
    if dtype is not None and kept is not None and kept.dtype is not dtype:
        raise RuntimeError(
            f"Cannot set grad_dtype to '{dtype._title}' because there is already a gradient with dtype "
            f"'{kept.dtype._title.lower()}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure "
            "the new grad_dtype matches the existing gradient's dtype."
        )
    choose(self, None if dtype is None else dtype.numpy)


methods["grad_dtype"] = property(_grad_dtype, _grad_dtype_set, doc=_grad_dtype.__doc__)  # type: ignore[assignment]


# -- what torch once had ----------------------------------------------------------------------------------------------


def _volatile(self: Tensor) -> bool:
    warnings.warn("volatile was removed (Variable.volatile is always False)", UserWarning, stacklevel=2)
    return False


def _volatile_set(self: Tensor, value: Any = None) -> None:
    warnings.warn(
        "volatile was removed and now has no effect. Use `with gradcore.no_grad():` instead.", UserWarning, stacklevel=2
    )


methods["volatile"] = property(  # type: ignore[assignment]
    _volatile, _volatile_set, _volatile_set, "False, with a warning: use `no_grad` instead."
)


def reinforce(self: Tensor, reward: Any) -> None:
    """Raise RuntimeError: it was removed. A loss of log-probabilities does what it did."""
    raise RuntimeError(
        "reinforce() was removed. Sample an action, and differentiate its log-probability times the reward instead: "
        "action = probs.multinomial(1); loss = -probs.gather(-1, action).log() * reward; loss.sum().backward()"
    )


methods["reinforce"] = reinforce
