"""Operators that users define: their kernels by device, and the choice among them. It must not know how they came here.

An operator is called by what is there: a kernel of an Autograd key, else a registered derivative around the kernel of the
device, else a composition. "Meta" is the key of the implementation that tells shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Final, NamedTuple, NoReturn

from gradcore.devices import device
from gradcore.graph import modes
from gradcore.library import derivatives
from gradcore.library.schema import Schema, SchemaMismatch, tensors_in
from gradcore.ops.registry import namespaces
from gradcore.recorder import inplace

Kernel = Callable[..., Any]

COMPOSED: Final = "CompositeImplicitAutograd"
EVERYWHERE: Final = "CompositeExplicitAutograd"
KEYS: Final = ("CPU", "CUDA", "Meta", "Autograd", "AutogradCPU", "AutogradCUDA", EVERYWHERE, COMPOSED)

# By the full name of an operator (which may be defined later) and by key: the kernel registered last is the one that runs.
kernels: Final[dict[str, dict[str, list[Kernel]]]] = {}
packets: Final[dict[str, OpOverloadPacket]] = {}


class Derivative(NamedTuple):
    """What `register_autograd` was given, or Nones if there is none yet."""

    backward: Kernel | None = None
    setup_context: Kernel | None = None


def fallthrough_kernel() -> NoReturn:
    """Stand for "no kernel here" in `Library.impl`. Raises NotImplementedError if it is called."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


class OpOverload:
    """An operator with one schema: `gradcore.ops.mylib.foo.default`."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.namespace, self._opname = schema.name.split("::")
        self._overloadname = schema.overload_name or "default"
        self.derivative: Derivative | None = None
        self.vmap_rule: Kernel | None = None
        self._function: Any = None
        self._inside: set[int] = set()  # the threads that run its kernel of an Autograd key

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.namespace}.{self._opname}', overload='{self._overloadname}')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self._opname}.{self._overloadname}"

    @property
    def __name__(self) -> str:
        return f"{self._opname}.{self._overloadname}"

    def name(self) -> str:
        """The name with its namespace and, if it is not the default one, that of the overload."""
        return self._schema.qualified

    @property
    def overloadpacket(self) -> OpOverloadPacket:
        """All overloads of the name."""
        return packets[self._schema.name]

    def registered(self, key: str) -> Kernel | None:
        """The kernel registered for exactly `key`."""
        stack = kernels.get(self.name(), {}).get(key)
        return stack[-1] if stack else None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the operator. Raises RuntimeError for arguments that its schema does not take."""
        values, named = self._schema.bind(args, kwargs)
        where = self._where(values, named)
        own = self.registered(f"Autograd{where}") or self.registered("Autograd")
        if own is not None:
            return self._by(own, values, named)
        if self.derivative is not None:
            return derivatives.recorded(self, values, named)
        composed = self.has_derivative(where)
        if modes.unusual and (self.vmap_rule is not None or not composed):
            done = derivatives.mapped(self, values, named)
            if done is not NotImplemented:
                return done
        return self.below(values, named) if composed else derivatives.unregistered(self, values, named)

    def _by(self, own: Kernel, values: Sequence[Any], named: dict[str, Any]) -> Any:
        """Run a kernel of an Autograd key: where it calls the operator again, that is the kernel of the device."""
        thread = get_ident()
        if own is fallthrough_kernel or thread in self._inside:
            return self.below(values, named)
        self._inside.add(thread)
        try:
            return self.run(own, values, named)
        finally:
            self._inside.discard(thread)

    def has_derivative(self, where: str) -> bool:
        """Whether gradients through it are somebody's intention: of a formula, or of a composition."""
        if self.derivative is not None or any(self.registered(key) for key in (f"Autograd{where}", "Autograd")):
            return True
        return self.registered(COMPOSED) is not None and not any(self.registered(key) for key in (where, EVERYWHERE))

    def below(self, values: Sequence[Any], named: dict[str, Any]) -> Any:
        """Run the kernel of the device, and say of what it writes that it was written."""
        kernel = self.kernel(self._where(values, named))
        given = [*values, *named.values()]
        for each, value in zip(self._schema.arguments, given, strict=True):
            if each.type.is_write:
                for t in tensors_in([value]):
                    inplace.bump(t, self._schema.name)
        return self.run(kernel, values, named)

    def run(self, kernel: Kernel, values: Sequence[Any], named: dict[str, Any]) -> Any:
        """What `kernel` returns, if it is what the schema says."""
        args, keywords = self._schema.given(values, named)
        return self._schema.checked(kernel(*args, **keywords))

    def kernel(self, where: str) -> Kernel:
        """What runs on the device `where`, "CPU" or "CUDA". Raises NotImplementedError if nothing does."""
        for key in (where, EVERYWHERE, COMPOSED):
            found = self.registered(key)
            if found is not None and found is not fallthrough_kernel:
                return found
        there = sorted(key for key, stack in kernels.get(self.name(), {}).items() if stack)
        if not any(each.type.core.kind == "Tensor" for each in self._schema.arguments):
            raise RuntimeError(
                f"{self._opname} does not have a kernel registered for {where.lower()}. Please use register_kernel to do so."
            )
        raise NotImplementedError(
            f"Could not run '{self.name()}' with arguments from the '{where}' backend: '{self.name()}' is only available "
            f"for these backends: [{', '.join(there)}]. Use register_kernel to add one."
        )

    @staticmethod
    def _where(values: Sequence[Any], named: dict[str, Any]) -> str:
        given = [*values, *named.values()]
        types = [t.device.type for t in tensors_in(given)] or [each.type for each in given if isinstance(each, device)]
        return "CUDA" if "cuda" in types else types[0].upper() if types else "CPU"


