"""Straight-line recorders: the commonest case of `record.apply`, unrolled per primitive. It must not change what that means.

The case: every input is a Tensor of one real dtype (or an index, a mask or None, where nothing is promoted; or, for a
binary primitive, one is a Python number), and no thread needs the general path. Anything else, an exception included, goes
to `record.apply`. The code is written when the primitive is first called, since most programs use
few of them.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from threading import get_ident
from typing import Any

from gradcore.backends import numpy as host
from gradcore.graph import Node, Output, modes, stamps
from gradcore.recorder import value, views
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.record import apply
from gradcore.recorder.steps import FITTED, compiled, kernels_of

FLOAT32, FLOAT64, INT64 = host.dtype("float32"), host.dtype("float64"), host.dtype("int64")


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
        dense=host.dense,
        quietly=host.quietly,
        new=object.__new__,
        Tensor=value.result_type[0],
        plain=value.plain,
        Node=Node,
        Output=Output,
        stamps=stamps,
        grad_off=modes.grad_off,
        get_ident=get_ident,
        unusual=modes.unusual,
        float32=FLOAT32,
        float64=FLOAT64,
        constant=constant,
        settled=views.settled,
        note_view=views.note_view,
        shares=views.shares,
        recipes=Recipes(op),
        others=_other_dtypes(op),
        FITTED=FITTED,
        Array=host.Array,
        int64=INT64,
        constants32=_constants[FLOAT32],
        constants64=_constants[FLOAT64],
        integers=_constants[INT64],
        **{f"default_{name}": default for name, default in op.defaults.items()},
    )
    made: dict[str, Any] = {}
    exec(compiled(source), namespace, made)
    written: types.FunctionType = made["recorder"]
    # The code last: another thread may call the function between these lines.
    function.__defaults__ = written.__defaults__
    function.__kwdefaults__ = written.__kwdefaults__
    function.__code__ = written.__code__.replace(co_name=op.name)


# -- numbers as arrays ------------------------------------------------------------------------------------------------
# NumPy takes twice as long for `array * 3.0` as for `array * array_of_3`, so numbers that come again are kept as arrays.

_constants: dict[Any, dict[Any, Any]] = {FLOAT32: {}, FLOAT64: {}, INT64: {}}
_CONSTANTS = 4096


def constant(array: Any, number: Any) -> Any:
    """`number` as what operations with the host array `array` are fastest with: a read-only 0-d array of its dtype."""
    kept = _constants[array.dtype]
    made = host.asarray(number, array.dtype)
    made.flags.writeable = False
    if number and number == number:  # 0.0 and -0.0 are one key, and nan is never found again
        if len(kept) >= _CONSTANTS:
            kept.clear()
        kept[number] = made
    return made


# -- the source -------------------------------------------------------------------------------------------------------
# In it a0, a1, ... are the inputs' arrays, t0, t1, ... where the inputs came from, `out` the array of the result and
# `result` the result; out0, out1, ... and result0, result1, ... if there are several.

UNROLLED = 2  # with more inputs than this, one table instead of a branch for each choice of inputs that need a cotangent


def _source(op: Primitive) -> str:
    keywords = "".join(f", {p}=default_{p}" if p in op.defaults else f", {p}" for p in op.params)
    if op.variadic:
        star = ", ".join([*op.inputs[:-1], f"*{op.inputs[-1]}"])
        lines = _of_many(op) if len(op.inputs) == len(op.outputs) == 1 and op.vjp else [_general(op)]
        return "\n    ".join([f"def recorder({star}{keywords}):", *lines]) + "\n"
    if op.outputs == ("outs",):
        lines = _into_many(op) if len(op.inputs) == 1 else [_general(op)]
    else:
        lines = _straight(op) if _straight_will_do(op) else [_general(op)]
    return "\n    ".join([f"def recorder({', '.join(op.inputs)}{keywords}):", *lines]) + "\n"


def _straight_will_do(op: Primitive) -> bool:
    one = len(op.outputs) == 1
    fixed = one or not (op.view or op.kind == "elementwise")
    return fixed and "f" not in op.refuses and _lead(op) is not None


def _outs(op: Primitive) -> list[str]:
    if op.outputs == ("outs",):
        return ["outs"]
    return ["out"] if len(op.outputs) == 1 else [f"out{i}" for i in range(len(op.outputs))]


def _results(op: Primitive) -> list[str]:
    return ["result"] if len(op.outputs) == 1 else [f"result{i}" for i in range(len(op.outputs))]


def _params(op: Primitive) -> str:
    return f"{{{', '.join(f'{p!r}: {p}' for p in op.params)}}}"


def _general(op: Primitive) -> str:
    star = ["*" + x if op.variadic and x == op.inputs[-1] else x for x in op.inputs]
    return f"return apply(op, function, [{', '.join(star)}], {_params(op)})"


def _of_many(op: Primitive) -> list[str]:
    """The recorder of a primitive of any number of inputs and nothing else, none of them promoted."""
    (xs,) = op.inputs
    saved = {xs: "tuple(arrays)", f"{xs}_shape": "tuple([a.shape for a in arrays])", op.outputs[0]: "out"}
    return [
        "if unusual:",
        f"    {_general(op)}",
        "arrays, targets = [], []",
        f"for x in {xs}:",
        f"    if {_is_odd('x')}:",
        f"        {_general(op)}",
        "    arrays.append(x._array)",
        "    targets.append(x._node)",
        "a0 = arrays[0] if arrays else None",
        "have = getattr(a0, 'dtype', None)",
        "if have is not float32 and have is not float64 and have not in others:",
        f"    {_general(op)}",
        "for a in arrays:",
        "    if a.dtype is not have or type(a) is not type(a0):",
        f"        {_general(op)}",
        *_forward(op, "a0", ["*arrays"]),
        "result = new(Tensor)",
        "result._array = out",
        "result._meta = result._node = None",
        "if targets.count(None) == len(targets) or (grad_off and get_ident() in grad_off):",
        "    return result",
        "node = result._node = Node()",
        "node.stamp = next(stamps)",
        "node.step = kernel.steps[tuple([t is not None for t in targets]), False, False]",
        "node.targets = tuple([t for t in targets if t is not None])",
        f"node.saved = ({''.join(f'{saved.get(name, name)}, ' for name in op.layout((True,)))})",
        "node.hooks = None",
        "return result",
    ]


def _into_many(op: Primitive) -> list[str]:
    """The recorder of a primitive of one input that returns any number of results."""
    (x,) = op.inputs
    views_of = [
        "if results and shares(results[0]._array, a0):",
        "    for i, result in enumerate(results):",
        f"        note_view(result, {x}, function, {_params(op)}, i)",
    ]
    return [
        f"if unusual or {_is_odd(x)}:",
        f"    {_general(op)}",
        f"a0 = {x}._array",
        "have = a0.dtype",
        "if have is not float32 and have is not float64 and have not in others:",
        f"    {_general(op)}",
        *_forward(op, "a0", ["a0"]),
        "results = []",
        "for out in outs:",
        "    result = new(Tensor)",
        "    result._array = kernel.as_array(out)",
        "    result._meta = result._node = None",
        "    results.append(result)",
        *(views_of if op.view else []),
        f"t0 = {x}._node",
        "if t0 is None or not results or (grad_off and get_ident() in grad_off):",
        "    return tuple(results)",
        "node = Node()",
        "node.stamp = next(stamps)",
        "node.step = kernel.step1",
        "node.targets = (t0,)",
        f"node.saved = ({_saved(op, (True,))}, tuple([(r._array.shape, r._array.dtype) for r in results]))",
        "node.hooks = None",
        "for i, result in enumerate(results):",
        "    result._node = Output(node, i, len(results))",
        "return tuple(results)",
    ]


def _lead(op: Primitive) -> int | None:
    """The first input that is promoted: its dtype is that of the operation."""
    return next((i for i, x in enumerate(op.inputs) if x not in op.unpromoted), None)


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _other_dtypes(op: Primitive) -> frozenset[Any]:
    """Besides the usual two, the dtypes in which arrays need no promotion and no conjugates."""
    kinds = "f" if op.to_float else "biuf"
    codes = "? b B h H i I q Q e".split()
    return frozenset(
        dtype for dtype in map(host.dtype, codes) if dtype.kind in kinds and dtype.kind not in op.refuses
    )


def _straight(op: Primitive) -> list[str]:
    lead = _lead(op)
    assert lead is not None
    lines = [f"if unusual or {_is_odd(op.inputs[lead])}:", f"    {_general(op)}"]
    lines += [f"a{lead} = {op.inputs[lead]}._array", f"have = a{lead}.dtype"]
    lines += ["if have is not float32 and have is not float64 and have not in others:", f"    {_general(op)}"]
    for i, x in enumerate(op.inputs):
        if i != lead:
            lines += _input(op, i, x, f"a{lead}")
    arrays = [f"a{i}" for i in range(len(op.inputs))]
    lines += _forward(op, f"a{lead}", arrays)
    for out, result in zip(_outs(op), _results(op), strict=True):
        lines += [f"{result} = new(Tensor)", f"{result}._array = {out}", f"{result}._meta = None"]
    if op.view:
        lines += ["if out.base is not None and shares(out, a0):"]
        lines += [f"    note_view(result, {op.inputs[0]}, function, {_params(op)})"]
    return lines + _recorded(op)


def _is_odd(x: str, cls: str = "") -> str:
    cls = cls or f"type({x})"
    return f"{cls} is not Tensor and {cls} not in plain or {x}._meta is not None and not settled({x})"


def _input(op: Primitive, i: int, x: str, lead: str) -> list[str]:
    """Take another input than the leading one, or give up."""
    if op.kind == "elementwise" and x not in op.unpromoted:
        fits = f"a{i}.dtype is have"
    else:  # where nothing is promoted, indices and masks are as good as numbers of the same dtype
        fits = f"(a{i}.dtype is have or a{i}.dtype.kind in 'biu')"
    take = [
        f"a{i} = {x}._array",
        f"if not ({fits} and type(a{i}) is type({lead})):",
        f"    {_general(op)}",
    ]
    if op.kind != "elementwise":
        missing = [f"if {x} is None:", f"    a{i} = None"]
        return [*missing, f"elif {_is_odd(x)}:", f"    {_general(op)}", "else:", *_indented(take)]
    if op.unpromoted or len(op.inputs) > UNROLLED:
        return [f"if {_is_odd(x)}:", f"    {_general(op)}", *take]
    as_constant = ["try:", f"    a{i} = kept[{x}]", "except KeyError:", f"    a{i} = constant({lead}, {x})"]
    number = [
        "if have is float32:",
        "    kept = constants32",
        "elif have is float64:",
        "    kept = constants64",
        f"elif have is int64 and cls is int and -{2**63} <= {x} < {2**63}:",
        "    kept = integers",
        "else:",
        f"    {_general(op)}",
        *_forward(op, lead, [lead, f"a{i}"], as_constant, [f"a{i} = {x}"]),
        "result = new(Tensor)",
        "result._array = out",
        "result._meta = None",
    ]
    if op.has_rule(0):
        number += [
            f"t0 = {op.inputs[0]}._node",
            "if t0 is not None and not (grad_off and get_ident() in grad_off):",
            *_indented(_node(op, (True, False))),
        ]
    number += ["result._node = None", "return result"]
    return [
        f"cls = type({x})",
        "if cls is float or cls is int:",
        *_indented(number),
        f"if {_is_odd(x, 'cls')}:",
        f"    {_general(op)}",
        *take,
    ]


def _forward(
    op: Primitive, lead: str, arrays: list[str], on_host: Sequence[str] = (), elsewhere: Sequence[str] = ()
) -> list[str]:
    """Run the forward on the backend of `lead`; before that the lines `on_host` if it is the host's, else `elsewhere`."""
    call = ", ".join((*arrays, *(f"{p}={p}" for p in op.params)))
    outs = _outs(op)
    return [
        "try:",
        f"    if type({lead}) is Array:",
        *(f"        {line}" for line in on_host),
        "        kernel = host",
        f"        {', '.join(outs)} = quietly(forward, {call})",
        *(line for out in outs if out != "outs" for line in _as_array(op, out)),
        "    else:",
        *(f"        {line}" for line in elsewhere),
        f"        kernel = kernels[type({lead})]",
        f"        {', '.join(outs)} = kernel.forward({call})",
        *(f"        {out} = kernel.as_array({out})" for out in outs if out != "outs"),
        "except Exception:",
        f"    {_general(op)}",
    ]


