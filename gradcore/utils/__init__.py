"""torch.utils: `checkpoint`, `data`, `deterministic`, `dlpack` and `hooks`. It must not know any operation."""

from importlib import import_module as _import_module
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    if name in {"checkpoint", "data", "deterministic", "dlpack", "hooks"}:
        return _import_module(f"gradcore.utils.{name}")
    raise AttributeError(f"module 'gradcore.utils' has no attribute '{name}'")
