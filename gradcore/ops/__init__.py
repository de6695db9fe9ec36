"""The operations as torch spells them: they normalise arguments and compose primitives.

Those that most programs use are imported here, the rest of `later.MODULES` when one of them is first asked for.
"""

from importlib import import_module
from typing import Any

from gradcore.ops import (
    complex_numbers,
    conversion,
    creation,
    filling,
    indexing,
    operators,
    pointwise,
    protocols,
    reductions,
)
from gradcore.ops.later import METHODS as METHODS
from gradcore.ops.later import MODULES
from gradcore.ops.registry import functions as functions
from gradcore.ops.registry import methods, namespaces
from gradcore.recorder.value import result_type


def load() -> None:
    """Import all the operations there are."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")


def _load(name: str) -> None:
    """Import the modules that have an operation called `name`, in whatever namespace; wait if another thread is doing so."""
    for module, names in MODULES.items():
        if name in names and name in names.split():
            import_module(f"{__name__}.{module}")


def function(namespace: str, name: str) -> Any:
    """The public function `name` of one of torch's namespaces. Raises AttributeError if there is none."""
    _load(name)
    try:
        return functions[namespace][name]
    except KeyError:
        from gradcore.ops.left_out import why

        module = f"gradcore.{namespace}".rstrip(".")
        raise AttributeError(f"module '{module}' has no attribute '{name}'{why(namespace, name)}") from None


def method(name: str) -> Any:
    """The method or property `name` of Tensor, which has it."""
    _load(name)
    return methods[name]


class Later:
    """A method or property of Tensor, of an operation that is not loaded yet.

    `__getattr__` would do without a list of names, but Python reads every attribute of a class that has one slower.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        self._load()
        return getattr(result_type[0] if tensor is None else tensor, self.name)

    def __set__(self, tensor: Any, value: Any) -> None:
        self._load()
        setattr(tensor, self.name, value)

    def __delete__(self, tensor: Any) -> None:
        self._load()
        delattr(tensor, self.name)

    def _load(self) -> None:
        setattr(result_type[0], self.name, method(self.name))


def __getattr__(name: str) -> Any:
    if name == "aten":
        return import_module(f"{__name__}.aten")
    if name in namespaces:
        return namespaces[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