def _as_array(op: Primitive, out: str) -> list[str]:
    array = f"        if type({out}) is not Array: {out} = as_array({out})"
    return [array, f"        elif not {out}.flags.c_contiguous: {out} = dense({out})"] if op.dense else [array]


def _recorded(op: Primitive) -> list[str]:
    """Make the node, if one is to be made."""
    able = [i for i in range(len(op.inputs)) if op.has_rule(i)]
    results = _results(op)
    nothing = [*(f"{result}._node = None" for result in results), f"return {', '.join(results)}"]
    if not able:
        return nothing
    optional = op.kind != "elementwise"
    lines = [
        f"t{i} = {op.inputs[i]}._node" + (f" if a{i} is not None else None" if optional and i else "") for i in able
    ]
    none = " and ".join(f"t{i} is None" for i in able)
    lines += [f"if {none} or (grad_off and get_ident() in grad_off):", *_indented(nothing)]
    if len(op.inputs) > UNROLLED or len(results) > 1:
        return lines + _from_table(op, able)
    for needs in ((True, False), (False, True)) if len(able) == 2 else ():
        lines += [f"if t{needs.index(False)} is None:", *_indented(_fitted(op, needs))]
    return lines + _fitted(op, tuple(op.has_rule(i) for i in range(len(op.inputs))))


