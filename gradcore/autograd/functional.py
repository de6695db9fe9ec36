"""torch.autograd.functional: Jacobians, Hessians and their products with vectors. It must not know any operation.

Everything is reverse mode: a product with the Jacobian from the right is the derivative, in v, of the product v J from the
left, which is linear in v (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcore import autograd
from gradcore.graph import modes
from gradcore.ops.joining import stack
from gradcore.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Tensor, ...]
Function = Callable[..., Any]


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of `v`, of the outputs' shapes, with the Jacobian, of the inputs' shapes.

    `v` may be missing for an output of one element. With `create_graph` the product can be differentiated. `strict` raises
    RuntimeError where an output does not depend on an input, instead of zeros.
    """
    with modes.enable_grad():
        ins, in_tuple = _inputs(inputs, "vjp", create_graph)
        outs, out_tuple = _outputs(func, ins, "vjp", strict)
        v = _vector(v, outs, out_tuple, create_graph, "vjp", "the user-provided function returns ")
        products = _filled(_grad(outs, ins, v, create_graph), ins, strict, create_graph, _OUTPUT, _JACOBIAN)
    return _result(outs, out_tuple, create_graph), _result(products, in_tuple, create_graph)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of the Jacobian with `v`, of the inputs' shapes.

    `v` may be missing for an input of one element; `create_graph` and `strict` are as for `vjp`.
    """
    with modes.enable_grad():
        ins, in_tuple = _inputs(inputs, "jvp", create_graph)
        v = _vector(v, ins, in_tuple, create_graph, "jvp", "the input to the user-provided function is ")
        outs, out_tuple = _outputs(func, ins, "jvp", strict)
        products = _transposed(outs, ins, v, outs, strict, create_graph, _GRADIENT, _ENTRY, _JACOBIAN)
    return _result(outs, out_tuple, create_graph), _result(products, out_tuple, create_graph)


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the derivatives of each element of the output with respect to each element of the input.

    For one output and one input a Tensor of shape (*output, *input); a tuple for several inputs, in a tuple for several
    outputs. `vectorize` computes it all at once: by reverse mode, or by forward mode if that is the `strategy`.
    """
    _check_strategy("jacobian", strict, vectorize, strategy)
    with modes.enable_grad():
        ins, in_tuple = _inputs(inputs, "jacobian", create_graph)
        if strategy == "forward-mode":
            return _columns(func, ins, in_tuple, create_graph)
        outs, out_tuple = _outputs(func, ins, "jacobian", strict)
        pull = _rows_at_once if vectorize else _rows
        rows = tuple(pull(i, out, ins, create_graph, strict) for i, out in enumerate(outs))
    found = tuple(_result(row, in_tuple, create_graph) for row in rows)
    return found if out_tuple else found[0]


