"""torch.autograd.gradcheck: gradients against central differences. It must not know any operation.

Complex numbers are compared as pairs of real ones: a cotangent of 1 asks for the real part of an output, 1j for the
imaginary part, and the gradient's two parts are the derivatives by the two parts of the input.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore import engine, ops
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.autograd.gradcheck_modes import (
        get_analytical_jacobian,
        get_numerical_jacobian,
        get_numerical_jacobian_wrt_specific_input,
    )

__all__ = [
    "GradcheckError", "get_analytical_jacobian", "get_numerical_jacobian", "get_numerical_jacobian_wrt_specific_input",
    "gradcheck", "gradgradcheck",
]  # fmt: skip

Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck` for a derivative that is wrong."""


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check the gradients of `func(*inputs)` by those inputs that require them, in float64 or complex128.

    Each derivative may differ from its central difference of step `eps` by `atol + rtol * |difference|`, and from itself,
    computed twice, by `nondet_tol`. `fast_mode` checks one random combination of derivatives instead of each. With
    `check_undefined_grad`, outputs (and inputs' tangents) are left out one at a time. `check_forward_ad` checks the
    derivatives of forward mode, the batched checks those of `vmap` against a loop; `masked` concerns sparse tensors. Returns
    True; for a wrong gradient raises GradcheckError, or returns False if not `raise_exception`.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    check = _Check(func, given, eps, atol, rtol)
    try:
        check.inputs_will_do()
        if check_backward_ad:
            check.run(fast_mode, nondet_tol, check_undefined_grad, check_grad_dtypes)
        if check_forward_ad or check_batched_grad:
            from gradcore.autograd import gradcheck_modes

            if check_forward_ad:
                gradcheck_modes.forward(check, fast_mode, check_undefined_grad, check_grad_dtypes)
            if check_batched_forward_grad:
                gradcheck_modes.batched_forward(check)
            if check_batched_grad:
                gradcheck_modes.batched(check)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the second derivatives of `func(*inputs)`: those of its gradients by `inputs` and by `grad_outputs`.

    Missing `grad_outputs` are drawn at random. With `check_fwd_over_rev`, forward mode differentiates the gradients, too.
    The other arguments are those of `gradcheck`.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    for name, on in (("check_undefined_grad", check_undefined_grad), ("check_batched_grad", check_batched_grad)):
        if on and not check_rev_over_rev:
            raise AssertionError(f"Setting {name}=True requires check_rev_over_rev to be True")
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    n = len(given)
    differentiated = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]

    def gradients(*args: Any) -> tuple[Any, ...]:
        wanted = [args[i].requires_grad_() for i in differentiated]  # which they do not in forward mode
        outs = _differentiable(func(*args[:n]))
        found = engine.grad(outs, wanted, list(args[n:]), True, True)
        return tuple(g for g in found if g is not None)

    if grad_outputs is None:
        outs = _differentiable(func(*given))
        seeds = [random(out, gen_non_contig_grad_outputs).requires_grad_() for out in outs]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    return gradcheck(
        gradients,
        (*given, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )


def _differentiable(result: Any) -> list[Any]:
    return [out for out in tensors(result) if out.requires_grad]


class _Check:
    """One call of `gradcheck`: the function, its inputs and the tolerances."""

    def __init__(self, func: Function, inputs: tuple[Any, ...], eps: float, atol: float, rtol: float) -> None:
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self._measured: dict[int, list[list[Any]]] = {}
        self.wanted = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]

    def inputs_will_do(self) -> None:
        """Raise for inputs of which derivatives cannot be measured, warn of those that are not precise enough."""
        if not self.wanted:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of the them have "
                "requires_grad=True."
            )
        for i, x in self.wanted:
            if x.itemsize < (16 if x.is_complex() else 8):
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will "
                    "likely fail if all the inputs are not of double precision floating point or complex.",
                    UserWarning,
                    stacklevel=4,
                )
            if any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)):
                raise RuntimeError(
                    f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                    "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                    ".contiguous on the input before passing it to gradcheck."
                )

    def run(self, fast: bool, nondet_tol: float, undefined: bool, dtypes: bool) -> None:
        """Compare all derivatives. Raises GradcheckError at the first that is wrong."""
        outs = self.outputs()
        if not outs:
            self.expect_zero()
        if undefined and len(outs) > 1:
            self._leave_out_each([out for _, out in outs])
        for k, out in outs:
            for i, x in self.wanted:
                if out.numel() and x.numel():
                    (self._combined if fast else self._each)(k, out, i, x)
            self._expect_same_twice(out, nondet_tol)
        self._expect_zero_of_zero([out for _, out in outs], dtypes)

    def outputs(self) -> list[tuple[int, Any]]:
        """The outputs that have derivatives, with their places among those that could."""
        return [(k, out) for k, out in enumerate(tensors(self.func(*self.inputs))) if out.requires_grad]

    # -- numerical derivatives ----------------------------------------------------------------------------------------

    def _moved(self, x: Any, place: Any, step: Any) -> list[tuple[Any, Any, Any]]:
        """The outputs with `step` added to `x` at `place`: shapes, dtypes, and the numbers, flat and real."""
        alias = x.data
        before = alias.clone()
        try:
            alias[place] += step
            return [(out.shape, out.dtype, real(out)) for out in tensors(self.func(*self.inputs))]
        finally:
            alias.copy_(before)

    def differences(self, x: Any, place: Any, direction: Any) -> list[Any]:
        """The derivatives of the outputs along `direction` at `place` of `x`."""
        ahead, behind = (self._moved(x, place, direction * step) for step in (self.eps, -self.eps))
        for here, there in zip(behind, ahead, strict=True):
            for what, a, b in (("shape", here[0], there[0]), ("dtype", here[1], there[1])):
                if a != b:
                    raise AssertionError(
                        f"Expected `func` to return outputs with the same {what} when inputs are perturbed by {self.eps}, "
                        f"but got: {what}s {a} and {b}. Let it depend on no values"
                    )
        return [(a[-1] - b[-1]) / (2 * self.eps) for a, b in zip(ahead, behind, strict=True)]

    def columns(self, i: int, x: Any) -> list[list[Any]]:
        """For every real number in `x`, input `i`, the derivatives of all outputs by it."""
        if i not in self._measured:
            self._measured[i] = [self.differences(x, place, unit) for place in places(x) for unit in units(x)]
        return self._measured[i]

    def expect_zero(self) -> None:
        for i, x in self.wanted:
            if any(bool((d.abs() > self.atol).any()) for column in self.columns(i, x) for d in column):
                raise GradcheckError(
                    f"Numerical gradient for function expected to be zero, but with respect to input {i} of shape "
                    f"{list(x.shape)} it is not; no output requires a gradient"
                )

    # -- against those of autograd ------------------------------------------------------------------------------------

    def _each(self, k: int, out: Any, i: int, x: Any) -> None:
        """Compare every derivative of output `k` by input `i`."""
        numerical: Any = stack([column[k] for column in self.columns(i, x)], 1)
        analytical: Any = stack([real(_pulled(out, seed, x)) for seed in _seeds(out)])
        self.compare(k, out, i, x, numerical, analytical)

    def compare(self, k: int, out: Any, i: int, x: Any, numerical: Any, analytical: Any, how: str = "") -> None:
        """Raise GradcheckError if two Jacobians, of real numbers by real numbers, differ."""
        off = ~(analytical - numerical).abs().le(self.atol + self.rtol * numerical.abs())
        if bool(off.any()):
            raise GradcheckError(self._mismatch(k, out, i, x, numerical, analytical, off, how))

    def _mismatch(
        self, k: int, out: Any, i: int, x: Any, numerical: Any, analytical: Any, off: Tensor, how: str
    ) -> str:
        row, column = off.nonzero()[0].tolist()
        if off.sum() > 1:  # show the worst, NaN before all
            apart = (analytical - numerical).abs()
            worst = int(apart.where(apart == apart, math.inf).where(off, -1.0).argmax())
            row, column = divmod(worst, off.shape[1])
        return (
            f"Jacobian {how}mismatch for output {k} with respect to input {i},\n"
            f"the derivative of {_named(out, row, 'output')} by {_named(x, column, 'input')}: expected "
            f"{float(numerical[row, column]):.10g} (numerical), got {float(analytical[row, column]):.10g} (analytical); "
            f"{int(off.sum())} of {off.numel()} derivatives are off by more than {self.atol:g} + {self.rtol:g} * "
            f"|expected|. {_described(out, 'output')}, {_described(x, 'input')}.\n"
            f"numerical:{numerical}\nanalytical:{analytical}\n"
        )

    def _combined(self, k: int, out: Any, i: int, x: Any) -> None:
        """Compare one random combination of the derivatives of output `k` by input `i`."""
        u, v = random(x), random(out)
        numerical = float((self.differences(x, ..., u)[k] * real(v)).sum())
        analytical = float((real(_pulled(out, v, x)) * real(u)).sum())
        atol = self.atol * float(u.abs().sum()) * float(v.abs().sum())
        if abs(analytical - numerical) <= atol + self.rtol * abs(numerical):
            return
        self._each(k, out, i, x)  # which says what is wrong
        raise GradcheckError(
            f"Jacobian mismatch for output {k} with respect to input {i},\na random combination of derivatives: expected "
            f"{numerical:.10g} (numerical), got {analytical:.10g} (analytical), though each derivative is within its "
            f"tolerance. {_described(out, 'output')}, {_described(x, 'input')}.\n"
        )

    def _expect_same_twice(self, out: Any, nondet_tol: float) -> None:
        seed = random(out)
        for i, x in self.wanted:
            once, twice = (real(_pulled(out, seed, x)) for _ in range(2))
            if bool(((once - twice).abs() > nondet_tol).any()):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
                    "different values, although analytical gradient matches numerical gradient. The tolerance for "
                    f"nondeterminism was {nondet_tol}. (input {i}, apart by {float((once - twice).abs().max()):g})"
                )

    def _expect_zero_of_zero(self, outs: list[Any], dtypes: bool) -> None:
        """A cotangent of zeros has a gradient of zeros: what is not multiplied by it is seen at once."""
        if not outs:
            return
        xs = [x for _, x in self.wanted]
        found: Any = engine.grad(outs, xs, [out.new_zeros(out.shape) for out in outs], True, False)
        for (i, x), g in zip(self.wanted, found, strict=True):
            if g is not None and bool((g != 0).any()):
                raise GradcheckError(f"backward not multiplied by grad_output (input {i}, shape {list(x.shape)})")
            if dtypes and g is not None and g.dtype is not x.dtype:
                raise GradcheckError(f"the gradient of input {i} is {g.dtype}, not {x.dtype}")

    def _leave_out_each(self, outs: list[Any]) -> None:
        """Without the cotangent of one output, the gradients are what they are with zeros for it."""
        xs = [x for _, x in self.wanted]
        seeds = [random(out) for out in outs]
        for left_out in range(len(outs)):
            zeroed = [seed * 0 if k == left_out else seed for k, seed in enumerate(seeds)]
            found: Any
            some = [k for k in range(len(outs)) if k != left_out]
            try:
                found = engine.grad([outs[k] for k in some], xs, [seeds[k] for k in some], True, False)
            except Exception as error:
                raise GradcheckError(
                    f"Expected backward function to handle undefined output grads, that of output {left_out}: {error}"
                ) from error
            wanted: Any = engine.grad(outs, xs, zeroed, True, False)
            for (i, x), g, expected in zip(self.wanted, found, wanted, strict=True):
                a, b = (x.new_zeros(x.shape) if t is None else t for t in (g, expected))
                if bool(((a - b).abs() > self.atol).any()):
                    raise GradcheckError(
                        f"Expected all inputs to have the gradient that they have with zeros, without a gradient of output "
                        f"{left_out}; input {i} has another"
                    )


