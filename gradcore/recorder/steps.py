"""Kernels and steps: a primitive bound to one backend, forward and backward. It must not know how recording goes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from types import MethodType
from typing import Any, Final

from gradcore.backends import by_type
from gradcore.graph import Node, Output, versions
from gradcore.graph.node import Target
from gradcore.recorder.primitive import Primitive, names, registry
from gradcore.recorder.value import wrap

Pull = Callable[[Any, Any], tuple[Any, ...]]

# Marks the integer keys of steps whose cotangents are summed to their inputs' shapes; the lower bits are the needs.
FITTED = 1 << 16

class Raw:
    """The F of first-order sweeps: every primitive under its name, on the raw arrays of one backend."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        forward = kernels_of(registry[name])[self._backend.Array].forward
        setattr(self, name, forward)
        return forward


class Traced:
    """The F of traced sweeps: every primitive under its name, on Tensors, recorded."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        op = registry[name]
        function = op.function
        if op.composition is not None and not op.differentiable:
            function = functools.partial(op.composition, self)
        setattr(self, name, function)
        return function


raw = functools.cache(Raw)
traced: Final = Traced()


class Kernel:
    """A primitive on one backend: `forward` takes raw arrays, `steps` has a Step for every choice of needs.

    `bare` says that the forward is one function of the array library, under another name.
    Straight-line recorders find the steps of the first input, the second and both as `step1`, `step2`, `step3`, that of a
    symmetric primitive of a value and itself as `twice`.
    """

    __slots__ = ("F", "as_array", "bare", "forward", "op", "step1", "step2", "step3", "steps", "twice")

    def __init__(self, op: Primitive, F: Any) -> None:
        if getattr(getattr(sys.modules.get(op.module), "__spec__", None), "_initializing", False):
            import_module(op.module)  # another thread is doing so: wait until it is whole
        self.op = op
        self.F = F
        self.as_array = F.dense if op.dense else F.as_array
        interpreter = getattr(F, "interpreter", None)  # of a transform's arrays, which do not run the forward itself
        named = None if interpreter else _named_function(op, F)
        # What gradcore composed itself has several steps all the same, which must see arrays.
        composed = isinstance(named, functools.partial) or getattr(named, "__module__", "").startswith("gradcore")
        self.bare = named is not None and not composed and not op.params
        self.forward: Callable[..., Any] = (
            interpreter(op) if interpreter else F.following(named or MethodType(op.forward, F))
        )
        self.steps = Steps(self)
        if len(op.inputs) <= 2 and not op.variadic:
            for bits in range(1, 1 << len(op.inputs)):
                if all(op.has_rule(i) for i in range(len(op.inputs)) if bits >> i & 1):
                    setattr(self, f"step{bits}", self.steps[bits])
        if op.symmetric:
            self.twice = Step(self, (True, True), False, False, twice=True)

    def bound(self, pull: Pull, F: Any) -> Pull:
        """The pull of a step over the algebra `F`, of its rules: as it is."""
        return pull


class Kernels(dict[type, Kernel]):
    """The kernels of one primitive by array type, each made when first needed."""

    def __init__(self, op: Primitive) -> None:
        self.op = op

    def __missing__(self, array_type: type) -> Kernel:
        kernel = self[array_type] = Kernel(self.op, by_type[array_type])
        return kernel


@functools.cache
def kernels_of(op: Primitive) -> Kernels:
    """The kernels of `op`."""
    return Kernels(op)


class Steps(dict[Any, "Step"]):
    """The steps of one kernel, made when first needed.

    A key is (needs, conjugate, fitted) or, for straight-line recorders, the needs as bits, with FITTED added.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __missing__(self, key: Any) -> Step:
        if isinstance(key, int):
            bits = key & (FITTED - 1)
            needs = tuple(bool(bits >> i & 1) for i in range(len(self.kernel.op.inputs)))
            step = self[needs, False, bool(key & FITTED)]
        else:
            step = Step(self.kernel, *key)
        self[key] = step
        return step


class _Probe:
    """Stands in for a backend to find out whether a forward does nothing but call one backend function."""

    def __init__(self) -> None:
        self.called: tuple[str, tuple[object, ...], dict[str, object]] | None = None

    def __getattr__(self, name: str) -> Callable[..., object]:
        def note(*args: object, **keywords: object) -> object:
            self.called = None if self.called else (name, args, keywords)
            return self.called

        return note


def _named_function(op: Primitive, F: Any) -> Callable[..., Any] | None:
    """The backend function that the forward of `op` merely names, with the same parameters: without it, a call is saved."""
    if op.variadic:
        return None
    probe = _Probe()
    args = tuple(object() for _ in op.inputs)
    params = {name: object() for name in op.params}
    try:
        result = op.forward(probe, *args, **params)
    except Exception:
        return None
    if probe.called is None or result is not probe.called or probe.called[1:] != (args, params):
        return None
    if op.forward.__code__.co_names != (probe.called[0],):
        return None  # it does more: catches an exception, say
    function: Callable[..., Any] = getattr(F, probe.called[0])
    if op.defaults:
        taken = {name: each.default for name, each in signature(function).parameters.items()}
        if not op.defaults.items() <= taken.items():
            return None
    return function


