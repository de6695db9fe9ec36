"""The rules of docs/architecture.md that can be seen in the source, checked on its syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lowest first. A module belongs to the longest name that fits; public namespaces need no entry (see `rank`).
LAYERS = [
    ["gradcore.backends"],
    ["gradcore.dtypes", "gradcore.devices", "gradcore.size", "gradcore.layouts"],
    ["gradcore.graph"],
    ["gradcore.recorder"],
    ["gradcore.engine", "gradcore.generator"],
    ["gradcore.primitives"],
    ["gradcore.ops"],
    ["gradcore.printing"],
    ["gradcore.tensor"],
    ["gradcore.transforms"],
    ["gradcore.autograd", "gradcore.nn"],
    ["gradcore"],
    ["gradcore.__main__"],
]
NAMESPACES = next(i for i, layer in enumerate(LAYERS) if "gradcore.autograd" in layer)
CLOSED = ["gradcore.graph", "gradcore.backends"]  # not even the layers below, not even for annotations

KERNELS = "activations attention columns dropout launch losses normalization rules scatter softmax windows".split()

# Every package outside the standard library, and the only modules that may import it.
THIRD_PARTY = {
    "ittapi": {"gradcore.autograd.profiler_marks"},
    "numpy": {
        f"gradcore.backends.{name}"
        for name in (
            *"activations choices cublas numpy cupy cusolver lapack mersenne normalizing orders repeats scans".split(),
            *"scatters silence special streams sums writes".split(),
            *(f"kernels.{name}" for name in KERNELS),
        )
    },
    "cupy": {
        f"gradcore.backends.{name}"
        for name in [
            *"attention convolutions plans transfers cublas cupy cuda cusolver graphs streams writes".split(),
            *(f"kernels.{name}" for name in KERNELS),
        ]
    },
    "cupyx": {f"gradcore.backends.{name}" for name in ("cupy", "cusolver", "streams", "writes")},
    "cudnn": {"gradcore.backends.cudnn"},
    "cupy_backends": {"gradcore.backends.cublas"},
    "scipy": {"gradcore.backends.lapack", "gradcore.backends.special"},
    "ml_dtypes": {"gradcore.dtypes"},
}
LAZY = ["cupy", "cupyx", "scipy", "torch", "ml_dtypes", "matplotlib", "sklearn"]

LONGEST_FILE = 450
NAMES_THAT_SAY_NOTHING = {"utils.py", "util.py", "helpers.py", "helper.py"}
TORCHS_NAMES = {"gradcore.utils", "gradcore.nn.utils"}  # packages, whose files have names of their own
DYNAMIC_IMPORTS = {"import_module", "__import__"}


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands; whether it runs at import, later, or only for a type checker."""

    target: str
    line: int
    lazy: bool
    typing_only: bool


