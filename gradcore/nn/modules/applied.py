"""Modules that apply one function of nn.functional, with settings for attributes. It must not know which functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar, dataclass_transform

from gradcore.nn import functional as F
from gradcore.nn.modules.module import Module
from gradcore.recorder.steps import compiled

M = TypeVar("M", bound=type[Module])


@dataclass_transform()
def settings(cls: M) -> M:
    """Let a class list the settings of its subclasses, which `applies` makes modules."""
    return cls


@dataclass_transform()
def applies(name: str, shown: str | None = None, kw_only: bool = False) -> Callable[[M], M]:
    """Let a class that lists its settings, as a dataclass lists its fields, call `nn.functional.<name>` with them.

    A class that lists none has those of its base, which is declared by `settings`. Settings whose type starts with "Tensor"
    become buffers. `shown` is the repr's format, by default every setting but
    `inplace`, which is shown if set. `_settle`, if the class has it, is called at the end of `__init__`.
    """

    def made(cls: M) -> M:
        bases = cls.__mro__[: cls.__mro__.index(Module)]
        owner = next((base for base in bases if inspect.get_annotations(base)), cls)
        fields: dict[str, str] = inspect.get_annotations(owner)
        code: CodeType = inspect.unwrap(getattr(F, name)).__code__
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        inputs = taken[: next((i for i, each in enumerate(taken) if each in fields or each == "training"), len(taken))]
        inputs = inputs if fields else inputs[: code.co_argcount]
        passed = [f"{each}=self.{each}" for each in taken if each in fields or each == "training"]
        stored = [
            f"self.register_buffer({each!r}, {each})" if kind.startswith("Tensor") else f"self.{each} = {each}"
            for each, kind in fields.items()
        ]
        given = [f"{each}=owner.{each}" if each in vars(owner) else each for each in fields]
        source = "\n    ".join([
            f"def __init__({', '.join(['self', *(['*'] if kw_only and fields else []), *given])}):",
            "Module.__init__(self)",
            *stored,
            *(["self._settle()"] if hasattr(cls, "_settle") else []),
        ])  # fmt: skip
        call = f"return F.{name}({', '.join([*inputs, *passed])})"
        source += f"\ndef forward({', '.join(['self', *inputs])}):\n    {call}\n"
        written: dict[str, Any] = {"F": F, "Module": Module, "owner": owner}
        exec(compiled(source), written)
        written["__init__"].__annotations__ = {**fields, "return": "None"}
        for method in ("__init__", "forward"):
            written[method].__qualname__ = f"{cls.__name__}.{method}"
            written[method].__module__ = cls.__module__
            if method not in vars(cls) and (fields or method == "forward"):
                setattr(cls, method, written[method])
        for each, kind in fields.items():
            if kind.startswith("Tensor") and each in vars(cls):
                delattr(cls, each)
        cls._shown = (  # type: ignore[attr-defined]
            ", ".join(f"{each}={{0.{each}!r}}" for each in fields if each != "inplace") if shown is None else shown
        )
        if "extra_repr" not in vars(cls):
            cls.extra_repr = _extra_repr  # type: ignore[method-assign]
        return cls

    return made


def _extra_repr(self: Any) -> str:
    text: str = self._shown.format(self)
    inplace = getattr(self, "inplace", False) and "inplace" not in text
    return ", ".join(filter(None, (text, "inplace=True" if inplace else "")))