def _fitted(op: Primitive, needs: tuple[bool, ...]) -> list[str]:
    """Make the node, and note shapes to sum to where the inputs were broadcast."""
    if op.kind != "elementwise" or len(op.inputs) == 1:
        return _node(op, needs)
    if all(needs):
        same = "a0 is a1 or a0.shape == a1.shape"
        fits = "".join(f"None if a{i}.shape == out.shape else a{i}.shape, " for i in range(2))
    else:
        same = f"a{needs.index(True)}.shape == out.shape"
        fits = f"a{needs.index(True)}.shape, "
    twice = []
    if op.symmetric and all(needs):
        twice = [f"if {' is '.join(op.inputs)}:", *_indented(_node(op, needs, step="twice"))]
    return [*twice, f"if {same}:", *_indented(_node(op, needs)), *_node(op, needs, f"({fits})")]


def _node(op: Primitive, needs: tuple[bool, ...], fits: str | None = None, step: str = "") -> list[str]:
    bits = sum(needed << i for i, needed in enumerate(needs))
    saved = _saved(op, needs)
    targets = "".join(f"t{i}, " for i, needed in enumerate(needs) if needed)
    return [
        "node = result._node = Node()",
        "node.stamp = next(stamps)",
        f"node.step = kernel.{step or (f'step{bits}' if fits is None else f'steps[{bits + FITTED}]')}",
        f"node.targets = ({targets})",
        f"node.saved = {saved if fits is None else f'({saved}, {fits})'}",
        "node.hooks = None",
        "return result",
    ]


