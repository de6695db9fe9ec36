"""Weights as a length times a direction (Salimans and Kingma, 2016), by a hook before each call. It must know no layer."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from gradcore.linalg import vector_norm
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter, is_lazy
from gradcore.ops.registry import label
from gradcore.tensor import Tensor

M = TypeVar("M", bound=Module)


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The norms of the slices of `v` along `dim`, which alone keeps its length; of all of `v` for -1."""
    if dim == -1:
        return vector_norm(v)
    return vector_norm(v, 2, [i for i in range(v.ndim) if i != dim % v.ndim], keepdim=True)


def weight_of(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """The weight of direction `v` and lengths `g` of its slices along `dim`."""
    made = v * (g / norm_except_dim(v, dim))
    if dim in (0, v.ndim - 1):
        label(made, "WeightNormInterfaceBackward0", (v, g))
    return made


class WeightNorm:
    """The hook that computes the weight `name` before each call."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight of the lengths and directions as they are."""
        return weight_of(getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Put the hook on `module`."""
        warnings.warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        others = [hook.call for hook in module._forward_pre_hooks.values() if isinstance(hook.call, WeightNorm)]
        if any(other.name == name for other in others):
            raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy forward "
                "before applying weight normalization"
            )
        del module._parameters[name]
        module.register_parameter(f"{name}_g", Parameter(norm_except_dim(weight.data, hook.dim)))
        module.register_parameter(f"{name}_v", Parameter(weight.data))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Let the weight be a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"]
        del module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Split a weight into parameters of its lengths (`name`_g) and directions (`name`_v), and return the module.

    The lengths are those of slices along `dim`, or one for None. Deprecated: `parametrizations.weight_norm` does the same.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo `weight_norm`; the weight keeps its value. Raises ValueError if there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook.call, WeightNorm) and hook.call.name == name:
            hook.call.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
