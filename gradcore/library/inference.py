"""Schemas of Python functions, by their annotations. It must not know operations."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any, Final, NoReturn

from gradcore.devices import device
from gradcore.dtypes import dtype
from gradcore.tensor import Tensor

_NUMBER: Final = int | float | bool


def _sequences(kind: Any) -> tuple[Any, ...]:
    # torch's dict has these keys in this order, and shows them
    return (
        typing.Sequence[kind],
        typing.List[kind],  # noqa: UP006
        GenericAlias(collections.abc.Sequence, (kind,)),
        GenericAlias(list, (kind,)),
    )


def _parameters() -> dict[Any, str]:
    """Annotations of parameters, and the types of schemas that they are."""
    found: dict[Any, str] = {}
    for kind, name, lists, lists_of_options, optional_lists in (
        (Tensor, "Tensor", True, True, False),
        (int, "SymInt", True, False, True),
        (float, "float", True, False, True),
        (bool, "bool", True, False, True),
        (str, "str", False, False, False),
        (_NUMBER, "Scalar", True, False, False),
        (dtype, "ScalarType", False, False, False),
        (device, "Device", False, False, False),
    ):
        optional: Any = typing.Optional[kind]  # noqa: UP045
        found |= {kind: name, optional: f"{name}?"}
        found |= {each: f"{name}[]" for each in _sequences(kind) if lists}
        found |= {each: f"{name}?[]" for each in _sequences(optional) if lists_of_options}
        found |= {typing.Optional[each]: f"{name}[]?" for each in _sequences(kind) if optional_lists}  # noqa: UP045
    return found


_PARAMETERS: Final = _parameters()
_RETURNS: Final[dict[Any, str]] = {
    Tensor: "Tensor",
    typing.List[Tensor]: "Tensor[]",  # noqa: UP006
    list[Tensor]: "Tensor[]",
    int: "SymInt",
    float: "float",
    bool: "bool",
    _NUMBER: "Scalar",
}


def infer_schema(
    prototype_function: Callable[..., Any],
    /,
    *,
    mutates_args: str | Iterable[str],
    op_name: str | None = None,
    tags: Any = (),
) -> str:
    """Return the schema of a function with annotations, such as "(Tensor x, float y) -> Tensor".

    `mutates_args` names the arguments that it writes; "unknown" means all tensors. Raises ValueError for what has no
    schema, and NotImplementedError for tags.
    """
    refuse_tags(tags)
    return _Inference(prototype_function, mutates_args).schema(op_name or "")


def refuse_tags(tags: Any) -> None:
    """Raise NotImplementedError if there are any tags."""
    if tags:
        raise NotImplementedError(
            f"tags={tags!r}: there are no tags of operators; name the arguments that are written in mutates_args, and "
            "return nothing of them"
        )


class _Inference:
    """One function on its way to a schema."""

    def __init__(self, function: Any, mutates_args: str | Iterable[str]) -> None:
        self.signature = inspect.signature(function)
        self.namespace = function.__globals__
        if isinstance(mutates_args, str) and mutates_args != "unknown":
            raise ValueError(
                "mutates_args must either be a sequence of the names of the arguments that are mutated or the string "
                "'unknown'. "
            )
        self.written = mutates_args if isinstance(mutates_args, str) else tuple(mutates_args)

    def fail(self, what: str) -> NoReturn:
        raise ValueError(f"infer_schema(func): {what} Got func with signature {self.signature})")

    def schema(self, name: str) -> str:
        given: list[str] = []
        for i, parameter in enumerate(self.signature.parameters.values()):
            if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                self.fail("We do not support positional-only args, varargs, or varkwargs.")
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in given:
                given.append("*")
            given.append(self.parameter(i, parameter))
        if self.written != "unknown":
            unseen = set(self.written) - set(self.signature.parameters)
            if unseen:
                self.fail(
                    f"{unseen} in mutates_args were not found in the custom op's signature. mutates_args should contain the "
                    "names of all args that the custom op mutates, or just the string 'unknown' if you don't know."
                )
        return f"{name}({', '.join(given)}) -> {self.returned()}"

    def parameter(self, i: int, parameter: inspect.Parameter) -> str:
        name = parameter.name
        if parameter.annotation is inspect.Parameter.empty:
            self.fail(f"Parameter {name} must have a type annotation.")
        annotation = self.evaluated(parameter.annotation)
        kind = _PARAMETERS.get(annotation) if _hashable(annotation) else None
        if kind is None:
            self.fail(
                f"Parameter {name} has unsupported type {parameter.annotation}. {_about_tuples(annotation)}"
                f"The valid types are: {_PARAMETERS.keys()}."
            )
        if self.written == "unknown" or name in self.written:
            if kind.startswith("Tensor"):
                kind = f"Tensor(a{i}!){kind.removeprefix('Tensor')}"
            elif self.written != "unknown":
                self.fail(f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be mutated")
        default = "" if parameter.default is inspect.Parameter.empty else f"={self.default(name, parameter.default)}"
        return f"{kind} {name}{default}"

    def default(self, name: str, value: Any) -> str:
        if value is None or isinstance(value, (int, float, bool)):
            return str(value)
        if isinstance(value, (str, device)):
            return f'"{value}"'
        if isinstance(value, dtype):
            return str(value).rpartition(".")[2]
        self.fail(
            f"Parameter {name} has an unsupported default value type {type(value)}. Please file an issue on GitHub so we "
            "can prioritize this."
        )

    def returned(self) -> str:
        annotation = self.evaluated(self.signature.return_annotation)
        if annotation is None:
            return "()"
        if annotation is inspect.Parameter.empty:
            self.fail("No return type annotation was provided. Please add one.")
        several = typing.get_origin(annotation) is tuple
        each = typing.get_args(annotation) if several else (annotation,)
        if not all(_hashable(a) and a in _RETURNS for a in each):
            self.fail(f"Return has unsupported type {annotation}. The valid types are: {_RETURNS}.")
        text = ", ".join(_RETURNS[a] for a in each)
        if not several:
            return text
        return f"(({text}))" if len(each) == 1 else f"({text})"

    def evaluated(self, annotation: Any) -> Any:
        """`annotation` with strings in it replaced by what they name."""
        if isinstance(annotation, str):
            try:
                return eval(annotation, self.namespace)
            except NameError as error:
                self.fail(
                    f"Unsupported type annotation {annotation}. It is not a type. ({error}). If you are using 'from "
                    "__future__ import annotations', note that annotations are evaluated lazily as strings; make sure all "
                    "types referenced in annotations are importable at module scope, not only inside a local function."
                )
            except Exception as error:
                self.fail(f"Unsupported type annotation {annotation}. It is not a type. ({type(error).__name__}: {error})")
        inner = typing.get_args(annotation)
        found = tuple(map(self.evaluated, inner))
        if any(a is not b for a, b in zip(inner, found, strict=True)):
            return GenericAlias(typing.get_origin(annotation), found)
        return annotation


def _hashable(annotation: Any) -> bool:
    return isinstance(annotation, collections.abc.Hashable)


def _about_tuples(annotation: Any) -> str:
    if typing.get_origin(annotation) is not tuple:
        return ""
    inner = typing.get_args(annotation)
    several = len(inner) > 1 and inner[1] is not Ellipsis
    made: Any = GenericAlias(list, (typing.Union[inner] if several else inner[0],))  # noqa: UP007
    example = f"For example, {made}.\n\n" if made in _PARAMETERS else "\n\n"
    return f"We do not support Tuple inputs in schema. As a workaround, please try to use List instead. {example}"
