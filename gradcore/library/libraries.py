"""Libraries of operators: a namespace, what is defined in it, and the kernels registered, for as long as they live. It must
not know what a kernel does.
"""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final

import gradcore.ops as internal
from gradcore.devices import device
from gradcore.library.inference import refuse_tags
from gradcore.library.operators import (
    COMPOSED,
    EVERYWHERE,
    KEYS,
    Kernel,
    OpNamespace,
    OpOverload,
    OpOverloadPacket,
    kernels,
    packets,
    parse_namespace,
)
from gradcore.library.reading import parse
from gradcore.library.schema import Schema
from gradcore.ops.registry import namespaces

_TORCHS: Final = ("aten", "prims")  # the namespaces of torch's own operators
_owned: Final[set[str]] = set()  # the namespaces with a library of kind "DEF"
_kept: Final[list[Library]] = []  # those that nobody else holds

Undo = Callable[[], None]


class Library:
    """A namespace of operators, or a part of one: what it defines and registers goes when it goes.

    `kind` is "DEF" for the one library of a namespace, "FRAGMENT" for one beside others, "IMPL" for one that only
    implements; `dispatch_key` is the key of its kernels if they name none. The operators are `gradcore.ops.<ns>.<name>`.
    Raises ValueError for other kinds and for namespaces that are taken, NotImplementedError for torch's own namespaces:
    the kernels of gradcore's operations cannot be replaced.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        if ns in _TORCHS or ns == "_":
            raise NotImplementedError(
                f"Library({ns!r}): gradcore's own operations have no kernels to replace or to fall back to; define an "
                "operator in a namespace of your own"
            )
        if kind != "IMPL" and _is_reserved(ns):
            raise ValueError(
                f"{ns} is a reserved namespace. Please try creating a library with another name. (Operators are names in "
                "gradcore.ops, which has modules of its own.)"
            )
        if kind == "DEF" and ns in _owned:
            raise RuntimeError(
                f"Only a single TORCH_LIBRARY can be used to register the namespace {ns}; define everything in one Library, "
                'or make others of kind "FRAGMENT"'
            )
        self.ns, self.kind, self.dispatch_key = ns, kind, _checked_key(dispatch_key) if dispatch_key else ""
        self._undos: list[Undo] = []
        self._alive = True
        namespaces.setdefault(ns, OpNamespace(ns))
        if kind == "DEF":
            _owned.add(ns)
            self._undos.append(lambda: _owned.discard(ns))
        self._end = weakref.finalize(self, _undo, self._undos)
        self._end.atexit = False

    def __repr__(self) -> str:
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Define an operator, "foo(Tensor x) -> Tensor", and return its name. Raises RuntimeError if it cannot be."""
        if alias_analysis not in ("", "FROM_SCHEMA", "CONSERVATIVE"):
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}")
        self._check()
        refuse_tags(tags)
        read = parse(schema)
        if self.kind == "IMPL":
            raise RuntimeError(
                f'def("{read.name}"): Cannot define an operator inside of a TORCH_LIBRARY_IMPL block. Make the Library of '
                'kind "DEF" or "FRAGMENT"'
            )
        name = self._qualified(read.name)
        self._add(OpOverload(Schema(name, read.overload_name, read.arguments, read.returns, read.names_of_returns)))
        return read.name

    def _add(self, op: OpOverload) -> None:
        name, overload = op._schema.name, op._overloadname
        packet = packets.setdefault(name, OpOverloadPacket(name))
        if overload in packet._overloads:
            raise RuntimeError(
                f"Tried to register an operator ({op._schema}) with the same name and overload name multiple times. Each "
                "overload's schema should only be registered with a single call to def()."
            )
        packet._overloads[overload] = op

        def undo() -> None:
            packet._overloads.pop(overload, None)
            if not packet._overloads:
                packets.pop(name, None)

        self._undos.append(undo)

    def impl(
        self,
        op_name: str | OpOverload,
        fn: Kernel,
        dispatch_key: str = "",
        *,
        with_keyset: bool = False,
        allow_override: bool = True,
    ) -> None:
        """Register a kernel of the operator `op_name` for a key: "CPU", "CUDA", "Autograd", "CompositeImplicitAutograd", ...

        `with_keyset` gives it the key as its first argument. Raises TypeError for what cannot be called, RuntimeError for
        unknown keys, and without `allow_override` if there is one already.
        """
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        if not isinstance(op_name, (str, OpOverload)):
            raise RuntimeError(
                f"impl should be passed either a name or an OpOverload object as the first argument, got {type(op_name)}"
            )
        name = self._qualified(op_name if isinstance(op_name, str) else op_name.name())
        self._check()
        key = _checked_key(dispatch_key or self.dispatch_key or COMPOSED)
        stack = kernels.setdefault(name, {}).setdefault(key, [])
        short = name.partition("::")[2]
        if key == "Meta" and kernels[name].get(COMPOSED):
            raise RuntimeError(
                f"We should not register a meta kernel directly to the operator '{short}', because it has a "
                "CompositeImplicitAutograd kernel in core."
            )
        if stack and not allow_override:
            raise RuntimeError(
                f"This is not allowed since there's already a kernel registered from python overriding {short}'s behavior "
                f"for {key} dispatch key and {self.ns} namespace."
            )
        if stack and key != "Meta":
            warnings.warn(
                f"Overriding a previously registered kernel for the same operator ({name}) and dispatch key ({key})",
                UserWarning,
                stacklevel=2,
            )
        self._register(stack, _with_key(fn, key) if with_keyset else fn)

    def _register(self, stack: list[Kernel], fn: Kernel) -> None:
        stack.append(fn)

        def undo() -> None:
            with suppress(ValueError):
                stack.remove(fn)

        self._undos.append(undo)

    def fallback(self, fn: Kernel, dispatch_key: str = "", *, with_keyset: bool = False) -> None:
        """Raise RuntimeError, as torch does for any library but that of all namespaces, which does not exist here."""
        raise RuntimeError(
            f'Fallback can only be registered using library fragment on the global namespace "_" but it is {self.ns}'
        )

    def _qualified(self, name: str) -> str:
        namespace, there, _ = name.rpartition("::")
        if there and namespace != self.ns:
            raise RuntimeError(
                f"Explicitly provided namespace ({namespace}) in schema string does not match namespace of enclosing "
                f"TORCH_LIBRARY block ({self.ns})."
            )
        return name if there else f"{self.ns}::{name}"

    def _check(self) -> None:
        if not self._alive:
            raise AssertionError("Library object has been destroyed")

    def _destroy(self) -> None:
        """Take back all that was defined and registered."""
        self._alive = False
        _undo(self._undos)