class Step:
    """What a node of one primitive does in a sweep, for one choice of inputs that need a cotangent.

    `pull` takes a raw cotangent and the node's saved values; `traced` does the same by recorded operations. What a node
    saves is laid out as `layout` says; a fitted step's node saves that and the shapes to sum to, and a node with several
    differentiable outputs saves that and their shapes and dtypes.
    """

    __slots__ = (
        "_traced_pull", "conjugate", "fitted", "frees", "keep", "kernel", "layout", "name", "needs", "op", "pull", "several",
        "twice",
    )  # fmt: skip

    def __init__(
        self,
        kernel: Kernel,
        needs: tuple[bool, ...],
        conjugate: bool,
        fitted: bool,
        keep: tuple[bool, ...] | None = None,
        twice: bool = False,
    ) -> None:
        self.kernel = kernel
        self.op = kernel.op
        self.name = kernel.op.node_name
        self.needs = needs
        self.conjugate = conjugate
        self.fitted = fitted
        self.keep = keep
        self.twice = twice
        self.layout = kernel.op.layout(needs[: len(kernel.op.inputs)] if not kernel.op.variadic else needs)
        self.several = self.op.outputs == ("outs",) or len(self.op.outputs) - len(self.op.constant) > 1
        self.frees = any(name in self.op.inputs or name in self.op.outputs for name in self.layout)
        self.pull: Pull = kernel.F.following(self._bound(raw(kernel.F)))
        self._traced_pull: Pull | None = None

    # -- the sweep's protocol -----------------------------------------------------------------------------------------

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        """Pull `cotangent` (a Tensor, or a list of them for several outputs) back by recorded operations."""
        return self.traced_pull(cotangent, self.rewrapped(node))

    @property
    def traced_pull(self) -> Pull:
        """The pull over Tensors."""
        if self._traced_pull is None:
            self._traced_pull = self._bound(traced)
        return self._traced_pull

    def narrowed(self, wanted: tuple[bool, ...]) -> Step:
        """The step that computes only some of the cotangents and returns None for the others."""
        key = (self.needs, self.conjugate, self.fitted, wanted)
        return self.kernel.steps[key]

    def check(self, node: Node, traced: bool) -> None:
        """Raise RuntimeError if a saved array that a sweep reads was overwritten after `node` was recorded."""
        read = self.layout if traced else self.op.read(self.needs)
        for name, value in self.saved_arrays(node):
            if name not in read:
                continue
            write = versions.write_after(node.stamp, self.kernel.F.storage(value))
            if write is not None:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"'{name}' of shape {list(value.shape)} and dtype {value.dtype}, saved by {self.name}, was "
                    f"overwritten by {write.by} (its storage is now at version {write.count}). Use the out-of-place form "
                    "of that operation, or apply it to a clone()."
                )

    def relabelled(self, name: str) -> Step:
        """The same step, shown as `name`."""
        if self.name == name:
            return self
        key = (name, self.needs, self.conjugate, self.fitted)
        if key not in self.kernel.steps:
            step = Step(self.kernel, self.needs, self.conjugate, self.fitted)
            step.name = name
            self.kernel.steps[key] = step
        return self.kernel.steps[key]

    # -- saved values -------------------------------------------------------------------------------------------------

    def inner(self, saved: Any) -> Any:
        """The part of `saved` that is laid out as `layout` says."""
        if self.fitted:
            saved = saved[0]
        return saved[0] if self.several else saved

    def saved_arrays(self, node: Node) -> list[tuple[str, Any]]:
        """The arrays that `node` keeps alive, with their names."""
        return [
            (name, each)
            for name, value in zip(self.layout, self.inner(node.saved), strict=True)
            for each in (value if isinstance(value, tuple) else (value,))
            if isinstance(each, self.kernel.F.Array)
        ]

    def rewrapped(self, node: Node, packed: Any = None) -> Any:
        """The saved values of `node` (of which `packed` are all, if given) with arrays as Tensors with their origin."""
        all_saved = node.saved if packed is None else packed
        targets = iter(node.targets)
        origins = [next(targets) if needed else None for needed in self.needs]
        named = dict(zip(self.layout, self.inner(all_saved), strict=True))
        inner = tuple(self._rewrap(node, name, named, origins) for name in self.layout)
        saved = (inner, (all_saved[0] if self.fitted else all_saved)[1]) if self.several else inner
        return (saved, all_saved[1]) if self.fitted else saved

    def _rewrap(self, node: Node, name: str, named: dict[str, Any], origins: list[Target | None]) -> Any:
        value = named[name]
        op = self.op
        if name in op.inputs:
            first = op.inputs.index(name)
            if op.variadic and first == len(op.inputs) - 1:
                return tuple(self._value(x, origins[first + i]) for i, x in enumerate(value))
            return self._value(value, origins[first])
        if name in op.outputs:
            if name in op.again:
                remade = op.again[name]
                return remade(*(traced if n == "F" else self._rewrap(node, n, named, origins) for n in names(remade)))
            if name in op.constant:
                return self._value(value, None)
            index = [out for out in op.outputs if out not in op.constant].index(name)
            return self._value(value, Output(node, index, len(node_outputs(op))) if self.several else node)
        return value

    def _value(self, value: Any, origin: Target | None) -> Any:
        return wrap(value, origin) if isinstance(value, self.kernel.F.Array) else value

    # -- building the pull --------------------------------------------------------------------------------------------

    def _bound(self, F: Any) -> Pull:
        """The pull over the algebra `F`: the rules, wrapped in what this step needs besides them."""
        pull = self._plain(F)
        if self.several:
            pull = _materialising(pull, self.kernel.F, wrap if F is traced else None, self.op.partial)
        if self.conjugate:
            pull = _conjugating(pull, F)
        if self.fitted:
            pull = _fitting(pull, F)
        return pull

    def _plain(self, F: Any) -> Pull:
        """Straight-line code that calls the rules with what they ask for."""
        op = self.op
        keep = self.keep or (True,) * sum(self.needs)
        namespace: dict[str, Any] = {"F": F}
        unpack = f"{', '.join(self.layout)}, = saved" if self.layout else "pass"
        if op.vjp is not None:
            kept = iter(keep)
            needs = tuple(needed and next(kept) for needed in self.needs)
            namespace["vjp"], namespace["needs"] = op.vjp, needs
            parts = ", ".join(f"all[{i}]" for i, needed in enumerate(self.needs) if needed)
            body = f"all = vjp({', '.join(names(op.vjp))})"
            result = parts
        else:
            body = "pass"
            calls = []
            for i, (rule, kept_) in enumerate(zip(op.rules_for(self.needs), keep, strict=True)):
                namespace[f"rule{i}"] = rule
                calls.append(f"rule{i}({', '.join(names(rule))})" if kept_ else "None")
            result = ", ".join(calls)
            if self.twice:
                body, result = f"one = {calls[0]}", "one, one"
        source = f"def pull(g, saved):\n    {unpack}\n    {body}\n    return {result},\n"
        exec(compiled(source), namespace)
        return self.kernel.bound(namespace["pull"], F)


