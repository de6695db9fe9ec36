"""What gets installed: the wheel, the same package in an empty environment and at the checkout's root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = {"gradcore": ROOT / "gradcore", "gradcore.backends": ROOT / "backends"}

# Every module found on the path of the package, and every module that importing the package has run.
LIST_MODULES = """
import os, pkgutil, sys, gradcore
found = ["gradcore", *(m.name for m in pkgutil.walk_packages(gradcore.__path__, "gradcore."))]
print(os.path.realpath(gradcore.__file__))
print(*sorted(found))
print(*sorted(m for m in sys.modules if m.partition(".")[0] == "gradcore"))
"""


def run(*command: object, cwd: Path) -> str:
    # Neither the checkout nor an installed gradcore may reach the child through the environment.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def python_files() -> set[str]:
    """Return the archive paths the wheel owes us, from the source folders themselves."""
    linked = ROOT / "gradcore/backends"
    return {
        str(Path(name.replace(".", "/")) / path.relative_to(folder))
        for name, folder in SOURCES.items()
        for path in folder.rglob("*.py")
        if not path.is_relative_to(linked)
    }


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: no earlier `build/` slips into it, and none of ours into the tree."""
    copy = tmp_path_factory.mktemp("wheel") / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    for name in ("gradcore", "backends", "tests", "bench"):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    # The backend itself, not a front end: that would fetch setuptools into an isolated environment.
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    name = run(sys.executable, "-c", build, copy.parent, cwd=copy).split()[-1]
    return copy.parent / name


@pytest.fixture(scope="session")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel and NumPy and nothing else."""
    home = tmp_path_factory.mktemp("empty")
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(home)
    python = Path(builder.ensure_directories(home).env_exe)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # NumPy is copied from the running environment: the test needs no network.
    files = metadata.files("numpy") or []
    for top in sorted({file.parts[0] for file in files} - {"..", "."}):
        source = Path(str(metadata.distribution("numpy").locate_file(top)))
        shutil.copytree(source, site / top, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--no-index", wheel, cwd=home)
    return python


def test_every_package_is_listed() -> None:
    # Needs no build, so that whoever adds a folder is told at once, and told what to write.
    folders = {str(Path(file).parent).replace("/", ".") for file in python_files()}
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    missing, gone = sorted(folders - listed), sorted(listed - folders)
    assert not missing, f"add to [tool.setuptools] packages in pyproject.toml: {missing}"
    assert not gone, f"no such folder, take out of [tool.setuptools] packages in pyproject.toml: {gone}"


def test_every_folder_is_a_package() -> None:
    files = python_files()
    bare = {str(Path(file).parent) for file in files if f"{Path(file).parent}/__init__.py" not in files}
    assert not bare, f"without __init__.py: {sorted(bare)}"


def test_backends_are_linked_into_the_package() -> None:
    link = ROOT / "gradcore/backends"
    assert link.is_symlink(), "gradcore/backends must be a link to ../backends (see docs/architecture.md)"
    assert Path(os.readlink(link)) == Path("../backends")


def test_backends_have_one_identity() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import backends"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    assert "gradcore.backends" in done.stderr


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        record = archive.read(f"{info}/RECORD").decode()
        about = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    inside = {name for name in names if not name.startswith(info)}
    assert inside == python_files() | {"gradcore/py.typed"}
    assert f"{info}/licenses/LICENSE" in names
    assert {line.partition(",")[0] for line in record.splitlines()} == names
    assert "gradcore/backends/numpy.py," in record
    assert about["License-Expression"] == "MIT"
    required = [r for r in about.get_all("Requires-Dist") if "extra ==" not in r]
    assert required == ["numpy>=2.2"]


@pytest.mark.slow
def test_root_and_wheel_give_the_same_modules(empty: Path, tmp_path: Path) -> None:
    # One interpreter, two working directories: at the root the checkout comes before the installed wheel.
    root_file, *root_modules = run(empty, "-B", "-c", LIST_MODULES, cwd=ROOT).splitlines()
    wheel_file, *wheel_modules = run(empty, "-B", "-c", LIST_MODULES, cwd=tmp_path).splitlines()
    assert Path(root_file) == ROOT / "gradcore/__init__.py"
    assert Path(wheel_file).is_relative_to(Path(empty).parents[1].resolve())
    assert wheel_modules == root_modules
    assert "gradcore.backends.numpy" in wheel_modules[0].split()


@pytest.mark.slow
def test_wheel_works_with_numpy_alone(empty: Path, tmp_path: Path) -> None:
    code = "import gradcore; x = gradcore.ones(2, requires_grad=True); x.sum().backward(); print(x.grad)"
    assert run(empty, "-W", "error", "-c", code, cwd=tmp_path) == "tensor([1., 1.])\n"


def test_versions_agree() -> None:
    import gradcore

    assert gradcore.__version__ == PROJECT["project"]["version"]
