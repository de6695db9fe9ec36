"""Straight-line recorders: the commonest case of `record.apply`, unrolled per primitive. It must not change what that means.

The case: every input is a Tensor without rarities, of one floating dtype (or, for a binary primitive, one is a Python
number), and no thread needs the general path. Anything else, an exception included, goes to `record.apply`. The code is
written when the primitive is first called, since most programs use few of them.
"""

from __future__ import annotations

import types
from threading import get_ident
from typing import Any

from gradcore.backends import numpy as host
from gradcore.graph import Node, modes, stamps
from gradcore.recorder import value
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.record import apply
from gradcore.recorder.steps import FITTED, compiled, kernels_of

FLOAT32, FLOAT64 = host.dtype("float32"), host.dtype("float64")


def specialise(op: Primitive, function: Any) -> None:
    """Give `function`, the function of Tensors for `op`, its real code."""
    source = _source(op)
    on_host = kernels_of(op)[host.Array]
    namespace: dict[str, Any] = function.__globals__
    namespace.update(
        apply=apply,
        kernels=kernels_of(op),
        host=on_host,
        forward=on_host.forward,
        as_array=host.as_array,
        quietly=host.quietly,
        new=object.__new__,
        Tensor=value.result_type[0],
        plain=value.plain,
        Node=Node,
        stamps=stamps,
        grad_off=modes.grad_off,
        get_ident=get_ident,
        unusual=modes.unusual,
        float32=FLOAT32,
        float64=FLOAT64,
        constant=constant,
        Array=host.Array,
        constants32=_constants32,
        constants64=_constants64,
        **{f"default_{name}": default for name, default in op.defaults.items()},
    )
    made: dict[str, Any] = {}
    exec(compiled(source), namespace, made)
    written: types.FunctionType = made["recorder"]
    function.__code__ = written.__code__.replace(co_name=op.name)
    function.__defaults__ = written.__defaults__
    function.__kwdefaults__ = written.__kwdefaults__


# -- numbers as arrays ------------------------------------------------------------------------------------------------
# NumPy takes twice as long for `array * 3.0` as for `array * array_of_3`, so numbers that come again are kept as arrays.

_constants32: dict[Any, Any] = {}
_constants64: dict[Any, Any] = {}
_CONSTANTS = 4096


def constant(array: Any, number: Any) -> Any:
    """`number` as what operations with `array` are fastest with: a read-only 0-d array on the host."""
    if type(array) is not host.Array:
        return number
    kept = _constants32 if array.dtype is FLOAT32 else _constants64
    made = host.asarray(number, array.dtype)
    made.flags.writeable = False
    if number and number == number:  # 0.0 and -0.0 are one key, and nan is never found again
        if len(kept) >= _CONSTANTS:
            kept.clear()
        kept[number] = made
    return made


# -- the source -------------------------------------------------------------------------------------------------------


def _source(op: Primitive) -> str:
    keywords = "".join(f", {p}=default_{p}" if p in op.defaults else f", {p}" for p in op.params)
    params = f"{{{', '.join(f'{p!r}: {p}' for p in op.params)}}}"
    if op.variadic:
        *first, rest = op.inputs
        star = f"{''.join(f'{x}, ' for x in first)}*{rest}"
        return f"def recorder({star}{keywords}):\n    return apply(op, function, [{star}], {params})\n"
    inputs = ", ".join(op.inputs)
    signature = f"{inputs}{keywords}"
    general = f"return apply(op, function, [{inputs}], {params})"
    single = len(op.outputs) == 1 and op.outputs != ("outs",)
    if not single or op.view or len(op.inputs) > 2 or op.vjp is not None:
        return f"def recorder({signature}):\n    {general}\n"
    body = (_unary if len(op.inputs) == 1 else _binary)(op)
    return f"def recorder({signature}):\n{_indented(body, 1)}\n    {general}\n"


def _indented(lines: list[str], depth: int) -> str:
    return "\n".join("    " * depth + line for line in lines)


def _result(op: Primitive) -> list[str]:
    return [
        "result = new(Tensor)",
        "result._array = out",
        "result._meta = None",
    ]


def _node(op: Primitive, needs: tuple[bool, ...], key: str, fits: str | None = None) -> list[str]:
    saved = []
    for name in op.layout(needs):
        if name in op.inputs:
            saved.append(f"a{op.inputs.index(name)}")
        elif name in op.outputs:
            saved.append("out")
        elif name in op.params:
            saved.append(name)
        else:
            input_, _, attribute = name.rpartition("_")
            saved.append(f"a{op.inputs.index(input_)}.{attribute}")
    inner = f"({''.join(f'{each}, ' for each in saved)})"
    targets = "".join(f"t{i}, " for i, needed in enumerate(needs) if needed)
    return [
        "node = result._node = Node()",
        "node.stamp = next(stamps)",
        f"node.step = kernel.{key}",
        f"node.targets = ({targets})",
        f"node.saved = {inner if fits is None else f'({inner}, {fits})'}",
        "node.hooks = None",
        "return result",
    ]


