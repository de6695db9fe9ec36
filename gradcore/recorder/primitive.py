"""What a primitive is: its forward, its rules, and what the rules read. It must not know Tensors or backends.

A primitive is written once, as its docstring in `docs/architecture.md` says; everything else about it is derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any, Final, Literal

Kind = Literal["elementwise", "linear", "multilinear", "general"]
Rule = Callable[..., Any]



class Registry(dict[str, "Primitive"]):
    """Primitives by name; one that is missing is looked for once `load` has imported all there are."""

    load: Callable[[], None]

    def __missing__(self, name: str) -> Primitive:
        self.load()
        if name not in self:
            raise AttributeError(f"there is no primitive called {name}")
        return self[name]


registry: Final = Registry()

# The node names of primitives that are `renamed`.
aliases: Final[set[str]] = set()

# What a rule may ask of an input instead of its values: the name with one of these endings.
DERIVED: Final = ("_shape", "_dtype")

_VARARGS = 0x04


def names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameter names of a plain function."""
    code: CodeType = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


class Primitive:
    """A strict canonical function with its derivatives.

    `inputs` are the names of its arrays (`variadic` if there is one, of any number), `params` its static parameters,
    `outputs` the names of what it returns, of which those in `constant` have no derivative (indices, say).
    """

    def __init__(
        self,
        kind: Kind,
        forward: Callable[..., Any],
        rules: dict[str, Rule],
        *,
        vjp: Rule | None,
        jvp: Rule | None,
        outputs: Sequence[str],
        constant: Sequence[str],
        again: dict[str, Rule],
        unpromoted: Sequence[str],
        to_float: bool,
        holomorphic: bool,
        view: bool,
        dense: bool,
        symmetric: bool,
        partial: bool,
        refuses: str,
        exact_numbers: bool,
        node: str | None,
        composition: Rule | None = None,
    ) -> None:
        code: CodeType = forward.__code__
        positional = code.co_varnames[1 : code.co_argcount]
        keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        self.variadic = bool(code.co_flags & _VARARGS)
        self.inputs: tuple[str, ...] = positional
        if self.variadic:
            self.inputs = (*positional, code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        self.name = forward.__name__
        self.kind: Kind = kind
        self.forward = forward
        self.params: tuple[str, ...] = keywords
        self.defaults: dict[str, Any] = dict(forward.__kwdefaults__ or {})
        self.rules = rules
        self.vjp = vjp
        self.jvp = jvp
        self.outputs = tuple(outputs)
        self.constant = frozenset(constant)
        self.again = again
        self.unpromoted = frozenset(unpromoted)
        self.to_float = to_float
        self.holomorphic = holomorphic
        self.view = view
        self.dense = dense
        self.symmetric = symmetric
        self.partial = partial
        self.refuses = refuses
        self.exact_numbers = exact_numbers
        self.node_name = node_name(node or self.name.title().replace("_", ""))
        self.composition = composition
        self.doc = forward.__doc__
        self.module = forward.__module__
        self.function: Callable[..., Any] = forward  # of Tensors, once `function_of` has made it
        self._check()

    # -- what the rules read ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        plain = ("F", "g", "needs", *self.inputs, *self.params, *self.outputs)
        for input_, rule in self.all_rules() + list(self.again.items()):
            for name in names(rule):
                if name in plain:
                    continue
                derived = [x + suffix for x in self.inputs for suffix in DERIVED]
                if name not in derived:
                    raise TypeError(
                        f"primitive {self.name}: the rule of {input_} asks for {name}; a rule may name "
                        f"{', '.join(sorted((*plain, *derived)))}"
                    )
        for input_ in self.rules:
            if input_ not in self.inputs:
                raise TypeError(f"primitive {self.name}: there is a rule for {input_}, which is no input")

    def all_rules(self) -> list[tuple[str, Rule]]:
        """Each rule with the name of its input; a joint rule under the name "all inputs"."""
        return list(self.rules.items()) + ([("all inputs", self.vjp)] if self.vjp else [])

    def layout(self, needs: tuple[bool, ...]) -> tuple[str, ...]:
        """The names of what a node saves when the inputs marked in `needs` need a cotangent."""
        read = dict.fromkeys(self.read(needs))
        for remade in [self.again[name] for name in read if name in self.again]:
            read.update(dict.fromkeys(names(remade)))
        return tuple(name for name in read if name != "F")

    def read(self, needs: tuple[bool, ...]) -> tuple[str, ...]:
        """The names of what the rules read when the inputs marked in `needs` need a cotangent."""
        read: dict[str, None] = {}
        for rule in self.rules_for(needs):
            read.update(dict.fromkeys(names(rule)))
        return tuple(name for name in read if name not in {"F", "g", "needs"})

    def rules_for(self, needs: tuple[bool, ...]) -> list[Rule]:
        """The rules that the inputs marked in `needs` use."""
        if self.vjp is not None:
            return [self.vjp]
        return [self.rules[x] for x, needed in zip(self.inputs, needs, strict=True) if needed]

    def has_rule(self, index: int) -> bool:
        """Whether there is a derivative with respect to input number `index`."""
        if self.vjp is not None:
            return True
        return self.inputs[min(index, len(self.inputs) - 1)] in self.rules

    @property
    def differentiable(self) -> bool:
        """Whether there is any derivative at all."""
        return bool(self.rules) or self.vjp is not None

    def __repr__(self) -> str:
        saves = "; ".join(
            f"{input_}: {', '.join(n for n in names(rule) if n not in {'F', 'g', 'needs'}) or 'nothing'}"
            for input_, rule in self.all_rules()
        )
        return f"<primitive {self.name}({', '.join(self.inputs + self.params)}), {self.kind}, saves {saves or 'nothing'}>"


def primitive(
    kind: Kind,
    *,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    outputs: Sequence[str] = ("out",),
    constant: Sequence[str] = (),
    again: dict[str, Rule] | None = None,
    unpromoted: Sequence[str] = (),
    to_float: bool = False,
    holomorphic: bool = True,
    view: bool = False,
    dense: bool = False,
    symmetric: bool = False,
    partial: bool = False,
    refuses: str = "",
    exact_numbers: bool = False,
    node: str | None = None,
    composition: Rule | None = None,
    **rules: Rule,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the decorated forward `f(F, *inputs, **params)` a primitive; it becomes a function of Tensors.

    `rules` has one rule per differentiable input, or `vjp` returns the cotangents of all inputs at once; with `partial` it
    takes None for an output without a cotangent, instead of zeros. `outputs` names the results, `constant` those without a
    derivative; `again` computes from inputs such as a rule may read all the same (a variance kept from the forward), for
    traced sweeps that differentiate the rule. `node` is torch's name of the node ("Mul" for MulBackward0).
    `composition(F, *inputs, **params)` computes the same of other primitives: where rules are recorded, if there is no rule
    here, and under transforms, which thus need none either. Results of a `dense` one are contiguous, whatever the strides
    of the inputs are, as torch's. Of a `symmetric` one, f(x, y) = f(y, x), so the cotangents of f(x, x) are one, twice.

    Of an elementwise primitive, inputs in `unpromoted` keep their dtype, `to_float` turns integers into the default dtype,
    and common dtypes of the kinds in `refuses` ("b", "c", ...) raise NotImplementedError. With `exact_numbers`, Python
    numbers beside 16-bit tensors are not rounded to 16 bits first, as in torch (see `recorder/exact.py`).
    """

    def declare(forward: Callable[..., Any]) -> Callable[..., Any]:
        made = Primitive(
            kind,
            forward,
            rules,
            vjp=vjp,
            jvp=jvp,
            outputs=outputs,
            constant=constant,
            again=again or {},
            unpromoted=unpromoted,
            to_float=to_float,
            holomorphic=holomorphic,
            view=view,
            dense=dense,
            symmetric=symmetric,
            partial=partial,
            refuses=refuses,
            exact_numbers=exact_numbers,
            node=node,
            composition=composition,
        )
        if made.name in registry:
            raise TypeError(f"there is already a primitive called {made.name}")
        registry[made.name] = made
        return function_of(made)

    return declare


def node_name(node: str) -> str:
    """torch's name in full for "Mul", "PowBackward1" or "TanhBackward", which is that of a backward pass."""
    full = ("CopySlices", "CopyBackwards")
    return node if node in full or ("Backward" in node and node[-1].isdigit()) else f"{node}Backward0"


def renamed(function: Callable[..., Any], node: str, **changed: bool) -> Callable[..., Any]:
    """The same primitive under another of torch's node names (`permute` recorded as TransposeBackward0, say).

    With `view=False` nobody minds that the result shares memory with an input, which nothing else holds; `dense` is as in
    `primitive`.
    """
    original: Primitive = function.primitive  # type: ignore[attr-defined]
    alias = object.__new__(Primitive)
    alias.__dict__.update(original.__dict__, node_name=node_name(node), **changed)
    aliases.add(alias.node_name)
    return function_of(alias)


def function_of(op: Primitive) -> Callable[..., Any]:
    """The function of Tensors that runs and records `op`. Its code is written by `specialise` at the first call."""

    namespace = {"__name__": op.module, "op": op}
    code = _first_call.__code__.replace(co_name=op.name, co_qualname=op.name)  # which errors about arguments name
    function = FunctionType(code, namespace, op.name)
    namespace["function"] = function
    namespace["__builtins__"] = __builtins__
    function.__doc__ = op.doc
    function.__module__ = op.module
    function.primitive = op  # type: ignore[attr-defined]
    op.function = function
    return function


def _first_call(*args: Any, **keywords: Any) -> Any:
    from gradcore.recorder.specialise import specialise

    specialise(op, function)  # type: ignore[name-defined]  # noqa: F821
    return function(*args, **keywords)  # noqa: F821
