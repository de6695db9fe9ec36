"""What `gradcheck` does when asked: forward mode and batches against differences; and the Jacobians that torch shows.

It must not know any operation.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from gradcore import engine
from gradcore.autograd import forward_ad, grad
from gradcore.autograd.gradcheck import GradcheckError, _Check, places, random, real, stack, tensors, units
from gradcore.tensor import Tensor
from gradcore.transforms.mapping import vmap

# -- forward mode -----------------------------------------------------------------------------------------------------


def _pushed(check: _Check, tangents: dict[int, Any]) -> list[Any]:
    """The tangents of the outputs, given those of some of the inputs; zeros for None.

    The function sees that no input requires a gradient: it is not to be differentiated in the other way.
    """
    bare = [x.detach() if isinstance(x, Tensor) and x.requires_grad else x for x in check.inputs]
    with forward_ad.dual_level():
        given = [forward_ad.make_dual(x, tangents[i]) if i in tangents else x for i, x in enumerate(bare)]
        pairs = [forward_ad.unpack_dual(out) for out in tensors(check.func(*given))]
        return [p.new_zeros(p.shape) if t is None else t for p, t in pairs]


def forward(check: _Check, fast: bool, undefined: bool, dtypes: bool) -> None:
    """Compare all derivatives of forward mode. Raises GradcheckError at the first that is wrong."""
    outs = check.outputs()
    if not outs:
        check.expect_zero()
    for i, x in check.wanted:
        if not x.numel() or not outs:
            continue
        if undefined:
            _leave_out(check, i, x)
        if fast:
            u = random(x)
            pushed, wanted = _pushed(check, {i: u}), check.differences(x, ..., u)
            atol = check.atol * float(u.abs().sum())
            if all(_close(real(pushed[k]), wanted[k], atol, check.rtol) for k, _ in outs):
                continue
        columns = [_pushed(check, {i: seed}) for seed in _directions(x)]
        for k, out in outs:
            if out.numel():
                numerical: Any = stack([column[k] for column in check.columns(i, x)], 1)
                analytical: Any = stack([real(column[k]) for column in columns], 1)
                check.compare(k, out, i, x, numerical, analytical, "computed with forward mode ")
            if dtypes and columns[0][k].dtype is not out.dtype:
                raise GradcheckError(f"the tangent of output {k} is {columns[0][k].dtype}, not {out.dtype}")


def _directions(x: Any) -> Iterator[Any]:
    for place in places(x):
        for unit in units(x):
            direction = x.detach().new_zeros(x.shape)
            direction[place] = unit
            yield direction


def _close(a: Any, b: Any, atol: float, rtol: float) -> bool:
    return bool((a - b).abs().le(atol + rtol * b.abs()).all())


def _leave_out(check: _Check, i: int, x: Any) -> None:
    """Without the tangents of the other inputs, those of the outputs are what they are with zeros."""
    u = random(x)
    zeros = {j: other.detach() * 0 for j, other in check.wanted}
    for k, (a, b) in enumerate(zip(_pushed(check, {i: u}), _pushed(check, {**zeros, i: u}), strict=True)):
        if not _close(real(a), real(b), check.atol, check.rtol):
            raise GradcheckError(
                f"Expected the tangent of output {k} to be the same with undefined tangents of all inputs but {i} as with "
                "zeros"
            )


# -- batches ----------------------------------------------------------------------------------------------------------


def batched_forward(check: _Check) -> None:
    """Compare tangents of a batch of directions with those of each."""
    for i, x in check.wanted:
        directions = [random(x) for _ in range(2)]

        def push(tangent: Any, i: int = i) -> Any:
            return tuple(_pushed(check, {i: tangent}))

        rows = [push(direction) for direction in directions]
        wanted = [stack(parts) for parts in zip(*rows, strict=True)]
        _expect_same(functools.partial(vmap(push), stack(directions)), wanted, f"tangents of input {i}")


def batched(check: _Check) -> None:
    """Compare gradients of a batch of cotangents with those of each."""
    xs = [x for _, x in check.wanted]
    for k, out in check.outputs():
        seeds = [random(out) for _ in range(2)]
        rows: list[Any] = [engine.grad([out], xs, [seed], True, False) for seed in seeds]
        used = [j for j, g in enumerate(rows[0]) if g is not None]
        wanted = [stack([row[j] for row in rows]) for j in used]

        def pull(out: Any = out, seeds: Any = seeds, used: Any = used) -> Any:
            found = grad(out, xs, stack(seeds), retain_graph=True, is_grads_batched=True, allow_unused=True)
            return [found[j] for j in used]

        _expect_same(pull, wanted, f"gradients of output {k}")


def _expect_same(batch: Callable[[], Any], wanted: list[Any], what: str) -> None:
    try:
        found = batch()
    except RuntimeError as error:
        raise GradcheckError(f"While computing batched gradients, got: {error} ({what})") from error
    for got, expected in zip(found, wanted, strict=True):
        if not _close(real(got), real(expected), 1e-8, 1e-5):
            raise GradcheckError(
                f"gradcheck or gradgradcheck failed while testing batched gradient computation: the {what} in a batch are "
                f"not those of each by itself.\nGot:\n{got}\n\nExpected:\n{expected}"
            )


# -- the Jacobians that torch shows, and calls deprecated ---------------------------------------------------------------


def _deprecated(f: Any) -> Any:
    @functools.wraps(f)
    def warned(*args: Any, **keywords: Any) -> Any:
        warnings.warn(f"`{f.__name__}` is no public function of torch's any more", FutureWarning, stacklevel=2)
        return f(*args, **keywords)

    return warned


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, Tensor):
        return [x] if x.requires_grad else []
    return [leaf for each in x for leaf in _leaves(each)] if isinstance(x, (list, tuple)) else []


def _check_arguments(name: str, grad_out: float, outputs: list[Any]) -> None:
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")
    if any(out.is_complex() for out in outputs):
        raise ValueError(
            f"Expected output to be non-complex. {name} no longer supports functions that return complex outputs."
        )


@_deprecated
def get_numerical_jacobian(fn: Any, inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0) -> Any:
    """Return the central differences of the first output of `fn(inputs)`: a matrix (inputs, outputs) for each of `target`.

    Raises ValueError for complex outputs and another `grad_out`.
    """
    packed = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = tensors(fn(packed))
    _check_arguments("get_numerical_jacobian", grad_out, outputs)
    chosen = packed if target is None else (target,) if isinstance(target, Tensor) else target
    return tuple(_numerical(lambda *given: fn(given), packed, outputs, eps, x)[0] for x in _leaves(chosen))


@_deprecated
def get_numerical_jacobian_wrt_specific_input(
    fn: Any, input_idx: int, inputs: Any, outputs: Any, eps: float, input: Any = None, is_forward_ad: bool = False
) -> tuple[Tensor, ...]:
    """Return the central differences of the outputs of `fn(*inputs)` by one input: a matrix (inputs, outputs) for each.

    The derivative by a complex input is that by its real part plus 1j times that by its imaginary part. Raises
    AssertionError for an input that needs no gradient.
    """
    x = inputs[input_idx] if input is None else input
    if not x.requires_grad:
        raise AssertionError("Expected input to have requires_grad=True")
    return _numerical(fn, inputs, tensors(outputs), eps, x)


def _numerical(fn: Any, inputs: Any, outputs: list[Any], eps: float, x: Any) -> tuple[Any, ...]:
    check = _Check(fn, tuple(inputs), eps, 0.0, 0.0)
    columns = check.columns(0, x)  # of real numbers; a complex one is two columns
    if x.is_complex():
        by_part = zip(columns[::2], columns[1::2], strict=True)
        columns = [[a + 1j * b for a, b in zip(*parts, strict=True)] for parts in by_part]
    return tuple(stack([column[k] for column in columns]) for k in range(len(outputs)))


@_deprecated
def get_analytical_jacobian(inputs: Any, output: Any, nondet_tol: float = 0.0, grad_out: float = 1.0) -> Any:
    """Return the gradients of `output` by those of `inputs` that need them: matrices (inputs, outputs).

    Behind them, whether a second pass gave the same up to `nondet_tol`, and whether the gradients have the shapes and the
    dtypes of the inputs. Raises ValueError for a complex output and another `grad_out`.
    """
    _check_arguments("get_analytical_jacobian", grad_out, [output])
    xs = _leaves(inputs)
    passes: list[list[Any]] = []
    for _ in range(2):
        rows: list[Any] = [engine.grad([output], xs, [seed], True, False) for seed in _directions(output)]
        passes.append([[row[j] for row in rows] for j in range(len(xs))])
    found = [(x, g) for x, gs in zip(xs, passes[0], strict=True) for g in gs if g is not None]
    first, second = (
        tuple(
            stack([x.new_zeros(x.numel()) if g is None else g.reshape(-1) for g in gs], 1)
            for x, gs in zip(xs, pulled, strict=True)
        )
        for pulled in passes
    )
    same = all(bool(((a - b).abs() <= nondet_tol).all()) for a, b in zip(first, second, strict=True))
    return first, same, all(g.shape == x.shape for x, g in found), all(g.dtype is x.dtype for x, g in found)
