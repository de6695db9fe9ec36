"""Hooks of all modules at once, as torch.nn.modules.module has them. It must not know any module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore.nn.modules.hooks import Hook, add, asking, register_everywhere
from gradcore.recorder.hooks import RemovableHandle

Call = Callable[..., Any]


def register_module_forward_pre_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, args)` before each forward of every module; see `Module.register_forward_pre_hook`."""
    return register_everywhere("_forward_pre_hooks", Hook(hook))


def register_module_forward_hook(hook: Call, *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """Call `hook(module, args, output)` after each forward of every module; see `Module.register_forward_hook`."""
    return register_everywhere("_forward_hooks", Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, grad_output)` in each backward of every module; see `Module.register_full_backward_pre_hook`."""
    return register_everywhere("_backward_pre_hooks", Hook(hook))


def register_module_full_backward_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` in each backward of every module; see Module's."""
    return register_everywhere("_backward_hooks", Hook(hook))


def register_module_parameter_registration_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, name, param)` when a parameter is registered; what it returns, if anything, is."""
    return add(asking["parameter"], Hook(hook))


def register_module_buffer_registration_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, name, buffer)` when a buffer is registered; what it returns, if anything, is."""
    return add(asking["buffer"], Hook(hook))


def register_module_module_registration_hook(hook: Call) -> RemovableHandle:
    """Call `hook(module, name, submodule)` when a child is registered; what it returns, if anything, is."""
    return add(asking["module"], Hook(hook))
