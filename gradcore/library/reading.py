"""What torch's schemas of operators look like as text. It must not know what they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from gradcore import dtypes
from gradcore.library.schema import CASTS, REQUIRED, Argument, Schema, Type

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<arrow>->)|(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<ident>[A-Za-z_]\w*)"""
    r"""|(?P<string>"[^"]*"|'[^']*')|(?P<mark>::|\.\.\.|[()\[\],*?!=.|])|(?P<wrong>\S)|$)"""
)
_UNKNOWN: Final = "unknown type specifier. Common valid schema types include Tensor, SymInt, int, float, bool, Scalar"


def parse(text: str) -> Schema:
    """The schema that `text` writes down. Raises RuntimeError that shows where it is none."""
    return _Reader(text).schema()


class _Reader:
    """The tokens of a schema, one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self.step()

    def step(self) -> str:
        """The token read last; and go on to the next."""
        last = getattr(self, "token", "")
        match = next(self.tokens)
        self.kind = match.lastgroup or "eof"
        self.token = match[self.kind] if match.lastgroup else ""
        self.at = match.start(self.kind) if match.lastgroup else len(self.text)
        if self.kind == "wrong":
            self.fail(f"expected a valid token but found '{self.token}' here:")
        return last

    def fail(self, message: str) -> NoReturn:
        here = f"\n{' ' * self.at}{'~' * len(self.token)} <--- HERE" if self.token else ""
        raise RuntimeError(f"{message}\n{self.text}{here}\n")

    def expect(self, kind: str) -> str:
        """The next token, which must be of `kind`, or be the mark `kind`."""
        if kind not in (self.kind, self.token):
            self.fail(f"expected {kind} but found '{self.token if self.kind == 'mark' else self.kind}' here:")
        return self.step() if kind != "eof" else ""

    def took(self, mark: str) -> bool:
        """Whether the next token is `mark`; then it is behind us."""
        if self.kind == "mark" and self.token == mark:
            self.step()
            return True
        return False

    def schema(self) -> Schema:
        name = self.expect("ident")
        if self.took("::"):
            name = f"{name}::{self.expect('ident')}"
        overload = self.expect("ident") if self.took(".") else ""
        if self.kind == "eof":
            raise RuntimeError(f"Tried to parse a function schema but only the operator name was given: {self.text!r}")
        self.expect("(")
        arguments: list[Argument] = []
        by_name = False
        while not self.took(")"):
            if self.took("*"):
                by_name = True
            else:
                arguments.append(self.argument(by_name))
            if not self.took(","):
                self.expect(")")
                break
        self.expect("arrow")
        returns = self.returns()
        self.expect("eof")
        return Schema(name, overload, tuple(arguments), tuple(t for t, _ in returns), tuple(n for _, n in returns))

    def argument(self, by_name: bool) -> Argument:
        kind = self.type()
        name = self.expect("ident")
        return Argument(name, kind, self.default(kind.core.kind) if self.took("=") else REQUIRED, by_name)

    def returns(self) -> list[tuple[Type, str]]:
        if not self.took("("):
            return [(self.type(), "")]
        found = []
        while not self.took(")"):
            inner = Type("tuple", tuple(t for t, _ in self.returns())) if self.token == "(" else self.type()
            found.append((inner, self.step() if self.kind == "ident" else ""))
            if not self.took(","):
                self.expect(")")
                break
        return found

    def type(self) -> Type:
        if self.kind == "ident" and self.token not in CASTS:
            self.fail(f"\n{_UNKNOWN}:")
        kind = Type(self.expect("ident"), alias=self.alias() if self.took("(") else "")
        while self.token in ("?", "["):
            if self.took("?"):
                kind = Type("optional", (kind,))
            else:
                self.step()
                kind = Type("list", (kind,), self.step() if self.kind == "number" else "")
                self.expect("]")
        return kind

    def alias(self) -> str:
        parts = []
        while not self.took(")"):
            if self.kind == "eof":
                self.expect(")")
            parts.append(f" {self.step()} " if self.kind == "arrow" else self.step())
        return "".join(parts)

    def default(self, kind: str) -> Any:
        if self.took("["):
            values = []
            while not self.took("]"):
                values.append(self.default(kind))
                if not self.took(","):
                    self.expect("]")
                    break
            return values
        if self.kind == "string":
            return self.step()[1:-1]
        if self.kind == "number":
            text = self.step()
            return float(text) if kind == "float" or re.search(r"[.eE]", text) else int(text)
        if self.token in ("None", "True", "False"):
            return {"None": None, "True": True, "False": False}[self.step()]
        named = getattr(dtypes, self.token, None) if kind == "ScalarType" and self.kind == "ident" else None
        if not isinstance(named, dtypes.dtype):
            wrong = self.kind != "ident"
            self.fail(f"expected number but found {self.token!r} here:" if wrong else "\ninvalid numeric default value:")
        self.step()
        return named
