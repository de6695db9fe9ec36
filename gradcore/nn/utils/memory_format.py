"""Memory formats of convolutions' weights, which are accepted and change nothing. It must not know what layers compute."""

from __future__ import annotations

from typing import Any, TypeVar

from gradcore.nn.modules.module import Module

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Return the module: all tensors are in the order of their dimensions."""
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Return the module: all tensors are in the order of their dimensions."""
    return module
