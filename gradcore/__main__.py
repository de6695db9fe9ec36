"""The tour: autograd in eleven steps, code beside what it prints. It must not know how gradcore works inside.

The code in the text below is what is shown and what is run: there is no second copy that could differ.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import zip_longest
from textwrap import fill, indent
from typing import Any

import gradcore
from gradcore import devices

MARGIN, CODE_WIDTH, OUTPUT_WIDTH = 2, 47, 48
BESIDE = MARGIN + CODE_WIDTH + len(" | ") + OUTPUT_WIDTH  # in a narrower terminal output goes below its code


# Each step: its title, what to notice, an empty line, the code.
TOUR = """\
# A leaf
A tensor that asks for gradients is where the graph starts: a leaf. Nothing computed it, so it has no
grad_fn.

w = gradcore.tensor([[1.0, 2.0], [3.0, 4.0]],
                    requires_grad=True)
w
print(w.grad_fn)

# A sum
A result remembers how it came about. Its grad_fn is the node that will send gradients back to the inputs.

s = w + 2
s
s.grad_fn

# Products and a mean
Each operation adds a node, and the last one names the result.

q = 3 * s * s
q
loss = q.mean()
loss

# requires_grad_
A tensor records nothing unless told to. From then on, so does all that is computed from it.

_ = gradcore.manual_seed(11)
r = gradcore.randn(2, 2) * 3 - 1
r.requires_grad
r.requires_grad_()
energy = (r * r).sum()
energy.grad_fn

# backward
The loss is the mean of 3 (w + 2)^2 over four elements, so its derivative is 3/2 (w + 2). One backward
pass computes it for all of w.

loss.backward()
w.grad
1.5 * (w.detach() + 2)

# Products with the Jacobian
For several results the derivative is a matrix J, one row per result. Autograd never builds it: it
multiplies a vector by it, v @ J. Unit vectors give the rows.

p = gradcore.tensor([2.0, 3.0, 5.0],
                    requires_grad=True)
y = gradcore.stack([p.prod(), p.sum()])
grad = gradcore.autograd.grad
rows = [grad(y, p, unit, retain_graph=True)[0]
        for unit in gradcore.eye(2)]
J = gradcore.stack(rows)
J
v = gradcore.tensor([1.0, 10.0])
v @ J
grad(y, p, v)

# Gradients add up
A further backward pass adds to w.grad what it finds: here 1 for each element. To start anew, zero it.

w.sum().backward()
w.grad
w.grad.data.zero_()
w.sum().backward()
w.grad

# A view
Another shape of the same memory is an operation like any other: gradients find their way through it.

t = gradcore.arange(1.0, 5.0,
                    requires_grad=True)
u = (10 * t).view(2, 2)
u

# Backward from a matrix
A pass starts from a single number. A result of any other shape needs weights of its own shape: what comes
back is the gradient of the weighted sum.

weights = gradcore.tensor([[1.0, 0.5],
                           [0.25, 0.125]])
u.backward(weights)
t.grad

# no_grad
Nothing is recorded inside the block. The sum depends on a twice, but gradients come back through a**2
alone: 2a, without the 3a**2 of the other term.

a = gradcore.tensor(2.0, requires_grad=True)
square = a**2
with gradcore.no_grad():
    cube = a**3
total = square + cube
square
cube
total
a.requires_grad, cube.requires_grad
total.backward()
a.grad

# .data
The same numbers without the history: a change through .data is seen by the tensor, missed by autograd.

b = gradcore.ones(1, requires_grad=True)
b.data
b.data.requires_grad
double = 2 * b
b.data *= 100
double.backward()
b
b.grad
"""


def steps() -> Iterator[tuple[str, str, str]]:
    """The steps of the tour: title, text and code of each."""
    for step in TOUR.split("# ")[1:]:
        about, _, code = step.partition("\n\n")
        title, _, text = about.partition("\n")
        yield title, text, code


def statements(code: str) -> Iterator[tuple[list[str], ast.stmt]]:
    """The statements of `code`, each with its lines."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        yield lines[node.lineno - 1 : node.end_lineno], node


def printed(node: ast.stmt, names: dict[str, Any]) -> list[str]:
    """Run one statement as the interactive prompt would; return the lines it prints."""
    with redirect_stdout(io.StringIO()) as out:
        if isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), "<tour>", "eval"), names)
            if value is not None:
                print(repr(value))
        else:
            exec(compile(ast.Module([node], []), "<tour>", "exec"), names)
    return out.getvalue().splitlines()


def show(code: str, names: dict[str, Any], *, beside: bool, colour: bool) -> None:
    """Run `code` in the namespace `names` and print it, each statement's output beside it or below it."""
    bar = "\033[2m|\033[0m" if colour else "|"
    margin = " " * MARGIN
    for lines, node in statements(code):
        output = printed(node, names)
        if beside:
            for left, right in zip_longest(lines, output, fillvalue=""):
                print(f"{margin}{left:{CODE_WIDTH}} {bar} {right}".rstrip())
        else:
            print(*(margin + line for line in lines), *(f"{margin}{bar} {line}" for line in output), sep="\n")


def tour(device: str, *, width: int, colour: bool) -> None:
    """Print all steps, `width` columns wide."""
    # A GPU's tensors say where they are, which takes more room than there is.
    beside = width >= BESIDE and device == "cpu"
    bold, plain = ("\033[1m", "\033[0m") if colour else ("", "")
    names: dict[str, Any] = {}
    print(f"{bold}gradcore {gradcore.__version__} on {device}: autograd in eleven steps{plain}\n")
    show("import gradcore", names, beside=beside, colour=colour)
    if device != "cpu":
        show(f'gradcore.set_default_device("{device}")', names, beside=beside, colour=colour)
    for number, (title, text, code) in enumerate(steps(), 1):
        print(f"\n{bold}{number:{MARGIN}}  {title}{plain}")
        print(indent(fill(text, min(width, BESIDE) - 4), " " * 4), end="\n\n")
        show(code.rstrip(), names, beside=beside, colour=colour)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tour with the command line's `arguments`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcore",
        description="A tour of autograd in eleven steps: code, and what it prints when run here.",
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda", help="where to compute (default: cpu)")
    parser.add_argument("--version", action="version", version=f"gradcore {gradcore.__version__}")
    device = parser.parse_args(arguments).device
    try:
        devices.backend(device)
    except RuntimeError as error:
        parser.exit(1, f"{parser.prog}: {' '.join(str(error).split())}\n")
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    outside = devices.get_default_device()
    try:
        tour(device, width=shutil.get_terminal_size((BESIDE, 24)).columns, colour=colour)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        devices.set_default_device(outside)
    return 0


if __name__ == "__main__":
    sys.exit(main())