def _rows(i: int, out: Tensor, ins: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobian of output `i` by each input: one sweep for each element."""
    from gradcore.transforms.jacobians import unit_arrays

    if out.is_complex() and out.requires_grad:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {out.dtype}")
    rows: list[list[Tensor]] = [[] for _ in ins]
    for seed in unit_arrays(out):
        for k, g in enumerate(_grad((out,), ins, (seed,), create_graph, retain=True)):
            if strict and g is None:
                _refuse(f"Output {i} of the user-provided function is independent of input {k}.", k)
            if strict and create_graph and not g.requires_grad:
                _refuse(_JACOBIAN, k, " when create_graph=True")
            rows[k].append(ins[k].new_zeros(ins[k].shape) if g is None else g)
    return tuple(
        stack(row).reshape((*out.shape, *x.shape)) if row else out.new_zeros((*out.shape, *x.shape))
        for row, x in zip(rows, ins, strict=True)
    )


def _rows_at_once(i: int, out: Tensor, ins: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobian of output `i` by each input, in one sweep for all elements."""
    from gradcore.transforms.jacobians import pulled_at_once, unit_rows

    if not out.requires_grad:
        return tuple(x.new_zeros((*out.shape, *x.shape)) for x in ins)
    found: list[Any] = pulled_at_once((out,), ins, (unit_rows(out),), True, create_graph)
    return tuple(
        x.new_zeros((*out.shape, *x.shape)) if g is None else g.reshape((*out.shape, *x.shape))
        for g, x in zip(found, ins, strict=True)
    )


def _columns(func: Function, ins: Tensors, in_tuple: bool, create_graph: bool) -> Any:
    """The Jacobian by forward mode, all columns at once."""
    from gradcore.transforms.jacobians import jacfwd

    several = False

    def checked(*xs: Tensor) -> Tensors:
        nonlocal several
        outs, several = _outputs(func, xs, "jacobian", False)
        return outs

    found = tuple(_result(row, in_tuple, create_graph) for row in jacfwd(checked, tuple(range(len(ins))))(*ins))
    return found if several else found[0]


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the second derivatives of the single number `func(*inputs)`: for one input a Tensor of twice its shape.

    For a tuple of inputs, a tuple of tuples. The other arguments are as for `jacobian`.
    """
    _check_strategy("hessian", strict, vectorize, outer_jacobian_strategy)
    ins, in_tuple = _tensors(inputs, "inputs", "hessian")

    def gradient(*xs: Tensor) -> Tensors:
        out = _single(func, xs, "hessian", False)
        found = _filled(_grad((out,), xs, (None,), True), xs, False, True, _OUTPUT, _JACOBIAN)
        return _dependent(found, strict, _LINEAR)  # type: ignore[no-any-return]

    found = jacobian(gradient, ins, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if in_tuple else found[0][0]


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)`, a single number, and the product of `v`, of the inputs' shapes, with its Hessian."""
    with modes.enable_grad():
        ins, in_tuple = _inputs(inputs, "vhp", create_graph)
        v = _vector(v, ins, in_tuple, create_graph, "vhp", "the input to the user-provided function is ")
        out = _single(func, ins, "vhp", strict)
        gradients = _dependent(_grad((out,), ins, (None,), True), strict, _LINEAR)
        products = _filled(_grad(gradients, ins, v, create_graph), ins, strict, create_graph, _JACOBIAN, _HESSIAN)
    return _result((out,), False, create_graph), _result(products, in_tuple, create_graph)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)`, a single number, and the product of its Hessian with `v`, of the inputs' shapes.

    The Hessian is symmetric, so that `vhp` gives the same for less.
    """
    with modes.enable_grad():
        ins, in_tuple = _inputs(inputs, "hvp", create_graph)
        v = _vector(v, ins, in_tuple, create_graph, "hvp", "the input to the user-provided function is ")
        out = _single(func, ins, "hvp", strict)
        gradients = _dependent(_grad((out,), ins, (None,), True), strict, _LINEAR)
        products = _transposed(gradients, ins, v, ins, strict, create_graph, _QUADRATIC, _ENTRY_TWICE, _HESSIAN)
    return _result((out,), False, create_graph), _result(products, in_tuple, create_graph)


# -- steps they share -------------------------------------------------------------------------------------------------

# What strict mode says where a derivative does not depend on what it should depend on.
_IN_STRICT = "This is not allowed in strict mode"
_OUTPUT = "The output of the user-provided function is independent of input {i}."
_JACOBIAN = "The jacobian of the user-provided function is independent of input {i}."
_HESSIAN = "The hessian of the user-provided function is independent of input {i}."
_GRADIENT = "The gradient with respect to input {i} is independent of the inputs of the user-provided function."
_LINEAR = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {i} is "
    "independent of the input, as that of a linear function is."
)
_QUADRATIC = "The hessian of the user-provided function with respect to input {i} is independent of the input."
_ENTRY = "The gradient with respect to the input is independent of entry {i} in the grad_outputs."
_ENTRY_TWICE = "The hessian of the user-provided function is independent of entry {i} in the grad_jacobian."


def _refuse(sentence: str, i: int, when: str = "") -> None:
    raise RuntimeError(f"{sentence.format(i=i)} {_IN_STRICT}{when}.")


def _grad(
    outs: Sequence[Any], ins: Tensors, v: Sequence[Any], create_graph: bool, retain: bool | None = None
) -> Sequence[Any]:
    """`autograd.grad`, None for whatever has no path."""
    kept = [(out, g) for out, g in zip(outs, v, strict=True) if out is not None and out.requires_grad]
    if not kept:
        return (None,) * len(ins)
    roots, seeds = zip(*kept, strict=True)
    return autograd.grad(roots, ins, seeds, retain, create_graph, allow_unused=True)  # type: ignore[no-any-return]


def _transposed(
    outs: Sequence[Any], ins: Tensors, v: Tensors, like: Tensors, strict: bool, create_graph: bool, *sentences: str
) -> Tensors:
    """The Jacobian of `outs`, shaped `like` them, times `v`: the derivative by u of u J, which is linear in u."""
    independent, no_entry, no_second = sentences
    u = tuple(x.detach().new_zeros(x.shape).requires_grad_() for x in like)
    pulled = _dependent(_grad(outs, ins, u, True), strict, independent)
    return _filled(_grad(pulled, u, v, create_graph), u, strict, create_graph, no_entry, no_second)


def _dependent(found: Sequence[Any], strict: bool, independent: str) -> Any:
    """`found`, which in strict mode must depend on the inputs again."""
    for i, g in enumerate(found) if strict else ():
        if g is None:
            _refuse(_OUTPUT, i)
        elif not g.requires_grad:
            _refuse(independent, i)
    return found


def _filled(
    found: Sequence[Any], like: Tensors, strict: bool, create_graph: bool, missing: str, no_second: str
) -> Tensors:
    """`found` with zeros for None; strict mode refuses these, and under `create_graph` what is constant."""
    for i, g in enumerate(found) if strict else ():
        if g is None:
            _refuse(missing, i)
        elif create_graph and not g.requires_grad:
            _refuse(no_second, i, " when create_graph=True")
    return tuple(x.new_zeros(x.shape) if g is None else g for g, x in zip(found, like, strict=True))


def _tensors(given: Any, what: str, name: str) -> tuple[Tensors, bool]:
    """`given` as a tuple of Tensors, and whether it was one."""
    several = isinstance(given, tuple)
    for i, t in enumerate(given if several else (given,)):
        if not isinstance(t, Tensor):
            which = f"value at index {i}" if several else f"given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the {which} has type "
                f"{type(t)}."
            )
    return (given if several else (given,)), several


def _inputs(inputs: Any, name: str, create_graph: bool) -> tuple[Tensors, bool]:
    """The inputs as ends of a graph of their own: aliases with their history under `create_graph`, else constants."""
    given, several = _tensors(inputs, "inputs", name)
    if not create_graph:
        return tuple(t.detach().requires_grad_() for t in given), several
    return tuple(t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in given), several


def _outputs(func: Function, ins: Tensors, name: str, strict: bool) -> tuple[Tensors, bool]:
    outs, several = _tensors(func(*ins), "outputs of the user-provided function", name)
    for i, out in enumerate(outs) if strict else ():
        if not out.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs must be computed in a "
                "differentiable manner from the input when running in strict mode."
            )
    return outs, several


def _single(func: Function, ins: Tensors, name: str, strict: bool) -> Tensor:
    """The output of a function that must return one number."""
    outs, several = _outputs(func, ins, name, strict)
    if several:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outs[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element (its shape is "
            f"{list(outs[0].shape)})"
        )
    return outs[0]


def _vector(v: Any, like: Tensors, several: bool, create_graph: bool, name: str, whose: str) -> Any:
    """`v` as a tuple of Tensors shaped `like` these; ones if it is missing and they are a single element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {whose} a single Tensor with a single element.")
        return tuple(x.detach().new_ones(x.shape) for x in like)
    given, _ = _tensors(v, "v", name)
    if len(given) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}."
            if several
            else "The given v should contain a single Tensor."
        )
    for i, (t, x) in enumerate(zip(given, like, strict=True)):
        if t.shape != x.shape:
            which = f"Entry {i} in v" if several else "v"
            raise RuntimeError(f"{which} has invalid size: should be {x.shape} but got {t.shape}.")
    return given if create_graph else tuple(t.detach() for t in given)


def _result(found: Tensors, several: bool, create_graph: bool) -> Any:
    kept = found if create_graph else tuple(t.detach() for t in found)
    return kept if several else kept[0]


def _check_strategy(name: str, strict: bool, vectorize: bool, strategy: str) -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strict and vectorize:
        raise RuntimeError(
            f"torch.autograd.functional.{name}: `strict=True` and `vectorized=True` are not supported together. Please "
            "either set `strict=False` or `vectorize=False`."
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only implemented for `vectorize=True`."
        )
