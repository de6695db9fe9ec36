"""The modules themselves, under torch's names of their files. It must not know any derivative."""

from importlib import import_module as _import_module
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    # torch has all classes of nn here, too
    found = None if name.startswith("_") else vars(_import_module("gradcore.nn")).get(name)
    if isinstance(found, type):
        return found
    raise AttributeError(f"module 'gradcore.nn.modules' has no attribute '{name}'")
