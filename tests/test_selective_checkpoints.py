"""Selective checkpoints and the reentrant kind, as programs that torch runs too; and on devices."""

from __future__ import annotations

import functools
import gc
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

PROGRAMS: list[Callable[[Any, Any], Any]] = []


def program(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Note a program of the library and its module of checkpoints."""
    PROGRAMS.append(f)
    return f


def leaf(lib: Any, *shape: int, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=True)


def run(C: Any, f: Callable[..., Any], *args: Any, policy: Any, **options: Any) -> Any:
    contexts = functools.partial(C.create_selective_checkpoint_contexts, policy, **options)
    return C.checkpoint(f, *args, use_reentrant=False, context_fn=contexts)


@program
def the_example_of_the_documentation(lib: Any, C: Any) -> Any:
    x, y = leaf(lib, 4, 4, seed=1), leaf(lib, 4, 4, seed=2)
    keep = [lib.ops.aten.mm.default]

    def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
        return C.CheckpointPolicy.MUST_SAVE if op in keep else C.CheckpointPolicy.PREFER_RECOMPUTE

    def f(x: Any, y: Any) -> Any:
        return lib.sigmoid(lib.matmul(lib.matmul(x, y), y)) * y

    found = []
    for how in (policy, keep, lambda *_, **__: True, lambda *_, **__: False, []):
        out = run(C, f, x, y, policy=how)
        found.append([out, *lib.autograd.grad(out.sum(), (x, y))])
    return found, lib.autograd.grad(f(x, y).sum(), (x, y))


@program
def what_is_kept_is_not_computed_again(lib: Any, C: Any) -> Any:
    """The function is another one when it runs again, but for what is kept."""
    aten, P, found = lib.ops.aten, C.CheckpointPolicy, []
    here = [p for p in P if "OFFLOAD" not in p.name]
    policies = [[aten.add.Tensor], [aten.mul.Tensor], *(lambda ctx, op, *_, p=p, **__: p for p in here)]
    for policy in policies:
        x, c = leaf(lib, 3, seed=3), lib.zeros(3, dtype=lib.float64)
        out = run(C, lambda x, c=c: ((x + c) * 2).sigmoid(), x, policy=policy, allow_cache_entry_mutation=True)
        with lib.no_grad():
            c.add_(1)
        found.append([out, lib.autograd.grad(out.sum(), x)])
    return found, [(p.name, p.value) for p in P]


@program
def a_policy_sees_operations_in_order(lib: Any, C: Any) -> Any:
    seen = []

    def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
        shapes = [list(a.shape) for a in args if isinstance(a, lib.Tensor)]
        seen.append([str(op).split(".")[1], shapes, ctx.op_output.detach(), ctx.is_recompute])
        return C.CheckpointPolicy.PREFER_SAVE if len(seen) % 2 else C.CheckpointPolicy.MUST_RECOMPUTE

    x, w = leaf(lib, 2, 3), leaf(lib, 3, 2)
    out = run(C, lambda x: (x @ w).exp().sum(), x, policy=policy)
    out.backward()
    return seen, out, x.grad, w.grad


@program
def counting_policies_keep_every_other(lib: Any, C: Any) -> Any:
    aten, state = lib.ops.aten, {"mm": 0, "runs": 0}

    def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
        state["mm"] += op == aten.mm.default
        return op == aten.mm.default and state["mm"] % 2 == 1

    def f(x: Any) -> Any:
        state["runs"] += 1
        for _ in range(4):
            x = (x @ x).tanh()
        return x

    x = leaf(lib, 3, 3)
    run(C, f, x, policy=policy).sum().backward()
    return x.grad, state


@program
def overwritten_results_are_refused(lib: Any, C: Any) -> Any:
    found = []
    for mutable in (False, True):
        x = leaf(lib, 3)
        kept = []

        def f(x: Any, kept: Any = kept) -> Any:
            kept.append(x + 1)
            return kept[-1].exp()

        out = run(C, f, x, policy=[lib.ops.aten.add.Tensor], allow_cache_entry_mutation=mutable)
        kept[0].detach().zero_()
        found += [attempt(lambda out=out, x=x: lib.autograd.grad(out.sum(), x))]
    return found


@program
def kept_results_are_given_once(lib: Any, C: Any) -> Any:
    found = []
    for policy in ([lib.ops.aten.exp.default], [lib.ops.aten.mm.default]):
        x = leaf(lib, 3)
        out = run(C, lambda x: x.exp().sin(), x, policy=policy).sum()
        lib.autograd.grad(out, x, retain_graph=True)
        found.append(attempt(lambda out=out, x=x: lib.autograd.grad(out, x)))
    return found


@program
def another_second_run_is_found_out(lib: Any, C: Any) -> Any:
    found = []
    for first, second in ((lib.exp, lib.cos), (lib.exp, lambda x: x.exp().exp())):
        way = [first]
        x = leaf(lib, 3)
        out = run(C, lambda x, way=way: way[0](x).sin().sin(), x, policy=[lib.ops.aten.exp.default])
        way[0] = second
        found.append(attempt(lambda out=out: out.sum().backward()))
    return [each[1] for each in found], ["encountered during backward but not found in" in each[2] for each in found]


@program
def wrong_policies_are_refused(lib: Any, C: Any) -> Any:
    make = C.create_selective_checkpoint_contexts
    return [attempt(lambda given=given: make(given)) for given in ([lib.mm], 3, None, "mm")]


def test_overloads_must_be_named() -> None:
    C = gradcore.utils.checkpoint
    with pytest.raises(ValueError, match=r"aten\.mm\.default, say, instead of aten\.mm"):
        C.create_selective_checkpoint_contexts([gradcore.ops.aten.mm])


@program
def without_gradients_no_policy_is_asked(lib: Any, C: Any) -> Any:
    asked: list[Any] = []
    with lib.no_grad():
        out = run(C, lambda x: x.exp(), leaf(lib, 3), policy=lambda *given, **_: asked.append(given))
    return out, len(asked)


@program
def operations_have_torchs_names(lib: Any, C: Any) -> Any:
    aten = lib.ops.aten
    x = leaf(lib, 3, 3)
    return [
        [str(aten.mm), str(aten.mm.default), repr(aten.mm.default), aten.add.Tensor.name(), aten.mm.default.name()],
        [aten.mm.default == aten.bmm.default, aten.mm.default == aten.mm.default, len({aten.mm.default, aten.mm.default})],
        [aten.mm.default(x, x), aten.mul(x, 2), aten.sigmoid(x)],
        attempt(lambda: aten.no_such_thing)[1],
    ]


# -- the reentrant kind, groups, and what torch has beside them ------------------------------------------------------


@program
def a_reentrant_checkpoint_by_name(lib: Any, C: Any) -> Any:
    w, modes = leaf(lib, 3, 3, seed=4), []

    def f(x: Any, n: int, unused: Any) -> Any:
        modes.append(lib.is_grad_enabled())
        return (x @ w).tanh() * n * lib.rand(3, dtype=lib.float64), x.detach()

    found = []
    for preserve in (True, False):
        x = leaf(lib, 2, 3)
        lib.manual_seed(3)
        out, other = C.CheckpointFunction.apply(f, preserve, x, 2, None)
        name = type(out.grad_fn).__name__
        (out * lib.arange(3.0, dtype=lib.float64)).sum().backward()
        found.append([out, other, x.grad, w.grad, name])
    x = leaf(lib, 2, 3)
    out = C.CheckpointFunction.apply(lambda x: x.exp(), True, x)
    return [
        *found,
        modes,
        attempt(lambda: lib.autograd.grad(out.sum(), x)),
        attempt(lambda: out.sum().backward(inputs=[x])),
        attempt(lambda: C.CheckpointFunction.apply(lambda x: x.detach(), True, x).sum().backward()),
    ]


@program
def validity_and_copies(lib: Any, C: Any) -> Any:
    x, y = lib.ones(2, requires_grad=True), lib.zeros(2)
    told = []
    for inputs in ((x, y), (y, 3), ()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            C.check_backward_validity(inputs)
        told.append([str(each.message) for each in caught])
    copies = C.detach_variable((x * 2, x, y, "a", None))
    y.add_(5)
    return told, copies, attempt(lambda: C.detach_variable([x])), C.get_device_states(x, y, 3, [x])


@program
def groups_compute_once(lib: Any, C: Any) -> Any:
    runs = []

    def f(x: Any, y: Any) -> Any:
        runs.append(1)
        return x.exp(), y.exp()

    found = []
    for grouped in (False, True):
        x, y = leaf(lib, 3), leaf(lib, 3, seed=5)
        a, b = C.checkpoint(f, x, y, use_reentrant=False)
        if grouped:
            with C.GraphExecGroup() as group:
                nested = attempt(lambda: C.GraphExecGroup().__enter__())[1]
                a.sum().backward()
                b.sum().backward()
                found.append([nested, isinstance(group, C.GraphExecGroup)])
        else:
            a.sum().backward()
            b.sum().backward()
        found.append([x.grad, y.grad, len(runs)])
    return found


@program
def the_default_type_of_devices(lib: Any, C: Any) -> Any:
    D = C.DefaultDeviceType
    first = D.get_device_type() in ("cpu", "cuda")
    before = D.get_device_type()
    D.set_device_type("meta")
    now = D.get_device_type()
    D.set_device_type(before)
    return first, now, D.get_device_type() == before


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(f: Callable[[Any, Any], Any]) -> None:
    same(lambda lib: f(lib, import_module(f"{lib.__name__}.utils.checkpoint")), torch)


# -- ours alone -------------------------------------------------------------------------------------------------------


def test_states_of_devices_come_again(strict_cuda: Any) -> None:
    C = gradcore.utils.checkpoint
    x = gradcore.ones(3, device="cuda")
    ids, states = C.get_device_states(x, gradcore.ones(2))
    first = gradcore.rand(4, device="cuda").tolist()
    assert len(ids) == len(states) == 1
    assert gradcore.rand(4, device="cuda").tolist() != first
    C.set_device_states(ids, states, device_type="cuda")
    assert gradcore.rand(4, device="cuda").tolist() == first


@pytest.mark.parametrize("name", ["MUST_CPU_OFFLOAD", "PREFER_CPU_OFFLOAD", "MUST_SAVE"])
def test_results_of_a_device_may_be_kept_on_the_host(strict_cuda: Any, name: str) -> None:
    C = gradcore.utils.checkpoint
    policy = getattr(C.CheckpointPolicy, name)
    x = gradcore.arange(1.0, 4.0, device="cuda").requires_grad_()
    c = gradcore.zeros(3, device="cuda")
    out = run(C, lambda x: (x + c).exp().sin(), x, policy=lambda *_, p=policy, **__: p, allow_cache_entry_mutation=True)
    with gradcore.no_grad():
        c.add_(1)  # of no use, since the sum is kept
    out.sum().backward()
    e = np.exp(np.arange(1.0, 4.0))
    np.testing.assert_allclose(x.grad.cpu().numpy(), np.cos(e) * e, rtol=2e-4)
    assert x.grad.device.type == "cuda"


def test_what_is_kept_may_be_large_and_goes_with_the_graph() -> None:
    C, arrays = gradcore.utils.checkpoint, []

    def policy(ctx: Any, op: Any, *args: Any, **keywords: Any) -> bool:
        arrays.append(weakref.ref(ctx.op_output._array))
        return True

    x = gradcore.ones(3, requires_grad=True)
    gc.disable()
    try:
        out = run(C, lambda x: x.exp().sin().sum(), x, policy=policy)
        assert arrays[0]() is not None
        del out
        assert arrays[0]() is None
    finally:
        gc.enable()


def test_a_selective_checkpoint_inside_another() -> None:
    C, aten = gradcore.utils.checkpoint, gradcore.ops.aten
    x = gradcore.tensor([0.1, 0.2], dtype=gradcore.float64, requires_grad=True)

    def inner(x: Any) -> Any:
        return run(C, lambda x: x.exp().sin(), x, policy=[aten.exp.default])

    y = run(C, lambda x: inner(x * 2).cos(), x, policy=[aten.mul.Tensor])
    y.sum().backward()
    v = x.detach().numpy()
    e = np.exp(2 * v)
    np.testing.assert_allclose(x.grad.numpy(), -np.sin(np.sin(e)) * np.cos(e) * e * 2, rtol=1e-12)


def test_an_exception_leaves_operations_as_they_were() -> None:
    C = gradcore.utils.checkpoint

    def policy(ctx: Any, op: Any, *args: Any, **keywords: Any) -> bool:
        raise KeyError(str(op))

    x = gradcore.ones(2, requires_grad=True)
    with pytest.raises(KeyError, match=r"aten\.exp"):
        run(C, lambda x: x.exp(), x, policy=policy)
    assert not gradcore.graph.modes.forwards
    with pytest.raises(RuntimeError, match="size"):
        run(C, lambda x: x + gradcore.ones(3), x, policy=[])
    assert not gradcore.graph.modes.forwards
    assert not gradcore.graph.modes.unusual
    assert (x * 2).tolist() == [2, 2]


@pytest.mark.parametrize("keep", ["all", "every other", "none"])
def test_random_numbers_come_again_whatever_is_kept(keep: str) -> None:
    count = [0]

    def policy(ctx: Any, op: Any, *args: Any, **keywords: Any) -> bool:
        count[0] += 1
        return keep == "all" or (keep == "every other" and count[0] % 2 == 0)

    def f(x: Any) -> Any:
        for _ in range(4):
            x = gradcore.nn.functional.dropout(x.sin(), 0.5, True)
        return x

    found = []
    for checkpointed in (False, True):
        gradcore.manual_seed(1)
        x = leaf(gradcore, 40, seed=2)
        out = run(gradcore.utils.checkpoint, f, x, policy=policy) if checkpointed else f(x)
        gradcore.rand(3)
        out.sum().backward()
        found.append((x.grad.numpy(), gradcore.rand(2).numpy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert np.any(found[0][0])


def test_a_model_is_trained_with_selective_checkpoints() -> None:
    """Memory for time: products are kept, and the gradients are those of the whole graph."""
    C, aten, F = gradcore.utils.checkpoint, gradcore.ops.aten, gradcore.nn.functional
    model = gradcore.nn.Sequential(*(gradcore.nn.Linear(6, 6) for _ in range(3))).double()
    x, target = leaf(gradcore, 4, 6).detach(), leaf(gradcore, 4, 6, seed=1).detach()
    kept = []

    def policy(ctx: Any, op: Any, *args: Any, **keywords: Any) -> Any:
        kept.append(op)
        return op in (aten.addmm.default, aten.mm.default)

    def block(x: Any) -> Any:
        return F.gelu(model(x)).softmax(-1)

    wanted = gradcore.autograd.grad(F.mse_loss(block(x), target), list(model.parameters()))
    loss = F.mse_loss(run(C, block, x, policy=policy), target)
    for ours, theirs in zip(gradcore.autograd.grad(loss, list(model.parameters())), wanted, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    assert kept.count(aten.addmm.default) == 3


def test_transforms_threads_and_watchers() -> None:
    C, F, exp = gradcore.utils.checkpoint, gradcore.func, gradcore.ops.aten.exp.default
    f = lambda x: (x * 2).exp().sin().sum()  # noqa: E731
    checked = lambda x: run(C, f, x, policy=[exp])  # noqa: E731
    x = leaf(gradcore, 4, 3).detach()
    wanted = F.grad(f)(x).numpy()
    np.testing.assert_allclose(F.grad(checked)(x).numpy(), wanted)
    np.testing.assert_allclose(F.vmap(F.grad(checked))(x).numpy(), wanted)
    np.testing.assert_allclose(F.jacfwd(checked)(x).numpy(), wanted)
    y = x.clone().requires_grad_()
    with gradcore.autograd.set_detect_anomaly(True), gradcore.autograd.profiler.profile() as prof:
        checked(y).backward()
    np.testing.assert_allclose(y.grad.numpy(), wanted)
    assert [event.name for event in prof.function_events].count("aten::sin") == 2

    def gradient(i: int) -> Any:
        y = x.clone().requires_grad_()
        checked(y).backward()
        return y.grad.numpy()

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(gradient, range(12)):
            np.testing.assert_allclose(found, wanted)
    assert not gradcore.graph.modes.forwards