class OpOverloadPacket:
    """The overloads of one name: `gradcore.ops.mylib.foo`. A call runs the first whose schema takes the arguments."""

    def __init__(self, name: str) -> None:
        self._qualified_op_name = name
        self._overloads: dict[str, OpOverload] = {}

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self}')>"

    def __str__(self) -> str:
        return self._qualified_op_name.replace("::", ".")

    def overloads(self) -> list[str]:
        """The names of the overloads."""
        return list(self._overloads)

    def __getattr__(self, name: str) -> OpOverload:
        overloads = self.__dict__.get("_overloads", {})
        if name in overloads:
            found: OpOverload = overloads[name]
            return found
        raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'")

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the overload that takes the arguments. Raises RuntimeError if none does."""
        overloads = list(self._overloads.values())
        if len(overloads) == 1:
            return overloads[0](*args, **kwargs)
        reasons = []
        for op in overloads:
            try:
                op._schema.bind(args, kwargs)
            except SchemaMismatch as error:
                reasons.append(str(error))
            else:
                return op(*args, **kwargs)
        raise RuntimeError(
            "\n\n".join(["Overloaded torch operator invoked from Python failed to match any schema:", *reasons])
        )


class OpNamespace:
    """The operators of one namespace: `gradcore.ops.mylib`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<namespace 'gradcore.ops.{self.name}'>"

    def __getattr__(self, name: str) -> OpOverloadPacket:
        packet = packets.get(f"{self.__dict__.get('name')}::{name}")
        if packet is None:
            raise AttributeError(f"'_OpNamespace' '{self.__dict__.get('name')}' object has no attribute '{name}'")
        return packet

    def __dir__(self) -> list[str]:
        mine = f"{self.name}::"
        return ["name", *(each.removeprefix(mine) for each in packets if each.startswith(mine))]


def parse_namespace(qualname: str) -> tuple[str, str]:
    """The namespace and the name in "namespace::name". Raises ValueError."""
    parts = qualname.split("::")
    if len(parts) != 2:
        raise ValueError(
            f'Expected `qualname` to be of the form "namespace::name", but got {qualname}. The qualname passed to the '
            "torch.library APIs must consist of a namespace and a name, e.g. aten::sin"
        )
    return parts[0], parts[1]


def lookup(qualname: str) -> OpOverload:
    """The operator of that name, "mylib::foo" or "mylib::foo.overload". Raises AttributeError if there is none."""
    namespace, name = parse_namespace(qualname)
    packet, _, overload = name.partition(".")
    found: OpOverload = getattr(getattr(namespaces.get(namespace) or OpNamespace(namespace), packet), overload or "default")
    return found
