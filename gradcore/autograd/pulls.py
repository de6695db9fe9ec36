"""A backward pass that says what it does: the rules of each node, what goes in and what comes out. It must not know any."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO

from gradcore import engine
from gradcore.autograd.held import saved_arrays
from gradcore.graph import Leaf, Node, Output
from gradcore.graph.node import Target
from gradcore.printing import printoptions
from gradcore.recorder.around import Around, nodes_behind, plain, standing
from gradcore.recorder.hooks import shown
from gradcore.recorder.primitive import names
from gradcore.recorder.steps import Step
from gradcore.recorder.value import Value, wrap


class trace_backward:
    """Print what each node of this thread's backward passes does inside a `with` block, in the order of the sweep.

    For a node: the cotangent that has arrived, what was saved, and for each input the rule, where its result goes, and the
    result. `file` is where to print (standard output by default), `threshold` how many numbers of a tensor are shown.
    """

    def __init__(self, file: TextIO | None = None, threshold: int = 20) -> None:
        self._file, self._threshold = file, threshold

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        engine.observers.append(self._sweep)

    def __exit__(self, *exception: object) -> None:
        engine.observers.remove(self._sweep)

    def _sweep(self, targets: Sequence[Target], wanted: set[Target] | None) -> AbstractContextManager[None]:
        if threading.get_ident() != self._thread:
            return nullcontext()
        return standing(nodes_behind(targets), lambda node: _Telling(node, self._tell))

    def _tell(self, lines: Iterator[tuple[str, Any]]) -> None:
        with printoptions(threshold=self._threshold, edgeitems=2):
            for head, value in lines:
                told = repr(wrap(value._array)) if isinstance(value, Value) else value
                print(head + textwrap.indent(told, " " * len(head)).lstrip(), file=self._file or sys.stdout)


class _Telling(Around):
    """A step that says what it pulls back, and to where."""

    def __init__(self, node: Node, tell: Callable[[Iterator[tuple[str, Any]]], None]) -> None:
        super().__init__(node.step)
        self.targets = node.targets
        self.saved = saved_arrays(node)
        self.tell = tell

    def around(self, g: Any, pull: Callable[[Any], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Pull back, and tell what came of it."""
        cotangents = pull(g)
        self.tell(self._story(g, cotangents))
        return cotangents

    def _story(self, g: Any, cotangents: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
        yield self.step.name, ""
        for part in g if isinstance(g, list) else [g]:
            yield "  g = ", "nothing" if part is None else shown(part)
        for name, array in self.saved:
            yield f"  {name} = ", shown(array)
        for told, where, c in zip(self._rules(len(cotangents)), self.targets, cotangents, strict=True):
            yield f"  {told}to {_named(where)}: ", "nothing" if c is None else shown(c)

    def _rules(self, n: int) -> list[str]:
        step = plain(self.step)
        if not isinstance(step, Step) or step.op.vjp is not None:
            return [""] * n
        inputs = [x for x, needed in zip(step.op.inputs, step.needs, strict=True) if needed]
        rules = step.op.rules_for(step.needs)
        return [f"{x}: {formula(rule)}, " for x, rule in zip(inputs, rules, strict=True)]


def _named(where: Target) -> str:
    if isinstance(where, Leaf):
        owner = where.variable
        return "a leaf" if owner is None else f"the leaf of shape {list(owner._array.shape)}"
    return f"output {where.index} of {where.node.name()}" if isinstance(where, Output) else where.name()


def formula(rule: Callable[..., Any]) -> str:
    """What a rule computes, as it is written: the expression of a lambda, the call of another function."""
    code: Any = rule.__code__
    if code.co_name == "<lambda>":
        places = {place[:1] + place[2:3] for place in code.co_positions() if place[2] is not None}
        for each in _lambdas(code.co_filename):
            if each.lineno == code.co_firstlineno and (each.body.lineno, each.body.col_offset) in places:
                return ast.unparse(each.body)
    return f"{code.co_name}({', '.join(names(rule))})"


@functools.cache
def _lambdas(file: str) -> list[ast.Lambda]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
