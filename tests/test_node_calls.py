"""Nodes that a user calls, numbers and hands hooks to, as programs that torch runs too. It tests no operation."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, outcome, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def leaf(lib: Any, *shape: int, seed: int, dtype: str = "float64") -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), requires_grad=True)


def end_of(t: Any) -> Any:
    return t.clone().grad_fn.next_functions[0][0]


@program
def a_node_pulls_back(lib: Any) -> Any:
    x, c = leaf(lib, 2, seed=0), lib.tensor([2.0, 5.0], dtype=lib.float64)
    g = lib.tensor([3.0, 7.0], dtype=lib.float64)
    made = [x * x, x * c, x + 1, x.exp(), x.sum(), x.sum() * x, x[0], lib.where(x > 0, x, c), lib.maximum(x, x * 2)]
    embedded = lib.nn.functional.embedding(lib.tensor([1]), x[:, None])
    made += [x.max(0)[0], x.prod(), x.pow(3), c.clone().copy_(x * 1), embedded]
    out = []
    for t in made:
        given = lib.full(t.shape, 3.0, dtype=lib.float64)
        out.append(attempt(lambda t=t, given=given: t.grad_fn(given)))
        out.append(attempt(lambda t=t: t.grad_fn(None)))
    squares = x * x
    with lib.no_grad():
        out.append(squares.grad_fn(g))
    z = leaf(lib, 2, seed=1)
    second = (x.exp() * 2).grad_fn.next_functions[0][0](z * z)
    second.sum().backward()
    return out, second, x.grad, z.grad


@program
def a_node_with_several_outputs(lib: Any) -> Any:
    x = leaf(lib, 4, seed=2)
    node, one = x.split(2)[0].grad_fn, lib.ones(2, dtype=lib.float64)
    calls = [(one, one), (one, None), (None, one * 2), (None, None), (one,), (), (one, one, one)]
    q = lib.linalg.qr(leaf(lib, 3, 2, seed=3))[0].grad_fn
    return (
        [attempt(lambda given=given: node(*given)) for given in calls],
        [q(None, None), abs(q(lib.ones(3, 2, dtype=lib.float64), None)).detach()],
    )


@program
def what_a_call_refuses(lib: Any) -> Any:
    x, one = leaf(lib, 2, seed=4), lib.ones(2, dtype=lib.float64)
    node = (x * x).grad_fn
    calls = [(), (one, one), (1.0,), ((one,),), ([one],), (lib.ones(3, dtype=lib.float64),)]
    out = [attempt(lambda given=given: node(*given)) for given in calls]
    out += [attempt(lambda given=given: end_of(x)(*given))[1] for given in ((), (one, one), (3,))]
    return out, attempt(lambda: node(x=one))[1], x.grad


@program
def what_was_freed_or_overwritten(lib: Any) -> Any:
    x, one = leaf(lib, 2, seed=5), lib.ones(2, dtype=lib.float64)
    freed, free = x * x, x + x
    kept = x * x
    kept.grad_fn(one)
    kept.grad_fn(one)  # a call frees nothing
    for t in (freed, free):
        t.sum().backward()
    w = x * 2
    overwritten = w * w
    with lib.no_grad():
        w.add_(1)
    # The number of arguments is looked at first.
    calls = [(freed, 1), (free, 1), (overwritten, 1), (freed, 2)]
    return [attempt(lambda t=t, n=n: t.grad_fn(*[one] * n)) for t, n in calls], kept.sum().backward(), x.grad


@program
def gradients_that_do_not_fit(lib: Any) -> Any:
    x = leaf(lib, 2, seed=6, dtype="float32")
    ones = lib.ones
    wide = x + ones(3, 2)
    return (
        [(x * x).grad_fn(ones(1)), (x * x).grad_fn(ones(())), (x + 1).grad_fn(ones(3)), wide.grad_fn(ones(3, 2))],
        [(x * ones(3, 2)).grad_fn(ones(3, 2)), wide.grad_fn(ones(2))],
        [x.exp().grad_fn(ones(2, dtype=getattr(lib, d))) for d in ("float64", "complex64", "int64")],
        x.sum().grad_fn(ones((), dtype=lib.float64)),
    )


@program
def hooks_do_not_run_in_a_call(lib: Any) -> Any:
    x, one, seen = leaf(lib, 2, seed=7), lib.ones(2, dtype=lib.float64), []
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: seen.append("y"))
    y.grad_fn.register_hook(lambda gi, go: seen.append("after"))
    y.grad_fn.register_prehook(lambda go: seen.append("before"))
    x.register_hook(lambda g: seen.append("x"))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("accumulated", p is x, p.grad.tolist())))
    end = y.grad_fn.next_functions[0][0]
    end.register_hook(lambda gi, go: seen.append("after the end"))
    end.register_prehook(lambda go: seen.append("before the end"))
    returned = [y.grad_fn(one), end(one)]
    seen.append("-")
    y.sum().backward()
    return returned, seen, x.grad, y.grad


@program
def a_leaf_accumulates(lib: Any) -> Any:
    x, one = leaf(lib, 3, 2, seed=8, dtype="float32"), lib.ones(3, 2)
    end, out = end_of(x), []

    def after(g: Any, kept: Any = None) -> None:
        x.grad = kept
        out.append([attempt(lambda: end(g)), x.grad, x.grad is g, x.grad is kept])

    for g in (one, None, one * 2, lib.ones(2), lib.ones(1, 1)):
        after(g)
        after(g, one.clone())
        with lib.no_grad():
            after(g, one.clone())
    after(one.double())
    after(one.double(), one.clone())
    with lib.no_grad():
        after(one.double(), one.clone())
        after(lib.ones(3, 2, requires_grad=True))
    after(lib.ones(3, 2, requires_grad=True))
    after(lib.ones(3, 2, requires_grad=True) * 2, one.clone())
    x.grad = None
    g = lib.ones(3, 2)
    end(g)
    g.add_(5)  # what was given is not kept
    out.append(x.grad)
    x.grad = None
    out.append([attempt(lambda: end(lib.ones(4)))[1], x.grad])
    x.requires_grad_(False)
    out.append([end(one), x.grad])
    return out


@program
def a_hook_that_raises_leaves_the_gradient(lib: Any) -> Any:
    x = leaf(lib, 2, seed=9)
    x.register_post_accumulate_grad_hook(lambda p: [][0])
    return attempt(lambda: end_of(x)(lib.ones(2, dtype=lib.float64))), x.grad


@program
def nodes_of_writes_in_place(lib: Any) -> Any:
    x, g = leaf(lib, 3, 4, seed=10), lib.ones(3, 4, dtype=lib.float64)
    whole = x.clone()
    whole[0] = 1
    doubled = x * 2
    doubled.mul_(3)
    return [t.grad_fn(g) for t in (whole, doubled)], doubled.grad_fn.name()


@program
def edges_for_what_has_a_derivative(lib: Any) -> Any:
    x, i, F = leaf(lib, 4, 4, seed=11), lib.tensor([0, 1]), lib.nn.functional
    made = [
        lib.where(x > 0, x, x), x.max(0)[0], F.embedding(i, x), x.sort()[0], x + 1, 2 * x,
        F.cross_entropy(x, lib.tensor([0, 1, 2, 3])), x.index_select(0, i), x.gather(0, i[None]), x**2, lib.cat([x, x]),
    ]  # fmt: skip
    seen: list[Any] = []
    for t in made:
        t.grad_fn.register_hook(lambda gi, go: seen.append([None if g is None else list(g.shape) for g in gi]))
        t.sum().backward(retain_graph=True)
    return [len(t.grad_fn.next_functions) for t in made], seen, x.grad


@program
def what_outputs_look_like(lib: Any) -> Any:
    x = leaf(lib, 3, 4, seed=12, dtype="float32")
    y = (x.double().sum(0) * 2)[None].expand(5, 4).exp()
    node, told = y.grad_fn, []
    while node is not None:
        told.append([(list(m.shape), str(m.dtype), m.device.type) for m in node._input_metadata])
        node = node.next_functions[0][0] if node.next_functions else None
    a = x.split([1, 2])[1]
    m = a.grad_fn._input_metadata
    kept = (x * x).grad_fn._input_metadata[0].shape  # the tensor is gone
    return told, [list(each.shape) for each in m], [m[0].is_nested_tensor, m[0].is_cpp_nested_tensor], list(kept)


@program
def what_an_edge_looks_like(lib: Any) -> Any:
    x = leaf(lib, 3, seed=13)
    edge = __import__(f"{lib.__name__}.autograd.graph").autograd.graph.GradientEdge
    z = (x * x).sum()
    lib.autograd.backward(edge(z.grad_fn, 0))
    return x.grad, attempt(lambda: lib.autograd.backward(edge((x * x).grad_fn, 0)))[1]


@program
def numbers_of_nodes(lib: Any) -> Any:
    x = leaf(lib, 2, seed=14)
    y = x * 3
    z = y.exp()
    node = y.grad_fn
    order = z.grad_fn._sequence_nr() - node._sequence_nr()
    node._set_sequence_nr(5)
    wrong = [attempt(lambda v=v: node._set_sequence_nr(*v))[1] for v in (("a",), (1.5,), (), (1, 2), (-1,), (2**64,))]
    z.sum().backward()
    end = end_of(x)
    end._set_sequence_nr(3)
    return order, node._sequence_nr(), wrong, x.grad, end._sequence_nr(), end_of(leaf(lib, 2, seed=0))._sequence_nr()


@program
def hooks_of_a_tensor_given_to_a_node(lib: Any) -> Any:
    x, seen = leaf(lib, 2, seed=15), []
    z, y = x * 2, x * 3
    handle = z.register_hook(lambda g: g * 5)
    y.grad_fn._register_hook_dict(z)
    y.sum().backward(retain_graph=True)
    seen.append(x.grad.tolist())
    z.register_hook(lambda g: g * 7)  # a dict is live
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    b = x.split(1)[1]
    c, d = x.split(1)
    b.register_hook(lambda g: g * 11)
    c.grad_fn._register_hook_dict(b)
    before = x.grad.clone()
    (c.sum() + d.sum()).backward()
    return seen, before, x.grad, [attempt(lambda v=v: y.grad_fn._register_hook_dict(v)) for v in (None, {}, 3)]


@program
def a_functions_node(lib: Any) -> Any:
    modes = []

    class Scaled(lib.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x)
            return x * y, x + y

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            modes.append(lib.is_grad_enabled())
            return ctx.saved_tensors[0] * g, h

    x, y, one = leaf(lib, 2, seed=16), lib.ones(2, dtype=lib.float64), lib.ones(2, dtype=lib.float64)
    node = Scaled.apply(x, y)[0].grad_fn
    with lib.no_grad():
        plain = node.apply(one, one)
    return node.apply(one, one * 2), plain, modes, len(node._input_metadata), node._sequence_nr() >= 0


@program
def hooks_for_what_a_function_saved(lib: Any) -> Any:
    class Times(lib.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            out = x * y
            ctx.save_for_backward(x, y, None, out)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y, _, out = ctx.saved_tensors
            return g * y + out * 0, g * x

    x, y, log = leaf(lib, 2, seed=17), leaf(lib, 2, seed=18), []
    z = Times.apply(x, y)
    node = z.grad_fn
    first, _, nothing, result = node._raw_saved_tensors

    def register(saved: Any, *hooks: Any) -> Any:
        return attempt(lambda: saved.register_hooks(*hooks))

    before = [first.data is x, result.data.tolist()]
    out = [register(first, 3, 4)[1], register(nothing, lambda t: t, lambda t: t), register(first, lambda t: t, 4)[1]]
    out.append(register(first, lambda t: log.append(t.tolist()) or t.detach().numpy(), lambda a: lib.tensor(a * 10)))
    out += [register(first, lambda t: t, lambda t: t), first.data.tolist(), len(log)]
    out.append(register(result, lambda t: t.detach() * 2, lambda t: t / 2))
    out.append([t if t is None else t.detach() for t in node.saved_variables])
    z.sum().backward()
    return before, out, x.grad, y.grad, attempt(lambda: node._raw_saved_tensors)


@pytest.mark.parametrize("each", PROGRAMS, ids=lambda p: p.__name__)
def test_as_torch(each: Any) -> None:
    assert outcome(each, torch)[0] != "raised"  # as a whole
    same(each, torch)


def test_the_node_of_a_function_can_be_called() -> None:
    """torch's cannot; ours runs `backward`, with its checks, in the grad mode of the call."""
    modes = []

    class Double(gradcore.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, by: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x, by

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            modes.append(gradcore.is_grad_enabled())
            return 2 * ctx.saved_tensors[0] * g, None

    x = gradcore.tensor([1.0, 3.0], requires_grad=True)
    out = Double.apply(x, 4)[0]
    g = gradcore.tensor([1.0, 10.0])
    pulled = out.grad_fn(g, None)
    assert pulled.tolist() == [2.0, 60.0]
    assert pulled.requires_grad
    with gradcore.no_grad():
        assert not out.grad_fn(g, None).requires_grad
    assert modes == [True, False]
    with pytest.raises(TypeError, match="expected 2 arguments, got 1 instead"):
        out.grad_fn(g)
    out.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        out.grad_fn(g, None)


def test_what_a_function_saved_is_freed_with_its_hooks() -> None:
    """torch crashes."""

    class Square(gradcore.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    x = gradcore.ones(2, requires_grad=True)
    y = Square.apply(x)
    (saved,) = y.grad_fn._raw_saved_tensors
    y.sum().backward()
    for access in (lambda: saved.data, lambda: saved.register_hooks(abs, abs), lambda: y.grad_fn._raw_saved_tensors):
        with pytest.raises(RuntimeError, match="freed"):
            access()


def test_packed_values_are_unpacked_for_a_call() -> None:
    unpacked = []
    x = gradcore.tensor([1.0, 3.0], requires_grad=True)
    hooks = (lambda t: t.detach() * 2, lambda t: unpacked.append(1) or t / 2)
    with gradcore.autograd.graph.saved_tensors_hooks(*hooks):
        y = x * x
    pulled = y.grad_fn(gradcore.ones(2))
    assert [p.tolist() for p in pulled] == [[1.0, 3.0]] * 2
    assert len(unpacked) == 2


def test_what_a_node_looks_like_may_be_unknown() -> None:
    x = gradcore.ones(2, requires_grad=True)
    y = (x * 2).exp().sum()
    node = y.grad_fn.next_functions[0][0].next_functions[0][0]
    assert node._input_metadata[0].shape == [2]
    y.backward()
    with pytest.raises(AttributeError, match=r"_input_metadata of MulBackward0 is not known.*grad_fn of a tensor"):
        node._input_metadata  # noqa: B018
    with pytest.raises(RuntimeError, match="implicitly created"):
        gradcore.autograd.backward(gradcore.autograd.graph.GradientEdge(node, 0))


def test_a_gradient_of_another_shape_is_refused() -> None:
    """torch lets a leaf that has a gradient get a larger one."""
    x = gradcore.ones(2, requires_grad=True)
    end = end_of(x)
    for kept in (None, gradcore.zeros(2)):
        x.grad = kept
        with pytest.raises(RuntimeError):
            end(gradcore.ones(3, 2))
        assert x.grad is kept
        assert kept is None or kept.tolist() == [0.0, 0.0]


def test_calls_hold_nothing() -> None:
    """What was looked at and called is freed by reference counting alone."""
    gc.collect()
    gc.disable()
    try:
        x = gradcore.ones(2, requires_grad=True)
        y = (x * x).exp()
        handle = y.register_hook(lambda g: g)
        node = y.grad_fn
        node.next_functions[0][0](gradcore.ones(2))
        node._set_sequence_nr(3)
        node._register_hook_dict(y)
        assert node._input_metadata
        refs = [weakref.ref(node), weakref.ref(y), weakref.ref(node.next_functions[0][0])]
        handle.remove()
        del y, node
        assert [ref() for ref in refs] == [None] * 3
    finally:
        gc.enable()


def test_a_call_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = gradcore.zeros(2, requires_grad=True)
        x.sqrt().grad_fn(gradcore.ones(2))
