"""What graphs, Functions and gradcheck do in torch, run by torch beside gradcore: programs that once went another way.

It must not know how they are done.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = Programs()


# -- gradients that are missing ---------------------------------------------------------------------------------------


@program
def zeros_for_an_unused_input_can_be_differentiated(T: Any) -> Any:
    x, y = T.tensor(0.5, requires_grad=True), T.tensor(1.0, requires_grad=True)
    first = T.autograd.grad(x * y, x, create_graph=True)
    zeros = T.autograd.grad(first, x, create_graph=True, materialize_grads=True)
    return first, zeros, T.autograd.grad(zeros, x, materialize_grads=True), T.autograd.grad(x * 2, y, materialize_grads=True)


@program
def an_edge_has_no_zeros(T: Any) -> Any:
    edge = T.autograd.graph.get_gradient_edge
    x, y = (T.ones(2, requires_grad=True).clone() for _ in range(2))
    out = x.clone().sum()

    def gradients(*inputs: Any, **keywords: Any) -> Any:
        return attempt(lambda: T.autograd.grad(out, inputs, retain_graph=True, **keywords))

    return [
        gradients(edge(x), y, materialize_grads=True),
        gradients(x, edge(y), allow_unused=True),
        gradients(x, edge(y), materialize_grads=True),
        gradients(x, edge(y)),
    ]


@program
def a_gradient_in_a_list_of_one(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    out = [attempt(lambda g=g: (x * 2).backward(g)) for g in ([T.ones(2)], (T.ones(2),), [], [T.ones(2)] * 2, [None])]
    return [each and each[1] for each in out], x.grad


@program
def a_kept_gradient_stays_what_it_was(T: Any) -> Any:
    x = T.ones(2, requires_grad=True)
    h = x * 2
    h.retain_grad()
    seen = []
    for create_graph in (False, False, True, True, False):
        (h * x).sum().backward(retain_graph=True, create_graph=create_graph)
        seen.append(h.grad)
        assert x.grad is not None
    h.grad = T.full((2,), 7.0)
    seen.append(h.grad)
    h.sum().backward()
    return [(each.tolist(), each.requires_grad) for each in seen], h.grad.tolist(), x.grad.tolist()


# -- modes ------------------------------------------------------------------------------------------------------------


@program
def what_modes_decorate(T: Any) -> Any:
    told = []
    for mode in (T.no_grad, T.enable_grad, T.inference_mode, T.set_grad_enabled):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for made in (mode(False) if mode is T.set_grad_enabled else mode(), mode):
                if made is not T.set_grad_enabled:
                    made(type("A", (), {}))
        told += [(w.category.__name__, str(w.message)[:33]) for w in caught if "class" in str(w.message)]
    return told, T.inference_mode(mode=lambda: T.ones(1).is_inference())()


# -- Functions --------------------------------------------------------------------------------------------------------


@program
def zeros_for_what_is_not_differentiable(T: Any) -> Any:
    seen: list[Any] = []

    def run(everything: bool | None, constants: bool | None) -> Any:
        class Twice(T.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                a, b = x.clone(), x.clone()
                ctx.mark_non_differentiable(b)
                if constants is not None:
                    ctx._materialize_non_diff_grads = constants
                if everything is not None:
                    ctx.set_materialize_grads(everything)
                return a, b

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                seen.append(gradients)
                return gradients[0]

        x = T.tensor(1.0, requires_grad=True)
        outs = Twice.apply(x)
        outs[0].backward()
        return outs, x.grad

    return [run(a, b) for a in (None, True, False) for b in (None, True, False)], seen


def _identity(T: Any, dirty: bool) -> Any:
    class Identity(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            if dirty:
                ctx.mark_dirty(x.add_(1))
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    return Identity


@program
def an_input_that_is_returned_unrecorded(T: Any) -> Any:
    def look(x: Any, dirty: bool) -> Any:
        out = _identity(T, dirty).apply(x)
        out.data_ptr() == x.data_ptr() or pytest.fail("memory of its own")
        return out is x, out.tolist(), out.requires_grad, out.grad_fn is None, out._is_view(), out._version, x.requires_grad

    found = []
    for dirty in (False, True):
        leaf, constant = T.ones(2, requires_grad=True), T.ones(2)
        inner = leaf * 1
        with T.no_grad():
            found.append([look(x, dirty) for x in (leaf, inner, constant)])
        found.append([look(x, dirty) for x in (inner, constant)])
    return found


@program
def a_constant_that_is_returned_is_a_view_of_itself(T: Any) -> Any:
    class Second(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.mark_non_differentiable(y)
            return x * 1, y

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            return g, None

    def look(y: Any) -> Any:
        _, out = Second.apply(T.ones(2, requires_grad=True), y)
        return out is y, out._is_view(), out.requires_grad, y.requires_grad

    return [look(T.ones(2)), look(T.ones(2, requires_grad=True)), look(T.ones(2, requires_grad=True) * 1)]


@program
def what_was_saved_is_the_tensor_itself(T: Any) -> Any:
    seen: list[Any] = []

    class Product(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            out = xs[0] * xs[1]
            ctx.save_for_backward(*xs, out)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append([*ctx.saved_tensors])
            return g, g, None, None

    x = T.ones(2, requires_grad=True)
    inner, constant = x * 2, T.ones(2)
    part = constant[:1]
    part.note = "kept"
    out = Product.apply(x, inner, constant, part)
    out.sum().backward(retain_graph=True)
    T.autograd.grad(out.sum(), x, create_graph=True)
    same_ones = [[a is b for a, b in zip(each[:4], (x, inner, constant, part), strict=True)] for each in seen]
    return same_ones, seen[0][3].note, seen


@program
def what_was_saved_and_has_another_history_or_memory_now(T: Any) -> Any:
    class Double(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.saved_tensors[0] * g * 2

    x = T.ones(2, requires_grad=True)
    inner = x * 3
    out = Double.apply(inner)
    inner.add_(1)
    gone = Double.apply(x * 5)  # which nobody holds any more
    return attempt(lambda: T.autograd.grad(out.sum(), x)), T.autograd.grad(gone.sum(), x)


@program
def what_the_gradients_of_a_function_look_like(T: Any) -> Any:
    class Several(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3, x.double(), None

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return gradients[1].float()

    node = Several.apply(T.ones(2, 3, requires_grad=True))[1].grad_fn
    return [(list(each.shape), str(each.dtype), str(each.device)) for each in node._input_metadata]


@program
def a_hook_that_takes_the_gradient_of_a_function_away(T: Any) -> Any:
    def run(materialize: bool) -> Any:
        seen: list[Any] = []

        class Triple(T.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.set_materialize_grads(materialize)
                return x * 3

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                seen.append(g)
                return g

        x = T.ones(2, requires_grad=True)
        y = Triple.apply(x)
        y.grad_fn.register_prehook(lambda gradients: (None,))
        y.sum().backward()
        return seen, x.grad

    return run(True), run(False)


# -- nodes of several outputs -----------------------------------------------------------------------------------------


@program
def a_variance_and_its_mean_are_one_node(T: Any) -> Any:
    found = []
    for f in (T.var_mean, T.std_mean):
        x = T.arange(24.0).view(2, 3, 4).requires_grad_()
        a, b = f(x, dim=[0, 2])
        found.append([a, b, a.grad_fn is b.grad_fn, a.output_nr, b.output_nr, len(a.grad_fn.next_functions)])
        found.append([[list(each.shape) for each in a.grad_fn._input_metadata]])
        found += [T.autograd.grad(out.sum(), x, retain_graph=True) for out in (a, b, a * b, a + b * b)]
        gradient = T.autograd.grad((a * b).sum(), x, create_graph=True)[0]
        found.append(T.autograd.grad((gradient * gradient).sum(), x))
    return found


@program
def variances_and_means_of_all_kinds(T: Any) -> Any:
    found = []
    for f in (T.var_mean, T.std_mean):
        pair = T.arange(6.0).view(3, 2).to(T.complex128) * (1 + 2j)
        for x in (T.arange(6.0).view(2, 3), pair, T.ones(0, 3), T.ones(3, 1)):
            for keywords in ({}, {"dim": 1}, {"dim": 1, "keepdim": True}, {"dim": (1, 0), "correction": 0}, {"dim": None}):
                y = x.clone().requires_grad_()
                outs = f(y, **keywords)
                found += [outs, T.autograd.grad(outs, y, [T.ones_like(out) for out in outs])]
        found += [attempt(lambda f=f: f(T.ones(2, dtype=T.int64))), f(T.arange(3.0).bfloat16()), f(T.arange(4.0).half(), 0)]
    return found


@program
def hooks_of_a_node_of_two_outputs(T: Any) -> Any:
    seen: list[Any] = []
    x = T.arange(9.0).view(3, 3).requires_grad_()
    variance, mean = T.var_mean(x, dim=0)
    handle = variance.register_hook(lambda g: seen.append(("variance", g)))
    mean.register_hook(lambda g: seen.append(("mean", g)))
    mean.grad_fn.register_prehook(lambda gs: (seen.append(len(gs)), tuple(g if g is None else g * 2 for g in gs))[1])
    (mean * 3 + variance).sum().backward(retain_graph=True)
    seen.append(x.grad)
    handle.remove()
    seen.append(T.autograd.grad(mean.sum(), x))
    variance, mean = T.var_mean(x.detach().requires_grad_(), dim=0)
    variance.retain_grad()
    mean.retain_grad()
    variance.mul_(2)
    (variance + mean).sum().backward()
    return seen, variance.grad, mean.grad


@program
def a_minimum_and_a_maximum_are_one_node(T: Any) -> Any:
    found = []
    for keywords in ({}, {"dim": 1}, {"dim": 0, "keepdim": True}):
        x = T.tensor([[1.0, 3.0, 1.0], [3.0, 2.0, 0.5]], requires_grad=True)
        low, high = T.aminmax(x, **keywords)
        node = low.grad_fn
        found.append([low, high, node is high.grad_fn, low.output_nr, high.output_nr, len(node.next_functions)])
        found += [T.autograd.grad(out.sum(), x, retain_graph=True) for out in (low, high, low + high * 2)]
    found += [T.aminmax(T.tensor([3, 1])), T.aminmax(T.tensor(2.0)), T.aminmax(T.tensor([1.0, float("nan")]))]
    return found, attempt(lambda: T.aminmax(T.zeros(0)))


@program
def a_squared_error_is_one_node(T: Any) -> Any:
    def look(node: Any) -> Any:
        return node.name(), [each and each.name() for each, _ in node.next_functions]

    found = []
    mse_loss = T.nn.functional.mse_loss
    x, w = (T.arange(6.0).view(2, 3) / 4).requires_grad_(), T.ones(4, 3, requires_grad=True)
    others = (T.ones(3), T.ones(2, 3).double(), T.ones(()))
    numbers = [T.zeros(0, 3), T.tensor([1e30, -float("inf"), float("nan")]), T.ones(3).half() / 3, T.ones(3).bfloat16()]
    refused = [T.ones(2).to(dtype) for dtype in (T.int64, T.complex64)]
    for how in ("mean", "sum", "none"):
        out = mse_loss(T.nn.functional.linear(x, w, T.ones(4, requires_grad=True)).relu(), T.ones(2, 4), reduction=how)
        found.append((out, look(out.grad_fn), look(out.grad_fn.next_functions[0][0])))
        for pair in ((x, x.detach() * 2), (x.detach(), x), (x, x * x), *((x, other) for other in others)):
            out = mse_loss(*pair, reduction=how)
            gradient = T.autograd.grad(out, x, T.ones_like(out) * 3, create_graph=True)[0]
            found.append((out, gradient.detach(), T.autograd.grad((gradient * gradient).sum(), x, allow_unused=True)))
        for y in map(T.Tensor.requires_grad_, numbers):
            out = mse_loss(y, T.zeros(3, dtype=y.dtype).expand(y.shape), reduction=how)
            found.append((out, T.autograd.grad(out, y, T.ones_like(out))))
        found += [attempt(lambda y=y, how=how: mse_loss(y, y, reduction=how)) for y in refused]
    return found


# -- gradcheck --------------------------------------------------------------------------------------------------------


def _grows(T: Any, x: Any) -> Any:
    return T.cat([x, x]) if T.all(x >= 1) else x


def _narrows(T: Any, x: Any) -> Any:
    return x.to(T.float32) if T.all(x >= 1) else x


@program
def outputs_that_change_their_looks_with_the_values(T: Any) -> Any:
    x = T.ones(1, dtype=T.float64, requires_grad=True)
    check = T.autograd.gradcheck
    return [
        attempt(lambda f=f, fast=fast, quiet=quiet: check(lambda x: f(T, x), x, fast_mode=fast, raise_exception=not quiet))
        for f in (_grows, _narrows)
        for fast in (False, True)
        for quiet in (False, True)
    ]


@program
def forward_mode_is_checked_without_the_other_one(T: Any) -> Any:
    forward_ad = __import__(f"{T.__name__}.autograd.forward_ad").autograd.forward_ad
    seen = set()

    def f(x: Any, y: Any) -> Any:
        if any(forward_ad.unpack_dual(each).tangent is not None for each in (x, y)):
            seen.add((x.requires_grad, y.requires_grad))
        return x * y, y.sin()

    found = []
    for needed in (True, False):
        x = T.tensor([0.5, 2.0], dtype=T.float64, requires_grad=True)
        y = T.tensor([1.5, -1.0], dtype=T.float64, requires_grad=needed)
        for fast in (True, False):
            forward = {"check_forward_ad": True, "check_backward_ad": False}
            found.append(T.autograd.gradcheck(f, (x, y), fast_mode=fast, check_batched_forward_grad=True, **forward))
            found.append(T.autograd.gradgradcheck(f, (x, y), check_fwd_over_rev=True, fast_mode=fast))
        found.append((x.requires_grad, y.requires_grad))
    return found, sorted(seen)


@pytest.mark.parametrize("each", program, ids=lambda f: f.__name__)
def test_a_program_does_as_in_torch(each: Any) -> None:
    same(each, torch, words=0)
