"""Schemas of operators, "foo(Tensor x, int[] dims, *, bool flag=False) -> Tensor": printed, and held against arguments
and results. It must not know what an operator does.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Complex, Integral, Number, Real
from typing import Any, Final

from gradcore import dtypes
from gradcore.devices import device
from gradcore.recorder.value import Value

_NUMBERS: Final[dict[Any, Callable[[Any], Any]]] = {Integral: int, Real: float, Complex: complex}
REQUIRED: Final = object()  # the default of an argument that has none


class SchemaMismatch(RuntimeError):
    """Arguments that a schema does not take."""


class _Miscast(Exception):
    """A value that is not of a type."""


@dataclass(frozen=True)
class Type:
    """A type of torch's schemas: a name, or "list" (of any length or `size`), "optional", "tuple" of `inner` types.

    `alias` is what stands in parentheses behind `Tensor`: "a", or "a!" for one that is written.
    """

    kind: str
    inner: tuple[Type, ...] = ()
    size: str = ""
    alias: str = ""

    def __str__(self) -> str:
        if self.kind == "tuple":
            return f"({', '.join(map(str, self.inner))})"
        if self.inner:
            return f"{self.inner[0]}{'?' if self.kind == 'optional' else f'[{self.size}]'}"
        return f"{self.kind}({self.alias})" if self.alias else self.kind

    @property
    def expected(self) -> str:
        """What torch calls it in messages."""
        if self.inner:
            return f"{self.kind.capitalize()}[{', '.join(each.expected for each in self.inner)}]"
        return {"SymInt": "int", "ScalarType": "int", "Scalar": "number"}.get(self.kind, self.kind)

    @property
    def core(self) -> Type:
        """The type without lists and options."""
        return self.inner[0].core if self.inner and self.kind != "tuple" else self

    @property
    def is_write(self) -> bool:
        """Whether an operation writes an argument of this type."""
        return "!" in self.core.alias

    def cast(self, value: Any) -> Any:
        """`value` as one of this type. Raises _Miscast."""
        if self.kind == "optional":
            return None if value is None else self.inner[0].cast(value)
        if self.kind == "list":
            return self._cast_list(value)
        if self.kind == "tuple":
            if not isinstance(value, (tuple, list)) or len(value) != len(self.inner):
                raise _Miscast
            return tuple(each.cast(v) for each, v in zip(self.inner, value, strict=True))
        return CASTS[self.kind](value)

    def _cast_list(self, value: Any) -> list[Any]:
        (inner,) = self.inner
        if self.size and isinstance(value, Number):
            return [inner.cast(value)] * int(self.size)
        if isinstance(value, (str, bytes, dict, Value)) or not isinstance(value, Iterable):
            raise _Miscast
        return [inner.cast(each) for each in value]


def _tensor(value: Any) -> Any:
    if value is None or isinstance(value, Value):
        return value
    raise _Miscast


def _int(value: Any) -> int:
    try:
        return operator.index(value)
    except (TypeError, RuntimeError, ValueError):
        raise _Miscast from None


def _float(value: Any) -> float:
    if isinstance(value, Real) or (isinstance(value, Value) and value._array.size == 1):
        return float(value)  # type: ignore[arg-type]
    raise _Miscast


def _bool(value: Any) -> bool:
    if hasattr(type(value), "__bool__"):
        return bool(value)
    raise _Miscast


def _str(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return value if isinstance(value, str) else value.decode()
    raise _Miscast


def _scalar(value: Any) -> Any:
    kind = bool if isinstance(value, bool) else next((k for k in _NUMBERS if isinstance(value, k)), None)
    if kind is None:
        raise _Miscast
    return _NUMBERS.get(kind, bool)(value)


def _complex(value: Any) -> complex:
    return complex(_scalar(value))


def _dtype(value: Any) -> dtypes.dtype:
    if isinstance(value, dtypes.dtype):
        return value
    raise _Miscast


def _device(value: Any) -> device:
    if isinstance(value, (str, device)):
        return device(value)
    raise _Miscast


def _as_is(value: Any) -> Any:
    return value


CASTS: Final[dict[str, Callable[[Any], Any]]] = {
    "Tensor": _tensor, "int": _int, "SymInt": _int, "float": _float, "bool": _bool, "str": _str, "Scalar": _scalar,
    "complex": _complex, "ScalarType": _dtype, "Device": _device, "Layout": _as_is, "MemoryFormat": _as_is,
    "Generator": _as_is,
}  # fmt: skip


def tensors_in(values: Sequence[Any]) -> list[Any]:
    """The tensors among `values` and in lists among them."""
    found = []
    for value in values:
        found += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Value)]
    return found


@dataclass(frozen=True)
class Argument:
    """One argument of a schema."""

    name: str
    type: Type
    default_value: Any = REQUIRED
    kwarg_only: bool = False

    def default(self) -> Any:
        """What it is if it is not given: of its type, or None."""
        return None if self.default_value is None else self.type.cast(self.default_value)

    def is_default(self, value: Any) -> bool:
        """Whether `value` is what it is if it is not given."""
        return self.default_value is not REQUIRED and not tensors_in([value]) and bool(value == self.default())

    def __str__(self) -> str:
        return f"{self.type} {self.name}" + ("" if self.default_value is REQUIRED else f"={_written(self.default_value)}")


def _written(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:.17g}"
        return text if re.search(r"[.en]", text) else f"{text}."
    if isinstance(value, (str, device)):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return str(value).rpartition(".")[2]  # a dtype without its namespace


@dataclass(frozen=True)
class Schema:
    """The name of an operation, what it takes, and what it returns."""

    name: str
    overload_name: str
    arguments: tuple[Argument, ...]
    returns: tuple[Type, ...]
    names_of_returns: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        given: list[str] = []
        for each in self.arguments:
            if each.kwarg_only and "*" not in given:
                given.append("*")
            given.append(str(each))
        made = [f"{t} {n}".rstrip() for t, n in zip(self.returns, self.names_of_returns, strict=True)]
        out = made[0] if len(made) == 1 and self.returns[0].kind != "tuple" else f"({', '.join(made)})"
        return f"{self.qualified}({', '.join(given)}) -> {out}"

    __repr__ = __str__

    @property
    def qualified(self) -> str:
        """The name with that of the overload."""
        return f"{self.name}.{self.overload_name}" if self.overload_name else self.name

    @property
    def is_mutable(self) -> bool:
        """Whether any argument is written."""
        return any(each.type.is_write for each in self.arguments)

    @property
    def is_view(self) -> bool:
        """Whether a result shares memory with an argument, and none is written."""
        return not self.is_mutable and any(each.core.alias for each in self.returns)

    @property
    def positional(self) -> int:
        """How many arguments may be given without their names."""
        return sum(not each.kwarg_only for each in self.arguments)

    def has_kwarg_only_tensors(self) -> bool:
        """Whether a tensor is given by its name alone."""
        return any(each.kwarg_only and each.type.core.kind == "Tensor" for each in self.arguments)

    def bind(self, args: Sequence[Any], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position and those by name, all of them and of their types. Raises SchemaMismatch."""
        declared, given = self.arguments, len(args) + len(keywords)
        if given > len(declared):
            raise SchemaMismatch(
                f"{self.name}() expected at most {len(declared)} argument(s) but received {given} argument(s). "
                f"Declaration: {self}"
            )
        if len(args) > self.positional:
            raise SchemaMismatch(
                f"{self.name}() takes {self.positional} positional argument(s) but {len(args)} was/were given.  "
                f"Declaration: {self}"
            )
        left = dict(keywords)
        values = []
        for i, each in enumerate(declared):
            if i < len(args):
                values.append(self._cast(i, each, args[i]))
            elif each.name in left:
                values.append(self._cast(i, each, left.pop(each.name)))
            elif each.default_value is REQUIRED:
                raise SchemaMismatch(f"{self.name}() is missing value for argument '{each.name}'. Declaration: {self}")
            else:
                values.append(each.default())
        if left:
            raise SchemaMismatch(f"Unknown keyword argument '{next(iter(left))}' for operator '{self.name}'. Schema: {self}")
        n = self.positional
        return tuple(values[:n]), {each.name: v for each, v in zip(declared[n:], values[n:], strict=True)}

    def given(self, values: Sequence[Any], named: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Bound arguments as a kernel gets them in torch: without those at the end, and by name, that are their defaults."""
        n, declared = len(values), self.arguments
        while n and declared[n - 1].is_default(values[n - 1]):
            n -= 1
        by_name = declared[len(values) :]
        return values[:n], {each.name: named[each.name] for each in by_name if not each.is_default(named[each.name])}

    def _cast(self, i: int, each: Argument, value: Any) -> Any:
        try:
            return each.type.cast(value)
        except _Miscast:
            raise SchemaMismatch(
                f"{self.qualified}() Expected a value of type '{each.type.expected}' for argument '{each.name}' but instead "
                f"found type '{type(value).__name__}'.\nPosition: {i}\nValue: {value!r}\nDeclaration: {self}"
            ) from None

    def checked(self, result: Any) -> Any:
        """What a kernel returned, if it is what the schema says. Raises RuntimeError or, for no sequence, TypeError."""
        if not self.returns:
            if result is not None:
                raise RuntimeError(
                    f"Expected PythonKernelHolder for {self.name} to return None but it returned something else instead."
                )
            return None
        if len(self.returns) == 1:
            return self._returned(self.returns[0], result)
        if not isinstance(result, (tuple, list)):
            raise TypeError(
                f"Object of type '{type(result).__name__}' is not an instance of 'sequence': {self.name} returns "
                f"{len(self.returns)} values"
            )
        if len(result) != len(self.returns):
            raise RuntimeError(f"{self.name} is to return {len(self.returns)} values, but its kernel returned {len(result)}")
        return tuple(map(self._returned, self.returns, result))

    def _returned(self, kind: Type, value: Any) -> Any:
        try:
            return kind.cast(value)
        except _Miscast:
            raise RuntimeError(f"Unable to cast {value!r} to {kind.expected}, which {self.name} is to return") from None
