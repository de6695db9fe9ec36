"""Write the lists of operations: for type checkers and editors, and of the methods that are imported later.

At run time these names come from the registry, some when first asked for. `python -m tests.public_names` brings the lists
up to date; tests/test_public_names.py says when they are not.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from gradcore import ops
from gradcore.ops.registry import functions, methods

ROOT = Path(__file__).resolve().parents[1]
METHODS = "methods"
FILES = {
    METHODS: "gradcore/ops/later.py",
    "": "gradcore/__init__.py",
    "linalg": "gradcore/linalg.py",
    "special": "gradcore/special.py",
    "fft": "gradcore/fft.py",
}
MARKS = re.compile(r"(?<=# operations: begin\n).*?(?= *# operations: end\n)", re.DOTALL)


def modules() -> list[Any]:
    ops.load()
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
    ops.load()
    if namespace == METHODS:
        code = "import gradcore; from gradcore.ops.registry import methods; print(*methods)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        names = indented(" ".join(sorted(methods.keys() - done.stdout.split())))
        return f'METHODS: Final = """\n{names}\n""".split()\n'
    imports: dict[str, list[str]] = {}
    declared: list[str] = []
    for name, function in sorted(functions[namespace].items()):
        where = home(name, function)
        if where is None:
            declared.append(f"    {name}: _Any\n")
        else:
            imports.setdefault(where[0], []).append(f"{where[1]} as {name}")
    lines = [
        f"    from {module} import (  # fmt: skip\n{indented(', '.join(names))},\n    )\n"
        for module, names in sorted(imports.items())
    ]
    return "".join([*lines, *declared])


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
