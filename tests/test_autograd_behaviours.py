"""Programs of autograd's corners, run by torch beside gradcore: forward mode, Functions, checkpoints, writes, saved values.

They once went another way. It must not know how they are done.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

programs = Programs()


def part(T: Any, name: str) -> Any:
    return importlib.import_module(f"{T.__name__}.{name}")


@pytest.mark.parametrize("program", programs, ids=lambda p: p.__name__)
def test_a_program_does_as_in_torch(program: Any) -> None:
    same(program, torch)


# -- constants --------------------------------------------------------------------------------------------------------


@programs
def data_and_what_is_detached_has_no_tangent(T: Any) -> Any:
    forward = part(T, "autograd.forward_ad")
    with forward.dual_level():
        x = forward.make_dual(T.ones(2), T.full((2,), 3.0))
        y = x * 2
        x.data.mul_(5)
        found = [forward.unpack_dual(each).tangent for each in (x.data, x.detach(), y.detach_(), y, x)]
    jvp = T.func.jvp(lambda a: a.data * 2 + a, (T.ones(2),), (T.ones(2),))
    with T.inference_mode():
        i = T.ones(2)
    return found, x, jvp, i.data.is_inference()


# -- writes -----------------------------------------------------------------------------------------------------------


@programs
def a_16_bit_tensor_that_is_written_follows_what_it_is_given(T: Any) -> Any:
    seen = []
    for dtype in (T.float16, T.bfloat16):
        x = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
        whole, some = T.zeros(3, dtype=dtype), T.zeros(3, dtype=dtype)
        whole.copy_(x)
        some[:2] = x[:2]
        (whole.float() * 2 + some.float()).sum().backward()
        seen.append([whole, some, x.grad])
    return seen


@programs
def resizing_is_a_change_only_if_the_shape_changes(T: Any) -> Any:
    x, seen = T.zeros(6).add_(1), []
    for shape in ((6,), (2, 3), (2, 3), (3, 2), (9,), (9,), (1,)):
        x.resize_(*shape)
        seen.append(x._version)
    x.resize_as_(T.zeros(1))
    return [*seen, x._version, x.add_(1)._version]


# -- Functions --------------------------------------------------------------------------------------------------------


def _function(T: Any, **methods: Any) -> Any:
    """A Function with `backward` 1, 2, 3, ... times the gradient, for as many inputs as there are that need one."""

    def backward(ctx: Any, gradient: Any) -> Any:
        return tuple(gradient * (i + 1) if need else None for i, need in enumerate(ctx.needs_input_grad))

    methods.setdefault("backward", backward)
    return type("Mine", (T.autograd.Function,), {name: staticmethod(f) for name, f in methods.items()})


def _sum(ctx: Any, x: Any, y: Any = 5, w: Any = 1) -> Any:
    return x * 2 + y * 3 + w


def _sum_of(x: Any, y: Any = 5, w: Any = 1) -> Any:
    return x * 2 + y * 3 + w


@programs
def arguments_by_name_are_inputs_at_their_place(T: Any) -> Any:
    x, y, w = (T.tensor(float(i), requires_grad=True) for i in (1, 2, 3))
    for F in (_function(T, forward=_sum), _function(T, forward=_sum_of, setup_context=lambda ctx, inputs, output: None)):
        F.apply(x, y=y).backward()
        F.apply(y=y, x=x).backward()
        F.apply(x, w=w, y=y).backward()
    return [x.grad, y.grad, w.grad]


@programs
def setup_context_sees_the_defaults(T: Any) -> Any:
    seen: list[Any] = []
    F = _function(T, forward=_sum_of, setup_context=lambda ctx, inputs, output: seen.append(list(inputs)))
    x = T.tensor(1.0, requires_grad=True)
    F.apply(x).backward()
    F.apply(x, 7).backward()
    wrapped = _function(T, forward=T.no_grad()(_sum_of), setup_context=lambda ctx, inputs, output: seen.append(list(inputs)))
    wrapped.apply(x).backward()
    return [seen, x.grad]


@programs
def names_that_are_no_inputs_are_refused(T: Any) -> Any:
    x = T.tensor(1.0, requires_grad=True)
    F = _function(T, forward=_sum)
    only = _function(T, forward=lambda ctx, x, *, w=1: x * w)
    calls = (lambda: F.apply(x, w=x), lambda: F.apply(x, q=1), lambda: F.apply(x, x=x), lambda: only.apply(x, w=x))
    return [attempt(call)[1] for call in calls]


@programs
def saved_tensors_are_let_go_on_access(T: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * x * gradient

    F = _function(T, forward=forward, backward=backward)
    F.clear_saved_tensors_on_access = True
    x = T.tensor([1.0, 2.0], requires_grad=True)
    y, z = F.apply(x), F.apply(x)
    y.sum().backward(retain_graph=True)
    return [x.grad, attempt(lambda: y.sum().backward()), z.grad_fn.saved_tensors, attempt(lambda: z.grad_fn.saved_tensors)]


@programs
def gradients_come_as_one_list_where_it_is_wanted(T: Any) -> Any:
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        return x * 2, y * 3

    def backward(ctx: Any, gradients: Any) -> Any:
        second = gradients.pop()
        return gradients.pop() * 2, second * 3

    F = _function(T, forward=forward, backward=backward)
    F.boxed_grads_call = True
    x, y = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    a, b = F.apply(x, y)
    (a.sum() + (b * b).sum()).backward(retain_graph=True)
    return [x.grad, y.grad, a.grad_fn.apply(T.ones(2), T.ones(2))]


@programs
def what_is_marked_dirty_is_an_input(T: Any) -> Any:
    def copy(ctx: Any, x: Any) -> Any:
        out = x.clone()
        ctx.mark_dirty(out)
        return out

    def view(ctx: Any, x: Any) -> Any:
        out = x.clone().view(-1)
        ctx.mark_dirty(out)
        return out

    x = T.ones(2, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = _function(T, forward=copy).apply(x)
    return [out, len(caught), attempt(lambda: _function(T, forward=view).apply(x))]


# -- forward mode -----------------------------------------------------------------------------------------------------


@programs
def a_function_in_place_runs_once_under_forward_mode(T: Any) -> Any:
    fw, seen = part(T, "autograd.forward_ad"), []

    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_forward(x.clone())
        x.mul_(x)
        ctx.mark_dirty(x)
        return x

    def jvp(ctx: Any, t: Any) -> Any:
        return t.mul_(2 * ctx.saved_tensors[0])

    F = _function(T, forward=forward, jvp=jvp)
    x = T.tensor([3.0, 5.0])
    with fw.dual_level():
        dual = fw.make_dual(x, T.ones(2))
        out = F.apply(dual)
        seen += [out is dual, *fw.unpack_dual(out), *fw.unpack_dual(out * 2)]
    return [*seen, x]


@programs
def gradcheck_takes_a_function_in_place(T: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    def backward(ctx: Any, gradient: Any) -> Any:
        return 3 * gradient

    F = _function(T, forward=forward, backward=backward, jvp=lambda ctx, t: t.mul_(3))
    x = T.tensor([0.5, 2.0], dtype=T.float64, requires_grad=True)
    return T.autograd.gradcheck(lambda x: F.apply(x.clone()), x, check_forward_ad=True)


@programs
def a_constant_output_has_no_tangent(T: Any) -> Any:
    fw, seen = part(T, "autograd.forward_ad"), []

    def function(marked: bool, given: bool) -> Any:
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            out = y.clone()
            if marked:
                ctx.mark_non_differentiable(out)
            return x.clone(), out

        return _function(T, forward=forward, jvp=lambda ctx, t, u: (t, t.clone() if given else None))

    def tangents(marked: bool, given: bool, y: Any) -> Any:
        with fw.dual_level():
            outs = function(marked, given).apply(fw.make_dual(T.tensor(2.0), T.tensor(1.0)), y)
            return [fw.unpack_dual(out).tangent for out in outs]

    for y in (T.tensor(3.0), T.tensor(3)):
        seen.append(tangents(True, False, y))
        refused = attempt(lambda y=y: tangents(True, True, y))
        seen.append(refused[1])
    seen += [tangents(False, False, T.tensor(3)), attempt(lambda: tangents(False, True, T.tensor(3)))[1]]
    return seen


@programs
def a_tangent_has_none_itself(T: Any) -> Any:
    fw = part(T, "autograd.forward_ad")
    with fw.dual_level():
        dual = fw.make_dual(T.ones(2), T.ones(2))
        return [attempt(lambda: fw.make_dual(T.ones(2), dual))]


# -- checkpoints ------------------------------------------------------------------------------------------------------


@programs
def a_checkpoint_may_sweep_what_it_saved_whether_or_not_it_stops_early(T: Any) -> Any:
    checkpoint = part(T, "utils.checkpoint")

    def saving(f: Any) -> Any:
        return lambda x: checkpoint.checkpoint(f, x, use_reentrant=False)

    def slope(f: Any) -> Any:
        def g(x: Any) -> Any:
            with T.enable_grad():
                return T.autograd.grad(f(x), x, create_graph=True)[0]

        return g

    def f(x: Any) -> Any:
        return x.sin().exp().sin()

    def sweeping(x: Any) -> Any:
        a, b = f(x), f(x)
        return x.sin() + T.autograd.grad(a, x)[0] * T.autograd.grad(b, x)[0]

    seen = []
    for early in (True, False):
        with checkpoint.set_checkpoint_early_stop(early):
            for g in (
                saving(slope(f)), saving(slope(saving(f))), slope(saving(slope(saving(f)))), saving(saving(sweeping)),
                slope(saving(slope(slope(saving(f))))), slope(saving(slope(saving(slope(saving(f)))))),
            ):  # fmt: skip
                x = T.tensor(0.7, requires_grad=True)
                out = g(x)
                out.backward()
                seen.append([out.detach(), x.grad])
    return seen


# -- derivatives ------------------------------------------------------------------------------------------------------


@programs
def powers_of_negative_numbers_have_complex_exponents(T: Any) -> Any:
    seen = []
    for base in (-1, -2.5, 2, 1j):
        x = T.tensor([0.5 + 0.3j, 2.0, -1j, 0], dtype=T.complex128, requires_grad=True)
        out = T.pow(base, x)
        out.abs().sum().backward()
        seen.append([out.real, x.grad])
    x = T.tensor([2.0, 0.5], requires_grad=True)
    T.pow(-2.0, x).sum().backward()
    return [*seen, x.grad.isnan()]


@programs
def anomaly_mode_sees_nan_of_every_dtype(T: Any) -> Any:
    def sweep(dtype: Any) -> Any:
        x = T.zeros(1, dtype=dtype, requires_grad=True)
        with T.autograd.detect_anomaly():
            (x.sqrt() * 0).sum().backward()

    return [attempt(lambda dtype=dtype: sweep(dtype))[1] for dtype in (T.float32, T.float16, T.bfloat16)]


@programs
def the_hook_that_unpacks_is_shown(T: Any) -> Any:
    def same_tensor(t: Any) -> Any:
        return t

    a = T.tensor(2.0, requires_grad=True)
    with T.autograd.graph.saved_tensors_hooks(same_tensor, same_tensor):
        b = a**2
    c = b.exp()
    return [b.grad_fn._raw_saved_self.unpack_hook is same_tensor, c.grad_fn._raw_saved_result.unpack_hook]


@programs
def whether_sweeps_may_have_threads_is_told(T: Any) -> Any:
    ag, seen = T.autograd, [T.autograd.is_multithreading_enabled()]
    with ag.set_multithreading_enabled(False):
        seen.append(ag.is_multithreading_enabled())
        ag.set_multithreading_enabled(True)
        seen.append(ag.is_multithreading_enabled())
    return [*seen, ag.is_multithreading_enabled()]


@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
def test_distinct_elements_have_the_gradient_of_the_first_of_each(name: str) -> None:
    f, T = getattr(gradcore, name), gradcore
    x = T.tensor([1.0, 1.0, 2.0, 3.0, 3.0], requires_grad=True)
    for options in ({}, {"return_inverse": True}, {"return_counts": True}, {"dim": 0}):
        found = f(x, **options)
        values = found[0] if isinstance(found, tuple) else found
        (gradient,) = T.autograd.grad((values * T.tensor([1.0, 10.0, 100.0])).sum(), x)
        assert gradient.tolist() == [1.0, 0.0, 10.0, 100.0, 0.0]
        assert values.tolist() == getattr(torch, name)(torch.tensor([1.0, 1.0, 2.0, 3.0, 3.0])).tolist()
    m = T.tensor([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]], dtype=T.float64, requires_grad=True)
    for dim in (0, 1):
        (gradient,) = T.autograd.grad(f(m, dim=dim).pow(2).sum(), m)
        first = [1.0, 1.0, 0.0] if dim == 0 and name == "unique" else [1.0, 1.0, 1.0]
        assert T.equal(gradient, 2 * m.detach() * T.tensor(first, dtype=T.float64)[:, None])


def test_weights_of_counts_have_gradients() -> None:
    T = gradcore
    w = T.tensor([1.0, 2.0, 3.0], dtype=T.float64, requires_grad=True)
    x = T.tensor([0.0, 0.5, 1.5], dtype=T.float64)
    place = T.tensor([0, 2, 2])
    assert T.autograd.gradcheck(lambda w: T.bincount(place, weights=w, minlength=4), w, check_forward_ad=True)
    for density in (False, True):
        shown = T.histogram(x, 4, range=(0.0, 1.0), weight=w.detach(), density=density)[0]
        assert T.equal(T.histogram(x, 4, range=(0.0, 1.0), weight=w, density=density)[0].detach(), shown)
        assert T.autograd.gradcheck(
            lambda w, density=density: T.histogram(x, 4, range=(0.0, 1.0), weight=w, density=density)[0], w
        )


@programs
def empty_vectors_have_a_gradient_among_what_is_joined(T: Any) -> Any:
    seen = []
    for shape, dim in (((2,), 0), ((2, 2), 0), ((2, 2), 1), ((1, 0, 3), -1)):
        x, nothing = T.ones(shape, requires_grad=True), T.zeros(0, requires_grad=True)
        out = T.cat([nothing, x, nothing], dim)
        out.sum().backward()
        seen.append([out, x.grad, nothing.grad])
    return seen


@programs
def masks_of_a_transform_say_where_to_scatter(T: Any) -> Any:
    fw, f = part(T, "autograd.forward_ad"), T.func
    x, source = T.tensor([[0.5, 1.5, 2.0], [2.0, 3.0, -1.0]]), T.tensor([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])

    def twice(x: Any) -> Any:
        return x.masked_scatter(x > 1, x * 2)

    with fw.dual_level():
        dual, constant = fw.make_dual(x, x * 10), T.zeros(2, 3)
        constant[0].masked_scatter_(dual[1] > 1, dual[0])
        seen = list(fw.unpack_dual(constant))
    return [
        *seen, T.vmap(lambda x, s: x.masked_scatter(x > 1, s))(x, source),
        T.vmap(lambda x: T.zeros(3).masked_scatter(x > 1, T.ones(3)))(x), f.jvp(twice, (x,), (source,)),
        f.jacfwd(twice)(x[0]),
        T.vmap(f.grad(lambda x: (twice(x) ** 2).sum()))(x),
    ]  # fmt: skip
