"""Every operation is where users look for it, at run time and for type checkers. It must not test what they do."""

from __future__ import annotations

import ast
import copy
import pickle
import subprocess
import sys
from importlib import import_module

import pytest

import gradcore
from gradcore import ops
from gradcore.ops.later import MODULES
from gradcore.ops.registry import functions, methods
from tests import public_names
from tests.public_names import FILES, ROOT, block, written


@pytest.mark.parametrize("namespace", FILES)
def test_the_lists_for_type_checkers_are_up_to_date(namespace: str) -> None:
    assert written(namespace) == block(namespace), "run: python -m tests.public_names"


def test_every_function_is_found_in_its_namespace() -> None:
    ops.load()
    for namespace, named in functions.items():
        module = import_module(f"gradcore.{namespace}".rstrip("."))
        for name, function in named.items():
            assert getattr(module, name) is function, f"{module.__name__}.{name}"


NAMESPACES = (
    "", "autograd", "cuda", "fft", "func", "linalg", "masked", "nn", "nn.functional", "nn.init", "nn.utils", "optim",
    "optim.lr_scheduler", "special", "testing", "utils.data",
)  # fmt: skip


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_what_is_public_can_be_pickled_and_copied(namespace: str) -> None:
    ops.load()
    module = import_module(f"gradcore.{namespace}".rstrip("."))
    for name in {name for name in dir(module) if name[0] != "_"} | functions.get(namespace, {}).keys():
        public = getattr(module, name)
        if callable(public) and getattr(public, "__module__", "").startswith("gradcore"):
            assert pickle.loads(pickle.dumps(public)) is public, name
            assert copy.deepcopy(public) is public, name


def test_every_method_is_found_on_tensors_and_their_class() -> None:
    ops.load()
    x = gradcore.ones(2, 2)
    for name, method in methods.items():
        assert name in vars(gradcore.Tensor) or getattr(gradcore.Tensor, name) is method
        if not isinstance(method, property):
            assert hasattr(x, name)


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_few_programs_use_is_imported_when_first_asked_for() -> None:
    loaded = "print(*(m for m in sys.modules if m.startswith('gradcore.')))"
    before = run(f"import sys, gradcore; {loaded}")
    after = run(f"import sys, gradcore; gradcore.einsum; {loaded}")
    assert "gradcore.ops.einsum" not in before
    assert "gradcore.ops.einsum" in after
    assert "gradcore.ops.ctc" not in after  # nor what nobody asked for
    assert "gradcore.nn" not in before


def test_what_comes_later_is_listed_by_dir_and_kept_once_it_came() -> None:
    names = run("import gradcore; print(*dir(gradcore))")
    assert {"softmax", "einsum", "manual_seed", "set_printoptions", "load", "linalg", "add", "Tensor"} <= set(names)
    for name in names:
        if not name.startswith("_"):
            assert getattr(gradcore, name) is vars(gradcore)[name], name


def test_operations_ask_the_registry_for_nothing_that_may_not_be_loaded() -> None:
    # What another module has is imported, since that loads it.
    late = {name for names in MODULES.values() for name in names.split()}
    asked = []
    for path in sorted((ROOT / "gradcore/ops").glob("*.py")):
        own = set(MODULES.get(path.stem, "").split())
        for function in ast.walk(ast.parse(path.read_text())):
            for node in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
                if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                    registry = ast.unparse(node.value).partition("[")[0]
                    if registry in ("functions", "methods") and node.slice.value in late - own:
                        asked.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert asked == []
    code = "import gradcore; print(gradcore.where(gradcore.tensor([False, True]))[0].item())"
    assert run(code) == ["1"]


def test_properties_that_are_not_loaded_can_be_set() -> None:
    # Without `__set__`, setting it would only put a value into the tensor's dictionary.
    code = "import gradcore; print(*(n for n, v in vars(gradcore.Tensor).items() if hasattr(v, '__set__')))"
    ops.load()
    settable = {name for name, value in methods.items() if isinstance(value, property) and value.fset}
    assert {"real", "imag"} <= settable <= set(run(code))


def test_unknown_names_are_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'gradcore' has no attribute 'summ'"):
        gradcore.summ  # noqa: B018
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'summ'"):
        gradcore.ones(2).summ  # noqa: B018
    with pytest.raises(AttributeError):
        gradcore.__wrapped__  # noqa: B018
    assert public_names.home("nothing", object()) is None


@pytest.mark.parametrize("file", ["gradcore/__init__.py", "gradcore/nn/__init__.py"])
def test_names_are_exported_to_strict_type_checkers(file: str) -> None:
    """They take an imported name for a public one if it is written `x as x`."""
    tree = ast.parse((ROOT / file).read_text())
    imports = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    hidden = [each.name for each in imports if not (each.asname or "").startswith("_") and each.asname != each.name]
    assert len(imports) > 100
    assert not hidden