# -- tensors as real numbers ------------------------------------------------------------------------------------------


def tensors(result: Any) -> list[Any]:
    """The outputs that can have derivatives."""
    outs = (result,) if isinstance(result, Tensor) else tuple(result)
    return [out for out in outs if isinstance(out, Tensor) and (out.is_floating_point() or out.is_complex())]


def _pulled(out: Any, seed: Any, x: Any) -> Any:
    (g,) = engine.grad([out], [x], [seed], True, False)
    return x.new_zeros(x.shape) if g is None else g


_LATER = {"get_analytical_jacobian", "get_numerical_jacobian", "get_numerical_jacobian_wrt_specific_input"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module("gradcore.autograd.gradcheck_modes"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def stack(tensors: Any, dim: int = 0) -> Any:
    return ops.function("", "stack")(tensors, dim)  # imported when first needed


def real(t: Any) -> Any:
    """The numbers of `t` in a row, a complex one as its two parts."""
    flat = t.detach().reshape(-1)
    return stack((flat.real, flat.imag), 1).reshape(-1) if t.is_complex() else flat.clone()


def units(t: Any) -> tuple[complex, ...]:
    return (1, 1j) if t.is_complex() else (1,)


def places(t: Any) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, t.shape)))


def _seeds(out: Any) -> Iterator[Any]:
    """For every real number in `out` the cotangent that asks for its derivatives."""
    for place in places(out):
        for unit in units(out):
            seed = out.new_zeros(out.shape)
            seed[place] = unit
            yield seed


def random(like: Any, strided: bool = False) -> Any:
    """Random numbers in the shape of `like`, on demand not contiguous."""
    from gradcore.ops.sampling import randn

    drawn = randn((*like.shape, 2), dtype=like.dtype, device=like.device)
    return drawn[..., 0] if strided else drawn[..., 0].contiguous()


def _named(t: Any, at: int, what: str) -> str:
    parts = len(units(t))
    part = f"the {('real', 'imaginary')[at % parts]} part of " if parts == 2 else ""
    return f"{part}{what} element {list(places(t)[at // parts])}"


def _described(t: Any, what: str) -> str:
    return f"The {what} is {t.dtype}{list(t.shape)}"
