"""What the documents say: the README's commands, files and examples, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def test_the_readme_has_two_commands_that_ask_for_known_extras() -> None:
    commands = re.findall(r"^python3 -m venv \.venv && .*$", README, re.MULTILINE)
    assert len(commands) == 2  # .ci/run runs these lines as they stand
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {extra for extras in re.findall(r"\.\[([\w,]+)\]", README) for extra in extras.split(",")}
    assert asked <= set(project["optional-dependencies"])


def test_every_file_the_readme_points_to_exists() -> None:
    named = re.findall(r"`(\w+/[\w./]*|\w+\.(?:py|md|toml))`", README)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_documents_print_what_they_say(document: Path) -> None:
    blocks = re.findall(r"^```python\n(>>> .*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, document.name, str(document), 0)
    assert document.name != "README.md" or len(example.examples) >= 5
    report: list[str] = []
    found = doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=report.append)
    assert found.failed == 0, "".join(report)


def test_examples_in_docstrings_print_what_they_say() -> None:
    import gradcore

    names = ["gradcore", *(m.name for m in pkgutil.walk_packages(gradcore.__path__, "gradcore."))]
    failed = {}
    for name in names:
        if name == "gradcore.__main__":
            continue
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name in ("cupy", "cupyx"):  # what only a device needs
                continue
            raise
        result = doctest.testmod(module, optionflags=OPTIONS)
        if result.failed:
            failed[name] = result.failed
    assert failed == {}
