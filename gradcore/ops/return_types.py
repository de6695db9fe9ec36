"""Results of several named Tensors (`max(x, 0).indices`), shown as torch does. It must not know any op."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any


class Named(tuple[Any, ...]):
    """A tuple whose elements have names; made from one iterable, as torch's are."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __new__(cls, values: Iterable[Any]) -> Named:
        made = super().__new__(cls, values)
        if len(made) != len(cls.__match_args__):
            raise TypeError(
                f"torch.return_types.{cls.__name__}() takes a {len(cls.__match_args__)}-sequence "
                f"({len(made)}-sequence given)"
            )
        return made

    def __repr__(self) -> str:
        parts = ",\n".join(f"{name}={value!r}" for name, value in zip(self.__match_args__, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{parts})"

    def __reduce__(self) -> Any:
        return made, (type(self).__name__, tuple(self))


return_types: dict[str, type[Named]] = {}


def return_type(name: str, *fields: str) -> type[Named]:
    """The class of tuples that torch calls `torch.return_types.<name>`."""
    if name not in return_types:
        members = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
        namespace = {
            "__slots__": (),
            "__match_args__": fields,
            "__module__": "gradcore.return_types",
            **members,
        }
        return_types[name] = type(name, (Named,), namespace)
    return return_types[name]


def made(name: str, values: Iterable[Any]) -> Named:
    """The tuple `name` of `values`: how a pickled one comes back."""
    return return_types[name](values)
