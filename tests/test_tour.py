"""`python -m gradcore`: that its numbers are right, and that the code it shows is the code that runs."""

from __future__ import annotations

import code
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from gradcore import __main__ as main
from tests.conftest import has_gpu

ROOT = Path(__file__).resolve().parents[1]
Shown = list[tuple[str, str]]

# What the statements of each step print, computed by hand. Step 4 prints random numbers.
EXPECTED = {
    1: [("w", "tensor([[1., 2.],\n        [3., 4.]], requires_grad=True)"), ("print(w.grad_fn)", "None")],
    2: [
        ("s", "tensor([[3., 4.],\n        [5., 6.]], grad_fn=<AddBackward0>)"),
        ("s.grad_fn", "<AddBackward0 object at 0x>"),
    ],
    3: [
        ("q", "tensor([[ 27.,  48.],\n        [ 75., 108.]], grad_fn=<MulBackward0>)"),
        ("loss", "tensor(64.5000, grad_fn=<MeanBackward0>)"),
    ],
    4: [
        ("r.requires_grad", "False"),
        ("r.requires_grad_()", "(random)"),
        ("energy.grad_fn", "<SumBackward0 object at 0x>"),
    ],
    5: [("w.grad", "tensor([[4.5000, 6.0000],\n        [7.5000, 9.0000]])")],
    6: [
        ("J", "tensor([[15., 10.,  6.],\n        [ 1.,  1.,  1.]])"),
        ("v @ J", "tensor([25., 20., 16.])"),
        ("grad(y, p, v)", "(tensor([25., 20., 16.]),)"),
    ],
    7: [
        ("w.grad", "tensor([[ 5.5000,  7.0000],\n        [ 8.5000, 10.0000]])"),
        ("w.grad.data.zero_()", "tensor([[0., 0.],\n        [0., 0.]])"),
        ("w.grad", "tensor([[1., 1.],\n        [1., 1.]])"),
    ],
    8: [("u", "tensor([[10., 20.],\n        [30., 40.]], grad_fn=<ViewBackward0>)")],
    9: [("t.grad", "tensor([10.0000,  5.0000,  2.5000,  1.2500])")],
    10: [
        ("square", "tensor(4., grad_fn=<PowBackward0>)"),
        ("cube", "tensor(8.)"),
        ("total", "tensor(12., grad_fn=<AddBackward0>)"),
        ("a.requires_grad, cube.requires_grad", "(True, False)"),
        ("a.grad", "tensor(4.)"),
    ],
    11: [
        ("b.data", "tensor([1.])"),
        ("b.data.requires_grad", "False"),
        ("b", "tensor([100.], requires_grad=True)"),
        ("b.grad", "tensor([2.])"),
    ],
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "gradcore", *arguments]
    settings = {**{k: v for k, v in os.environ.items() if k != "COLUMNS"}, **environment}
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)


def toured(device: str = "cpu", *, width: int = main.BESIDE, colour: bool = False) -> str:
    with redirect_stdout(io.StringIO()) as out:
        main.tour(device, width=width, colour=colour)
    return out.getvalue()


def columns(text: str) -> tuple[str, str]:
    """All code and all output of a tour printed side by side."""
    left, right = [], []
    for line in text.splitlines():
        if line[main.MARGIN + main.CODE_WIDTH + 1 :][:1] == "|":
            left.append(line[main.MARGIN : main.MARGIN + main.CODE_WIDTH].rstrip())
            right.append(line[main.MARGIN + main.CODE_WIDTH + 3 :])
    return ("\n".join(each for each in column if each) for column in (left, right))  # type: ignore[return-value]


def below(text: str) -> dict[int, Shown]:
    """By step, the statements that print something, and what, of a tour printed in one column."""
    found: dict[int, Shown] = {0: []}
    statement = output = ""
    for line in [*text.splitlines(), "  end"]:
        title = re.match(r" ?(\d+)  \S", line)
        if line.startswith("  | "):
            output += line[4:] + "\n"
            continue
        if output:
            found[max(found)].append((statement, masked(output.rstrip("\n"))))
            output = ""
        if title:
            found[int(title[1])] = []
        statement = line[2:]
    return found


def masked(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


@pytest.fixture(scope="module")
def narrow() -> dict[int, Shown]:
    return below(toured(width=80))


@pytest.mark.parametrize("step", EXPECTED)
def test_a_step_prints_the_right_numbers(narrow: dict[int, Shown], step: int) -> None:
    printed = [(s, "(random)" if s == "r.requires_grad_()" else shown) for s, shown in narrow[step]]
    # In the fifth step, the gradient stands above its closed form.
    assert printed == EXPECTED[step] + ([("1.5 * (w.detach() + 2)", printed[0][1])] if step == 5 else [])


def test_the_prompt_prints_the_same_from_the_code_that_is_shown() -> None:
    # Python's own interactive console reads the left column; what it prints must be the right one.
    shown, printed = columns(toured())
    assert shown.startswith("import gradcore\n")
    assert len(shown.splitlines()) > 50
    console = code.InteractiveConsole()
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
        more = False
        for line in shown.splitlines():
            if more and not line.startswith(" "):
                console.push("")  # the end of a block
            more = console.push(line)
    assert errors.getvalue() == ""
    assert masked(out.getvalue().rstrip("\n")) == masked(printed)


def test_the_command_succeeds_and_is_plain_in_a_pipe() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "\033" not in done.stdout
    assert [int(n) for n in re.findall(r"^ ?(\d+)  \S", done.stdout, re.MULTILINE)] == list(range(1, 12))
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_narrow_terminal_gets_the_same_in_one_column() -> None:
    done = run(COLUMNS="80")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert below(done.stdout) == below(toured(width=80))


def test_colour_adds_nothing_but_colour() -> None:
    coloured = toured(colour=True)
    assert "\033[1m" in coloured
    assert masked(re.sub(r"\033\[\dm", "", coloured)) == masked(toured())


def test_on_a_device_the_numbers_are_the_same(strict_cuda, narrow: dict[int, Shown], capsys) -> None:
    assert main.main(["--device", "cuda"]) == 0
    there = below(capsys.readouterr().out)
    assert sum(shown.count("device='cuda:0'") for step in there.values() for _, shown in step) > 15
    for number in set(EXPECTED) - {4}:
        for (statement, here), (same, on_device) in zip(narrow[number], there[number], strict=True):
            assert statement == same
            assert re.sub(r",\s+device='cuda:0'", "", on_device) == here


def test_the_default_device_is_put_back(strict_cuda, capsys) -> None:
    import gradcore

    main.main(["--device", "cuda"])
    assert gradcore.get_default_device() == gradcore.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "warp9"])
def test_a_device_that_is_not_there_is_one_line(device: str) -> None:
    if device == "cuda" and has_gpu():
        pytest.skip("there is one")
    done = run("--device", device)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"python -m gradcore: .*{device}.*\n", done.stderr)


def test_help_and_version() -> None:
    import gradcore

    assert "--device" in run("--help").stdout
    assert run("--version").stdout == f"gradcore {gradcore.__version__}\n"


def test_a_reader_may_leave_early() -> None:
    command = [sys.executable, "-m", "gradcore"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 0