def _forward(op: Primitive, *args: str) -> list[str]:
    call = ", ".join((*args, *(f"{p}={p}" for p in op.params)))
    return [
        "try:",
        "    if type(a0) is Array:",
        "        kernel = host",
        f"        out = quietly(forward, {call})",
        "        if type(out) is not Array:",
        "            out = as_array(out)",
        "    else:",
        "        kernel = kernels[type(a0)]",
        f"        out = kernel.as_array(kernel.forward({call}))",
        "except Exception:",
        f"    {_again(op)}",
    ]


def _again(op: Primitive) -> str:
    params = f"{{{', '.join(f'{p!r}: {p}' for p in op.params)}}}"
    return f"return apply(op, function, [{', '.join(op.inputs)}], {params})"


def _unary(op: Primitive) -> list[str]:
    (x,) = op.inputs
    recorded = _node(op, (True,), "step1") if op.differentiable else ["result._node = None", "return result"]
    return [
        f"if (type({x}) is Tensor or type({x}) in plain) and {x}._meta is None and not unusual:",
        f"    a0 = {x}._array",
        "    have = a0.dtype",
        "    if have is float32 or have is float64:",
        *("        " + line for line in _forward(op, "a0")),
        *("        " + line for line in _result(op)),
        f"        t0 = {x}._node",
        "        if t0 is None or (grad_off and get_ident() in grad_off):",
        "            result._node = None",
        "            return result",
        *("        " + line for line in recorded),
    ]


def _binary(op: Primitive) -> list[str]:
    x, y = op.inputs
    fit = op.kind == "elementwise"
    both = (op.has_rule(0), op.has_rule(1))
    nodes: list[str] = []

    def record(needs: tuple[bool, ...]) -> list[str]:
        bits = sum(needed << i for i, needed in enumerate(needs))
        if not any(needs):
            return ["result._node = None", "return result"]
        if not fit:
            return _node(op, needs, f"step{bits}")
        if all(needs):
            same = "a0.shape == a1.shape"
            fits = "".join(f"None if a{i}.shape == out.shape else a{i}.shape, " for i in range(2))
        else:
            same = f"a{needs.index(True)}.shape == out.shape"
            fits = f"a{needs.index(True)}.shape, "
        return [
            f"if {same}:",
            *("    " + line for line in _node(op, needs, f"step{bits}")),
            *_node(op, needs, f"steps[{bits + FITTED}]", f"({fits})"),
        ]

    nodes = [
        "if (t0 is None and t1 is None) or (grad_off and get_ident() in grad_off):",
        "    result._node = None",
        "    return result",
        "if t1 is None:",
        *("    " + line for line in record((both[0], False))),
        "if t0 is None:",
        *("    " + line for line in record((False, both[1]))),
        *record(both),
    ]
    # Where nothing is promoted, indices and masks are as good as arrays of the same dtype.
    same_dtype = "a1.dtype is have" if fit or both[1] else '(a1.dtype is have or a1.dtype.kind in "biu")'
    lines = [
        f"if (type({x}) is Tensor or type({x}) in plain) and {x}._meta is None and not unusual:",
        f"    a0 = {x}._array",
        "    have = a0.dtype",
        "    if have is float32 or have is float64:",
        f"        if (type({y}) is Tensor or type({y}) in plain):",
        f"            if {y}._meta is None:",
        f"                a1 = {y}._array",
        f"                if {same_dtype} and type(a1) is type(a0):",
        *("                    " + line for line in _forward(op, "a0", "a1")),
        *("                    " + line for line in _result(op)),
        f"                    t0 = {x}._node",
        f"                    t1 = {y}._node",
        *("                    " + line for line in nodes),
    ]
    if fit and not op.unpromoted:
        lines += [
            f"        elif type({y}) is float or type({y}) is int:",
            f"            a1 = (constants32 if have is float32 else constants64).get({y})",
            "            if a1 is None or type(a0) is not Array:",
            f"                a1 = constant(a0, {y})",
            *("            " + line for line in _forward(op, "a0", "a1")),
            *("            " + line for line in _result(op)),
            f"            t0 = {x}._node",
            "            if t0 is None or (grad_off and get_ident() in grad_off):",
            "                result._node = None",
            "                return result",
            *("            " + line for line in (_node(op, (True, False), "step1") if both[0] else ["result._node = None", "return result"])),
        ]
    return lines


