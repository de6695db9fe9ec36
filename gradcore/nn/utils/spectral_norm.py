"""Weights divided by their largest singular value (Miyato et al., 2018), by a hook before each call.

It must not know what the layers do, only which of their weights have the outputs second.
"""

from __future__ import annotations

from typing import Any, TypeVar

from gradcore.graph.modes import no_grad
from gradcore.linalg import multi_dot, pinv
from gradcore.nn import functional as F
from gradcore.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter, is_lazy
from gradcore.tensor import Tensor

M = TypeVar("M", bound=Module)


def outputs_of(module: Module) -> int:
    """The dimension of the weights that counts the outputs."""
    return int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))


def matrix_of(weight: Tensor, dim: int) -> Tensor:
    """A weight as a matrix whose rows are its slices along `dim`."""
    return weight.movedim(dim, 0).flatten(1)  # type: ignore[no-any-return]


def check_iterations(count: int) -> None:
    """Raise ValueError unless the number of iterations is positive."""
    if count <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={count}")


def step(matrix: Tensor, source: Tensor, target: Tensor, eps: float) -> None:
    """Write the direction of `matrix @ source` into `target`: half a step of power iteration."""
    target.copy_(F.normalize(matrix.mv(source), dim=0, eps=eps))


class SpectralNorm:
    """The hook that computes the weight `name` before each call; in training it improves the singular vectors first."""

    _version = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        check_iterations(n_power_iterations)
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight, after power iteration if wanted, which changes the vectors in place."""
        weight, u, v = (getattr(module, f"{self.name}_{suffix}") for suffix in ("orig", "u", "v"))
        matrix = matrix_of(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    step(matrix.t(), u, v, self.eps)
                    step(matrix, v, u, self.eps)
                u, v = u.clone(), v.clone()  # the next call changes them, and a graph may have them still
        return weight / u.dot(matrix.mv(v))  # type: ignore[no-any-return]

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Put the hook on `module`."""
        others = [hook.call for hook in module._forward_pre_hooks.values() if isinstance(hook.call, SpectralNorm)]
        if any(other.name == name for other in others):
            raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `SpectralNorm` can't have uninitialized parameters. Make sure to run the dummy "
                "forward before applying spectral normalization"
            )
        with no_grad():
            vectors = [
                F.normalize(weight.new_empty(n).normal_(0, 1), dim=0, eps=eps) for n in matrix_of(weight, dim).shape
            ]
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)
        for suffix, vector in zip("uv", vectors, strict=True):
            module.register_buffer(f"{name}_{suffix}", vector)
        module.register_forward_pre_hook(hook)
        module.register_state_dict_post_hook(_NoteVersion(hook))
        module.register_load_state_dict_pre_hook(_TakeOldState(hook))
        return hook

    def remove(self, module: Module) -> None:
        """Let the weight be a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, f"{self.name}{suffix}")
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))


class _NoteVersion:
    """Writes the version of the hook into the metadata of a state_dict."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        key, versions = f"{self.fn.name}.version", local_metadata.setdefault("spectral_norm", {})
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.fn._version


class _TakeOldState:
    """Finds the second vector of states that were saved, with the weight, before there was one."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self, module: Module, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], strict: bool,
        missing: list[str], *others: Any,
    ) -> None:  # fmt: skip
        fn, key = self.fn, prefix + self.fn.name
        version = metadata.get("spectral_norm", {}).get(f"{fn.name}.version")
        if version is not None and version >= 1:
            return
        if version is None and all(key + s in state_dict for s in ("_orig", "_u", "_v")) and key not in state_dict:
            return  # only the metadata is missing
        lacking = [key + s for s in ("_orig", "", "_u") if key + s not in state_dict]
        if lacking:
            missing.extend(lacking if strict else [])
            return
        with no_grad():
            original, u = state_dict[f"{key}_orig"], state_dict[f"{key}_u"]
            sigma = (original / state_dict.pop(key)).mean()
            matrix = matrix_of(original, fn.dim)
            # u has the direction of W v, and u W v is sigma.
            v = multi_dot([pinv(matrix.t().mm(matrix)), matrix.t(), u.unsqueeze(1)]).squeeze(1)
            state_dict[f"{key}_v"] = v * (sigma / u.dot(matrix.mv(v)))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, estimated by power iteration in each call, and return the module.

    The weight counts as a matrix with rows along `dim`, by default that of the outputs.
    """
    SpectralNorm.apply(module, name, n_power_iterations, outputs_of(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo `spectral_norm`; the weight keeps its value. Raises ValueError if there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook.call, SpectralNorm) and hook.call.name == name:
            hook.call.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for hooks, kind in ((module._state_dict_hooks, _NoteVersion), (module._load_state_dict_pre_hooks, _TakeOldState)):
        for key, hook in list(hooks.items()):
            if isinstance(hook.call, kind) and hook.call.fn.name == name:
                del hooks[key]
    return module
