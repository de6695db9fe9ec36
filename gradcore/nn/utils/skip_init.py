"""Modules made without drawing their first weights. It must not know any module."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from gradcore.generator import default_generator
from gradcore.nn.modules.module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """Make a module whose parameters and buffers have arbitrary values. Raises RuntimeError if it takes no `device`.

    The random stream stays as it is.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device, state = kwargs.pop("device", "cpu"), default_generator.get_state()
    try:
        return module_cls(*args, **kwargs, device="cpu").to_empty(device=device)
    finally:
        default_generator.set_state(state)