@dataclass(frozen=True)
class Module:
    """A source file under its dotted name; the trees under `gradcore` alone make up the package."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports(self.tree, lazy=False, typing_only=False))

    def _imports(self, node: ast.AST, *, lazy: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            for target in self._targets(child):
                yield Import(target, child.lineno, lazy, typing_only)
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                body = ast.Module(child.body, [])
                yield from self._imports(body, lazy=inside, typing_only=True)
                child = ast.Module(child.orelse, [])
            yield from self._imports(child, lazy=inside, typing_only=typing_only)

    def _targets(self, node: ast.AST) -> list[str]:
        match node:
            case ast.Import():
                return [alias.name for alias in node.names]
            case ast.ImportFrom():
                package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
                above = package[: len(package) - (node.level - 1)] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                return [f"{base}.{alias.name}" for alias in node.names]
            case ast.Call(func, [ast.Constant(str(name)), *_]):
                return [name] if ast.unparse(func).rpartition(".")[2] in DYNAMIC_IMPORTS else []
        return []


def read(folder: str, name: str) -> Iterator[Module]:
    # The link gradcore/backends is not followed (pathlib does not), so no file is read under two names.
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.is_relative_to(ROOT / "gradcore/backends"):
            continue
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        package = parts[-1] == "__init__"
        yield Module(".".join([name, *(parts[:-1] if package else parts)]), path.read_text(), package)


PACKAGE = {m.name: m for m in [*read("gradcore", "gradcore"), *read("backends", "gradcore.backends")]}
REST = [m for folder in ("tests", "bench", "examples") for m in read(folder, folder)]


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def rank(name: str) -> int:
    fitting = [
        (len(prefix), i)
        for i, layer in enumerate(LAYERS)
        for prefix in layer
        if within(name, prefix) and (prefix != "gradcore" or name == "gradcore")
    ]
    return max(fitting)[1] if fitting else NAMESPACES


def resolve(target: str, known: dict[str, Module]) -> str:
    """Return the module that an import of `target` runs: `gradcore.graph.Node` is `gradcore.graph`."""
    known_names = {*known, *(name for layer in LAYERS for name in layer)}
    while target not in known_names and "." in target:
        target = target.rpartition(".")[0]
    return target


def layer_faults(module: Module, known: dict[str, Module]) -> list[str]:
    faults = []
    closed = next((prefix for prefix in CLOSED if within(module.name, prefix)), None)
    for i in module.imports:
        target = resolve(i.target, known)
        if not within(target, "gradcore"):
            continue
        where = f"{module.name}:{i.line} imports {i.target}"
        if closed and not within(target, closed):
            faults.append(f"{where}, but {closed} imports nothing of gradcore outside itself")
        elif not i.typing_only and rank(target) > rank(module.name):
            faults.append(f"{where}, which lies above it")
    return faults


def third_party_faults(module: Module) -> list[str]:
    faults = []
    for i in module.imports:
        top = i.target.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("gradcore", "") or i.typing_only:
            continue
        allowed = THIRD_PARTY.get(top, set())
        if module.name not in allowed:
            faults.append(f"{module.name}:{i.line} imports {top}; only {sorted(allowed) or 'nobody'} may")
    return faults


def form_faults(module: Module) -> list[str]:
    faults = []
    lines = module.text.count("\n")
    if lines > LONGEST_FILE:
        faults.append(f"{module.name} has {lines} lines, {LONGEST_FILE} at most (aim at 400): split it")
    if not re.match(r"\S.*?[.!?](\s|$)", ast.get_docstring(module.tree) or "", re.DOTALL):
        faults.append(f"{module.name} does not open with a sentence that says what it is")
    nodes = [n for n in ast.walk(module.tree) if isinstance(n, ast.ImportFrom)]
    faults += [f"{module.name}:{n.lineno} imports *" for n in nodes if n.names[0].name == "*"]
    if f"{module.name.rpartition('.')[2]}.py" in NAMES_THAT_SAY_NOTHING and module.name not in TORCHS_NAMES:
        faults.append(f"{module.name}: say what is in the file, not that it is of use")
    return faults


def oracle_faults(module: Module) -> list[str]:
    """Hold torch to the top of a test file: there the marker `oracle` finds it, and CI cannot miss it."""
    skip = re.compile(r"pytest\.importorskip\('torch\b")
    calls = [n for n in ast.walk(module.tree) if isinstance(n, ast.Call)]
    asked = [n.lineno for n in calls if skip.match(ast.unparse(n))]
    asked += [i.line for i in module.imports if within(i.target, "torch")]
    top = any(ast.unparse(n).startswith("torch = pytest.importorskip('torch'") for n in module.tree.body)
    if top or not asked:
        return []
    return [f'{module.name}:{asked[0]} needs torch; say `torch = pytest.importorskip("torch")` at the top']


def cycle(known: dict[str, Module]) -> list[str]:
    """Return one circle of imports that run at import time, or an empty list."""
    graph = {
        name: {resolve(i.target, known) for i in m.imports if not i.lazy and not i.typing_only} - {name}
        for name, m in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_tree_was_found() -> None:
    assert len(PACKAGE) > 5
    assert "gradcore.graph" in PACKAGE
    assert len({m.name.split(".")[0] for m in REST}) >= 1


def test_imports_only_go_down() -> None:
    faults = [fault for m in PACKAGE.values() for fault in layer_faults(m, PACKAGE)]
    assert not faults, "\n".join(faults)


def test_no_module_imports_itself_in_a_circle() -> None:
    assert cycle(PACKAGE) == []


def test_third_party_packages_stay_in_their_files() -> None:
    faults = [fault for m in PACKAGE.values() for fault in third_party_faults(m)]
    assert not faults, "\n".join(faults)


def test_files_are_short_named_and_described() -> None:
    faults = [fault for m in [*PACKAGE.values(), *REST] for fault in form_faults(m)]
    assert not faults, "\n".join(faults)


def test_torch_is_asked_for_at_the_top_of_a_test_file() -> None:
    faults = [fault for m in REST if ".test_" in m.name for fault in oracle_faults(m)]
    assert not faults, "\n".join(faults)


def test_the_layers_are_those_of_the_document() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    drawing = text[text.index("## Layers") :].split("```")[1]
    places = []
    for layer in LAYERS[:-1]:  # the tour stands outside the drawing
        for name in layer:
            stem = name.rpartition(".")[2] if name != "gradcore" else "__init__"
            found = re.search(rf"(?<!\S)(gradcore/)?{stem}(/|\.py)(?!\S)", drawing)
            assert found, f"docs/architecture.md does not draw {name}"
            places.append((drawing.count("\n", 0, found.start()), rank(name)))
    assert places, "no layers"
    levels = [level for _, level in sorted(places, key=lambda place: (place[0], -place[1]))]
    assert levels == sorted(levels, reverse=True), "the document draws the layers in another order"


def test_importing_gradcore_stays_light() -> None:
    code = f"import gradcore, sys; gradcore.__file__[0]; print(*[m for m in {LAZY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("name", "source", "check", "fault"),
    [
        ("gradcore.ops.a", "from gradcore.tensor import Tensor", layer_faults, "above it"),
        ("gradcore.ops.a", "def f():\n    from ..tensor import Tensor", layer_faults, "above it"),
        ("gradcore.ops.a", "from importlib import import_module as i\ni('x')", layer_faults, ""),
        ("gradcore.ops.a", "importlib.import_module('gradcore.tensor')", layer_faults, "above it"),
        ("gradcore.ops.a", "if TYPE_CHECKING:\n    from gradcore.tensor import Tensor", layer_faults, ""),
        ("gradcore.ops.a", "if TYPE_CHECKING: 0\nelse: import gradcore.tensor", layer_faults, "above it"),
        ("gradcore.ops.a", "from gradcore import primitives, graph", layer_faults, ""),
        ("gradcore.ops.a", "from gradcore import Tensor", layer_faults, "above it"),
        ("gradcore.graph.a", "from gradcore.dtypes import dtype", layer_faults, "outside itself"),
        ("gradcore.graph.a", "if TYPE_CHECKING:\n    import gradcore.tensor", layer_faults, "outside itself"),
        ("gradcore.graph.a", "from gradcore.graph.node import Node\nimport heapq", layer_faults, ""),
        ("gradcore.backends.a", "from gradcore.size import Size", layer_faults, "outside itself"),
        ("gradcore.tensor", "from gradcore.autograd import grad", layer_faults, "above it"),
        ("gradcore.tensor", "from gradcore.special import erf", layer_faults, "above it"),
        ("gradcore.special", "from gradcore.tensor import Tensor", layer_faults, ""),
        ("gradcore.ops.a", "import numpy as np", third_party_faults, "imports numpy"),
        ("gradcore.ops.a", "def f():\n    import numpy.linalg", third_party_faults, "imports numpy"),
        ("gradcore.backends.numpy", "import numpy as np", third_party_faults, ""),
        ("gradcore.backends.numpy", "import cupy", third_party_faults, "imports cupy"),
        ("gradcore.backends.cupy", "import cupyx.scipy.special", third_party_faults, ""),
        ("gradcore.backends.shared", "import torch", third_party_faults, "imports torch"),
        ("gradcore.ops.a", "import os, math", third_party_faults, ""),
        ("gradcore.ops.a", '"""A thing. More."""', form_faults, ""),
        ("gradcore.ops.a", '"""No sentence"""', form_faults, "does not open"),
        ("gradcore.ops.a", "x = 1", form_faults, "does not open"),
        ("gradcore.ops.a", '"""A."""\nfrom os import *', form_faults, "imports *"),
        ("gradcore.ops.utils", '"""A."""', form_faults, "say what is in the file"),
        ("gradcore.ops.a", '"""A."""\n' + "\n" * 450, form_faults, "split it"),
        ("tests.test_a", "torch = pytest.importorskip('torch')\nimport torch.nn", oracle_faults, ""),
        ("tests.test_a", "def test():\n    pytest.importorskip('torch._prims')", oracle_faults, "at the top"),
        ("tests.test_a", "def test():\n    from torch import nn", oracle_faults, "at the top"),
        ("tests.test_a", "import torch", oracle_faults, "at the top"),
    ],
)
def test_the_checks_see_what_they_look_for(name, source, check, fault) -> None:
    module = Module(name, source)
    layers = [name for layer in LAYERS for name in layer]
    known = {n: Module(n, "") for n in [*layers, "gradcore.special", "gradcore.graph.node", name]}
    faults = check(module, known) if check is layer_faults else check(module)
    if fault:
        assert len(faults) == 1
        assert fault in faults[0]
    else:
        assert faults == []


def test_a_circle_is_seen_and_a_lazy_import_is_none() -> None:
    two = Module("gradcore.b", "import gradcore.a")
    assert cycle({"gradcore.a": Module("gradcore.a", "import gradcore.b"), "gradcore.b": two})
    lazy = Module("gradcore.a", "def f():\n    import gradcore.b")
    assert not cycle({"gradcore.a": lazy, "gradcore.b": two})
