"""All parameters as one vector, and back. It must not know any module."""

from __future__ import annotations

from collections.abc import Iterable

from gradcore.ops.joining import cat
from gradcore.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters one after the other; differentiable. Raises TypeError for several devices."""
    listed = list(parameters)
    _check_devices(listed, listed[0].device if listed else None)
    return cat([each.reshape(-1) for each in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let each parameter have a part of a vector for its values. Raises TypeError for what is no tensor."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__module__}.{type(vec).__qualname__}")
    listed = list(parameters)
    _check_devices(listed, listed[0].device if listed else None)
    start = 0
    for each in listed:
        each.data = vec[start : start + each.numel()].view(each.shape).data
        start += each.numel()


def _check_devices(parameters: list[Tensor], device: object) -> None:
    if any(each.device != device for each in parameters):
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