@functools.cache
def compiled(source: str) -> Any:
    """`source` compiled; most primitives share theirs with others."""
    return compile(source, "<gradcore>", "exec")


def node_outputs(op: Primitive) -> tuple[str, ...]:
    """The differentiable outputs of `op`."""
    return tuple(name for name in op.outputs if name not in op.constant)


def _conjugating(pull: Pull, F: Any) -> Pull:
    """A holomorphic derivative, transposed without conjugates, as torch's convention wants it: conj(pull(conj g))."""

    def conjugating(g: Any, saved: Any) -> tuple[Any, ...]:
        g = [None if part is None else F.conj(part) for part in g] if isinstance(g, list) else F.conj(g)
        return tuple(None if c is None else F.conj(c) for c in pull(g, saved))

    return conjugating


def _fitting(pull: Pull, F: Any) -> Pull:
    def fitting(g: Any, saved: Any) -> tuple[Any, ...]:
        inner, shapes = saved
        cotangents = pull(g, inner)
        if len(shapes) == 1:
            return (sum_to(F, cotangents[0], shapes[0]),)
        return tuple(
            [c if c is None or shape is None else sum_to(F, c, shape) for c, shape in zip(cotangents, shapes, strict=True)]
        )

    return fitting


def _materialising(pull: Pull, backend: Any, wrapped: Callable[[Any], Any] | None, partial: bool) -> Pull:
    """Zeros for the outputs of which no cotangent arrived, unless the rule is `partial`."""

    def materialising(g: list[Any], saved: Any) -> tuple[Any, ...]:
        inner, likes = saved
        if partial:
            return pull(g, inner)
        filled = []
        for part, (shape, dtype) in zip(g, likes, strict=True):
            if part is None:
                part = backend.zeros(shape, dtype)
                part = part if wrapped is None else wrapped(part)
            filled.append(part)
        return pull(filled, inner)

    return materialising


def sum_to(F: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """The cotangent of a value of `shape` that was broadcast to the shape of `g`: the sum over what was repeated."""
    have = g.shape
    if have == shape:
        return g
    axes = _repeated(have, shape)
    if axes:
        g = F.sum(g, axis=axes)
    return g if g.shape == shape else F.reshape(g, shape=shape)


@functools.lru_cache(4096)
def _repeated(have: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which broadcasting `shape` to `have` repeats."""
    lead = len(have) - len(shape)
    return tuple(i for i, n in enumerate(have) if i < lead or (shape[i - lead] == 1 and n != 1))