def _undo(undos: list[Undo]) -> None:
    while undos:
        undos.pop()()


def _with_key(fn: Kernel, key: str) -> Kernel:
    return lambda *args, **keywords: fn(key, *args, **keywords)


def _is_reserved(ns: str) -> bool:
    return ns == "prim" or ns in vars(internal) or (ns.isidentifier() and find_spec(f"gradcore.ops.{ns}") is not None)


def _checked_key(key: str) -> str:
    if key not in KEYS:
        raise RuntimeError(f"could not parse dispatch key: {key} (there are {', '.join(KEYS)})")
    return key


def key_of(device_type: str | None) -> str:
    """The key of a type of device; None and "default" mean all. Raises RuntimeError for what is none."""
    return EVERYWHERE if device_type is None or device_type == "default" else _checked_key(device(device_type).type.upper())


def keep(library: Library) -> Library:
    """Let `library` live forever."""
    _kept.append(library)
    return library


def for_registration(namespace: str, lib: Library | None) -> Library:
    """`lib`, or a library of that namespace that lives forever."""
    return keep(Library(namespace, "FRAGMENT")) if lib is None else lib


_NAMELESS: Final = re.compile(r"\(.*\) -> .*")


def define(qualname: str | Library, schema: str, *args: Any, lib: Library | None = None, tags: Any = ()) -> Any:
    """Define the operator "namespace::name" with a schema like "(Tensor x) -> Tensor".

    It lives as long as `lib`, or forever. `define(lib, "foo(Tensor x) -> Tensor")`, of old, is a decorator of its
    implementation. Raises ValueError for names without a namespace and other schemas.
    """
    if isinstance(qualname, Library):
        library = qualname

        def wrap(f: Kernel) -> Kernel:
            library.impl(library.define(schema, *args), f)
            return f

        return wrap
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    namespace, name = parse_namespace(qualname)
    if not _NAMELESS.fullmatch(schema):
        raise ValueError(
            f'define(qualname, schema, ...): expected schema to look like e.g. "(Tensor x) -> Tensor" but got "{schema}"'
        )
    for_registration(namespace, lib).define(name + schema, tags=tags)
    return None


def impl(
    qualname: str | Library,
    types: str | Sequence[str],
    func: Kernel | str | None = None,
    *,
    lib: Library | None = None,
) -> Any:
    """Register `func` (or what is decorated) as the kernel of an operator for types of devices, or for keys.

    `types` is "cpu", "cuda", "default" for all, or several of them. `impl(lib, name, key)`, of old, is a decorator.
    Raises RuntimeError for other types.
    """
    if isinstance(qualname, Library):
        library, name, key = qualname, types, func or ""

        def wrap(f: Kernel) -> Kernel:
            library.impl(name, f, key)  # type: ignore[arg-type]
            return f

        return wrap
    keys = [each if each in KEYS else key_of(each) for each in ([types] if isinstance(types, str) else types)]
    namespace, _ = parse_namespace(qualname)

    def register(f: Kernel) -> None:
        library = for_registration(namespace, lib)
        for each in dict.fromkeys(keys):
            library.impl(qualname, f, each)

    return register if func is None else register(func)  # type: ignore[arg-type]