def _saved(op: Primitive, needs: tuple[bool, ...]) -> str:
    saved = []
    for name in op.layout(needs):
        if name in op.inputs:
            saved.append(f"a{op.inputs.index(name)}")
        elif name in op.outputs:
            saved.append(_outs(op)[op.outputs.index(name)])
        elif name in op.params:
            saved.append(name)
        else:
            input_, _, attribute = name.rpartition("_")
            i = op.inputs.index(input_)
            nothing = "()" if attribute == "shape" else "None"
            saved.append(f"a{i}.{attribute}" if i == _lead(op) else f"getattr(a{i}, {attribute!r}, {nothing})")
    return f"({''.join(f'{each}, ' for each in saved)})"


def _from_table(op: Primitive, able: list[int]) -> list[str]:
    """Make the node with what `recipes` says of the inputs that need a cotangent."""
    every = ", ".join([*(f"a{i}" for i in range(len(op.inputs))), *(f"t{i}" for i in able), *_outs(op), *op.params])
    lines = ["bits = 0"]
    for i in able:
        lines += [f"if t{i} is not None:", f"    bits += {1 << i}"]
    differentiable = [i for i, name in enumerate(op.outputs) if name not in op.constant]
    saved = "saved if fits is None else (saved, fits)"
    if len(differentiable) > 1:
        saved = f"(saved, ({''.join(f'(out{i}.shape, out{i}.dtype), ' for i in differentiable)}))"
    lines += [
        f"targets, saved, fits = recipes[bits]({every})",
        "node = Node()",
        "node.stamp = next(stamps)",
        "node.step = kernel.steps[bits if fits is None else bits + FITTED]",
        "node.targets = targets",
        f"node.saved = {saved}",
        "node.hooks = None",
    ]
    for i, result in enumerate(_results(op)):
        made = "None"
        if i in differentiable:
            size = len(differentiable)
            made = "node" if size == 1 else f"Output(node, {differentiable.index(i)}, {size})"
        lines.append(f"{result}._node = {made}")
    return [*lines, f"return {', '.join(_results(op))}"]


class Recipes(dict[int, Any]):
    """By inputs that need a cotangent, as bits: a function that picks targets, saved values and shapes to sum to."""

    def __init__(self, op: Primitive) -> None:
        self.op = op

    def __missing__(self, bits: int) -> Any:
        op = self.op
        able = [i for i in range(len(op.inputs)) if op.has_rule(i)]
        needs = tuple(bool(bits >> i & 1) for i in range(len(op.inputs)))
        every = ", ".join([*(f"a{i}" for i in range(len(op.inputs))), *(f"t{i}" for i in able), *_outs(op), *op.params])
        targets = "".join(f"t{i}, " for i, needed in enumerate(needs) if needed)
        lines = [f"def recipe({every}):"]
        fits = "None"
        if op.kind == "elementwise":
            needed = [i for i, need in enumerate(needs) if need]
            fits = f"({''.join(f'None if a{i}.shape == out.shape else a{i}.shape, ' for i in needed)})"
            lines += [f"    if {' and '.join(f'a{i}.shape == out.shape' for i in needed)}:"]
            lines += [f"        return ({targets}), {_saved(op, needs)}, None"]
        lines += [f"    return ({targets}), {_saved(op, needs)}, {fits}"]
        made: dict[str, Any] = {}
        exec(compiled("\n".join(lines) + "\n"), made)
        self[bits] = made["recipe"]
        return made["recipe"]
