"""Write the lists of operations: for type checkers and editors, and of the methods that are imported later.

At run time these names come from the registry, some when first asked for. `python -m tests.public_names` brings the lists
up to date; tests/test_public_names.py says when they are not.
"""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from gradcore import ops
from gradcore.ops.registry import functions, methods

ROOT = Path(__file__).resolve().parents[1]
LATER = "later"
FILES = {
    LATER: "gradcore/ops/later.py",
    "": "gradcore/__init__.py",
    "linalg": "gradcore/linalg.py",
    "special": "gradcore/special.py",
    "fft": "gradcore/fft.py",
}
MARKS = re.compile(r"(?<=# operations: begin\n).*?(?= *# operations: end\n)", re.DOTALL)


def load() -> None:
    for module in pkgutil.iter_modules(ops.__path__, "gradcore.ops."):
        import_module(module.name)


def modules() -> list[Any]:
    load()
    return [module for name, module in sys.modules.items() if name.startswith("gradcore.ops.")]


@cache
def imported(module: str) -> set[str]:
    """The names that a module has from others."""
    tree = ast.parse(Path(str(import_module(module).__file__)).read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in froms for alias in node.names}


def home(name: str, function: Any) -> tuple[str, str] | None:
    """The module of `function` and its name there, the public one if possible."""
    found = [
        (m.__name__ == getattr(function, "__module__", ""), attribute == name, m.__name__, attribute)
        for m in modules()
        for attribute, value in vars(m).items()
        if value is function and attribute not in imported(m.__name__)
    ]
    return max(found)[2:] if found else None


def block(namespace: str) -> str:
    """The lines for one namespace: imports, and declarations of what no module has under a name; or those for methods."""
    load()
    if namespace == LATER:
        code = "from tests import public_names; print(public_names.later())"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout
    imports: dict[str, list[str]] = {}
    declared: list[str] = []
    others: list[str] = []
    for name, function in sorted(functions[namespace].items()):
        where = home(name, function)
        if where is None or (namespace and where[1] != name):  # these modules import each other in circles
            declared.append(f"    {name}: _Any\n")
        else:
            # Type checkers take `x as x` alone for something to be had from here.
            others.extend([name] if where[1] != name else [])
            imports.setdefault(where[0], []).append(f"{where[1]} as {name if where[1] == name else f'_{name}'}")
    lines = [
        f"    from {module} import (  # fmt: skip\n{indented(', '.join(names))},\n    )\n"
        for module, names in sorted(imports.items())
    ]
    return "".join([*lines, *declared, *renamed(sorted(others))])


def renamed(names: list[str]) -> list[str]:
    """The lines that give what was imported behind an underscore its name."""
    lines = textwrap.wrap(", ".join(names), 56, break_long_words=False)
    parts = [line.rstrip(",").split(", ") for line in lines]
    return [f"    {', '.join(part)} = {', '.join(f'_{name}' for name in part)}\n" for part in parts]


def later() -> str:
    """The lines for what is imported later. Only an interpreter that has imported nothing but gradcore can tell."""
    seen = before = public()
    found: dict[str, set[str]] = {}
    executing = [""]
    execute = SourceFileLoader.exec_module

    def credit() -> None:
        nonlocal seen
        found.setdefault(executing[-1], set()).update(public() - seen)
        seen = public()

    def watched(loader: SourceFileLoader, module: Any) -> None:
        credit()
        executing.append(module.__name__)
        execute(loader, module)
        credit()
        executing.pop()

    SourceFileLoader.exec_module = watched  # type: ignore[method-assign]
    load()
    lines = [
        f'    "{module.removeprefix("gradcore.ops.")}": """\n{sorted_names(new)}\n    """,\n'
        for module, new in sorted(found.items())
        if new
    ]
    late_methods = sorted_names(name for name in public() - before if name.startswith("."))
    return f'MODULES: Final = {{\n{"".join(lines)}}}\n\nMETHODS: Final = """\n{late_methods}\n""".split()\n'


def sorted_names(names: Iterable[str]) -> str:
    """The lines with these names of `public`, without what they are public as."""
    return indented(" ".join(sorted({re.split(r"[:.]", name)[-1] for name in names})))


def public() -> set[str]:
    """All that is public: functions behind the name of their namespace, methods behind a dot."""
    return {f"{space}:{name}" for space, named in functions.items() for name in named} | {f".{name}" for name in methods}


def indented(names: str) -> str:
    return textwrap.fill(names, 120, initial_indent=" " * 8, subsequent_indent=" " * 8, break_long_words=False)


def written(namespace: str) -> str:
    found = MARKS.search((ROOT / FILES[namespace]).read_text())
    assert found, f"{FILES[namespace]} has no marks"
    return found.group()


if __name__ == "__main__":
    for namespace, file in FILES.items():
        path = ROOT / file
        lines = block(namespace)
        path.write_text(MARKS.sub(lambda _, lines=lines: lines, path.read_text()))  # type: ignore[misc]
