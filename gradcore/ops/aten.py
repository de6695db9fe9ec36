"""torch.ops.aten: operations by torch's names, to tell one from another. It must not know what any of them does.

They are those of the recorder: what a node is called says which of torch's kernels its primitive does the work of. A
composition of several has no name of its own here.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from gradcore.ops.registry import functions
from gradcore.recorder.primitive import Primitive, aliases, registry

# torch's names of kernels where they are not those of their nodes.
_OTHERWISE: Final = {"nll_loss_forward": "nll_loss", "native_layer_norm": "standardize", "_to_copy": "convert"}


def aten_name(node_name: str) -> str:
    """torch's name of an operation from its node's: log_softmax for LogSoftmaxBackward0."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node_name.partition("Backward")[0]).lower()


def _canonical(name: str) -> str:
    return _OTHERWISE.get(name, name.strip("_"))


class OpOverload:
    """One operation; equal to its other overloads, and to its form in place."""

    def __init__(self, name: str, overload: str = "default") -> None:
        self._name, self._overload, self._canonical = name, overload, _canonical(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpOverload) and other._canonical == self._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the function of this name. Raises AttributeError if there is no public one."""
        from gradcore.ops import function

        namespace = next((each for each in ("", "nn.functional") if self._canonical in functions[each]), "")
        return function(namespace, self._canonical)(*args, **keywords)

    def name(self) -> str:
        """The name with torch's namespace."""
        return f"aten::{self._name}" + ("" if self._overload == "default" else f".{self._overload}")

    def __repr__(self) -> str:
        return f"<OpOverload(op='aten.{self._name}', overload='{self._overload}')>"

    def __str__(self) -> str:
        return f"aten.{self._name}.{self._overload}"


class OpOverloadPacket:
    """All overloads of one operation: its attributes are the overloads, `default` and others."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> OpOverload:
        if name.startswith("__"):
            raise AttributeError(name)
        return OpOverload(self._name, name)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.default(*args, **keywords)

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self._name}')>"

    def __str__(self) -> str:
        return f"aten.{self._name}"


@functools.cache
def overload_of(op: Primitive) -> OpOverload:
    """The operation that a primitive is."""
    return OpOverload(aten_name(op.node_name))


def _is_known(name: str) -> bool:
    """Whether a primitive is called so; what has not been imported yet is looked through last."""
    from gradcore.ops import load

    if name == "detach" or name in _names():
        return True
    registry.load()
    load()
    return name in _names()


def _names() -> set[str]:
    nodes = (*aliases, *(op.node_name for op in registry.values()))
    return {_canonical(aten_name(node)) for node in nodes}


def __getattr__(name: str) -> OpOverloadPacket:
    if name.startswith("__") or not _is_known(_canonical(name)):
        raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}' (no single operation has this name)")
    return OpOverloadPacket(name)
