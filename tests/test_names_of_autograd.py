"""torch.autograd's and torch.func's names: all there, with torch's parameters; and the small functions among them."""

from __future__ import annotations

import inspect
import threading
from importlib import import_module
from typing import Any

import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")

AUTOGRAD = ["", *".graph .functional .forward_ad .anomaly_mode .function .gradcheck .profiler .grad_mode".split()]
MODULES = ["torch.func", "torch.utils.checkpoint", "torch.utils.dlpack", *(f"torch.autograd{each}" for each in AUTOGRAD)]
# Where Python's parameters are written another way: `no_grad` takes a function as torch's does, of which it is a class.
SPELLED_OTHERWISE = {"no_grad", "enable_grad", "FunctionMeta", "Function"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_there_and_takes_what_torchs_takes(name: str) -> None:
    theirs, ours = import_module(name), import_module(name.replace("torch", "gradcore", 1))
    for public in theirs.__all__:
        assert hasattr(ours, public), f"{name}.{public} is missing"
        try:
            wanted = inspect.signature(getattr(theirs, public)).parameters.values()
        except (TypeError, ValueError):
            continue
        if public not in SPELLED_OTHERWISE:
            have = inspect.signature(getattr(ours, public)).parameters.values()
            shape = lambda each: [(p.name, p.kind, _default(p)) for p in each]  # noqa: E731
            assert shape(have) == shape(wanted), f"{name}.{public}"


# Methods that are made by Kineto, the library whose records torch's profiles show.
OF_KINETO = {"config", "default_trace_id", "create_trace_id", "toggle_collection_dynamic", "kineto_results"}
CLASSES = [
    "autograd.function.FunctionCtx", "autograd.function.Function", "autograd.graph.Node",
    "autograd.graph.saved_tensors_hooks", "autograd.graph.save_on_cpu", "autograd.graph.GradientEdge",
    "autograd.profiler.profile",
    "autograd.profiler.record_function", "autograd.profiler.EventList", "autograd.profiler.emit_nvtx",
    "autograd.profiler.emit_itt", "autograd.profiler.EnforceUnique", "autograd.profiler.KinetoStepTracker",
    "autograd.profiler.MemRecordsAcc", "autograd.forward_ad.dual_level",
    "autograd.grad_mode.no_grad", "autograd.grad_mode.set_grad_enabled", "autograd.grad_mode.inference_mode",
    "autograd.grad_mode.set_multithreading_enabled", "autograd.anomaly_mode.detect_anomaly",
    "utils.checkpoint.CheckpointFunction", "utils.checkpoint.DefaultDeviceType", "utils.checkpoint.GraphExecGroup",
]  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_is_there_and_takes_what_torchs_takes(name: str) -> None:
    module, _, cls = name.rpartition(".")
    theirs, ours = (getattr(import_module(f"{lib}.{module}"), cls) for lib in ("torch", "gradcore"))
    for public in {each for each in vars(theirs) if not each.startswith("_")} - OF_KINETO:
        assert hasattr(ours, public), f"{name}.{public} is missing"
        if not inspect.isroutine(getattr(theirs, public)) or isinstance(getattr(ours, public), property):
            continue  # `Node.metadata` is a method of torch's base class, but an attribute of its nodes
        wanted = [p.name for p in inspect.signature(getattr(theirs, public)).parameters.values()]
        have = [p.name for p in inspect.signature(getattr(ours, public)).parameters.values()]
        assert have == wanted, f"{name}.{public}"


def _default(parameter: inspect.Parameter) -> Any:
    value = parameter.default
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_variables() -> None:
    def program(lib: Any) -> Any:
        V = lib.autograd.Variable
        x, t = lib.ones(2, requires_grad=True), lib.zeros(2)
        V(t).add_(1)
        return [
            [V(x), V(x * 2), V(x, requires_grad=True), V(t), V().shape[0]],
            [isinstance(each, V) for each in (x, t, 3.0)],
            [attempt(lambda given=given: V(*given)) for given in (([1.0],), (3.0,), (lib.tensor([1]), True))],
            attempt(lambda: lib.autograd.variable(2.0)),
        ]

    same(program, torch)


def test_what_is_accepted_and_changes_nothing() -> None:
    def program(lib: Any) -> Any:
        graph, policy = lib.autograd.graph, lib.autograd.enforce_grad_layout_policy
        setters = [graph.set_warn_on_accumulate_grad_stream_mismatch, graph.set_override_stale_capture_stream]
        x = lib.ones(2, 3).t().requires_grad_()
        with policy(False) as entered:
            (x * 2).sum().backward()
        policy(True)
        return [
            entered,
            x.grad.tolist(),
            [attempt(lambda budget=budget: graph.region_activation_memory_budget(budget)) for budget in (0.5, 2, "a")],
            [attempt(lambda f=f, given=given: f(given)) for f in setters for given in (1, "a", True, False)],
            attempt(lambda: policy(3)),
        ]

    same(program, torch)


def test_the_old_name_of_gradients() -> None:
    def program(lib: Any) -> Any:
        x, ones = lib.ones(2, requires_grad=True), lib.ones(2)
        both = attempt(lambda: lib.autograd.backward(x * 2, ones, grad_variables=ones))
        with pytest.warns(FutureWarning, match="`grad_variables` is deprecated"):
            lib.autograd.backward(x * 2, grad_variables=ones)
        return both, x.grad

    same(program, torch)


def test_top_level_names() -> None:
    def program(lib: Any) -> Any:
        told = [lib.pi, lib.e, lib.inf, str(lib.nan), lib.newaxis, lib.vmap is lib.func.vmap]
        with lib.autograd.set_detect_anomaly(True, check_nan=False):
            told += [lib.is_anomaly_enabled(), lib.is_anomaly_check_nan_enabled()]
            thread = threading.Thread(target=lambda: told.append((lib.is_anomaly_enabled(), lib.is_grad_enabled())))
            thread.start()  # the mode is one for all threads
            thread.join()
        return [*told, lib.is_anomaly_enabled(), lib.is_anomaly_check_nan_enabled(), lib.ones(2)[lib.newaxis]]

    same(program, torch)


# -- torch.func's smaller functions ----------------------------------------------------------------------------------

PATTERNS: list[tuple[tuple[int, ...], str, dict[str, int]]] = [
    ((2, 3, 4), "a b c -> c b a", {}),
    ((2, 6, 4), "a (b c) d -> a b (c d)", {"b": 2}),
    ((2, 6, 4), "a (b c) d -> d c b a", {"c": 2}),
    ((2, 3, 4), "... -> ...", {}),
    ((2, 3, 4), "a ... -> ... a", {}),
    ((2, 3, 4), "... a -> a (...)", {}),
    ((2, 3, 4, 5), "a ... b -> b (... a)", {}),
    ((2, 3, 4), "a b c -> (a b c)", {}),
    ((2, 1, 4), "a 1 c -> a c", {}),
    ((2, 1, 4), "a () c -> c a", {}),
    ((2, 4), "a c -> a 1 c", {}),
    ((2, 4), "a c -> a () c", {}),
    ((2, 3), "a_1 b2 -> b2 a_1", {}),
    ((0, 3), "a b -> b a", {}),
]
REFUSED = [
    ("a b", {}), ("a b -> a", {}), ("a b -> a b c", {}), ("a a -> a", {}), ("a b c -> a b c", {}), ("(a b) c -> a b c", {}),
    ("(a b) c -> a b c", {"a": 4}), ("a b -> b a", {"c": 2}), ("(a b -> b a", {}), ("a b) -> b a", {}), ("a -b -> b a", {}),
    ("a b -> b ... a", {}), ("a b ... -> b a", {}), ("a (...) -> a ...", {}), ("a b -> b->a", {}), ("a 2 -> a", {}),
    ("... ... -> ...", {}), ("((a) b) c -> a b c", {}), ("a b c ... -> ... a b c", {}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "pattern", "lengths"), PATTERNS)
def test_rearrange(shape: tuple[int, ...], pattern: str, lengths: dict[str, int]) -> None:
    def program(lib: Any) -> Any:
        n = 1
        for m in shape:
            n *= m
        x = lib.arange(n, dtype=lib.float64).reshape(shape)
        several = lib.func.rearrange([x, x + 1], "i " + pattern.replace("->", "-> i"), **lengths)
        return lib.func.rearrange(x, pattern, **lengths).tolist(), several.tolist()

    same(program, torch)


@pytest.mark.parametrize(("pattern", "lengths"), REFUSED)
def test_patterns_that_are_refused(pattern: str, lengths: dict[str, int]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  (some are of a kind of torch's own)
        torch.func.rearrange(torch.ones(2, 3), pattern, **lengths)
    with pytest.raises(ValueError, match=r"attern|on one side|consist|lengths|dimension"):
        gradcore.func.rearrange(gradcore.ones(2, 3), pattern, **lengths)


def test_rearranged_tensors_have_gradients() -> None:
    x = gradcore.arange(6.0).requires_grad_()
    weights = gradcore.arange(6.0).reshape(3, 2)
    rearranged = gradcore.func.rearrange(x, "(a b) -> b a", a=2)
    assert rearranged.tolist() == [[0, 3], [1, 4], [2, 5]]
    (rearranged * weights).sum().backward()
    assert x.grad.tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_is_under_transforms() -> None:
    def program(lib: Any) -> Any:
        F, seen = lib.func, []

        def look(x: Any, **how: Any) -> Any:
            seen.append(list(F.debug_unwrap(x, **how).shape))
            return x

        F.vmap(look)(lib.arange(6.0).reshape(2, 3))
        F.vmap(F.vmap(lambda x: look(look(x), recurse=False).sum()))(lib.arange(24.0).reshape(2, 3, 4)[:, :1])
        F.jvp(look, (lib.ones(2),), (lib.ones(2),))
        F.grad(lambda x: look(x).sum())(lib.ones(2))
        look(lib.zeros(1))
        return seen, attempt(lambda: F.debug_unwrap(3))[1]

    same(program, torch)


def test_functionalized_functions_write_in_place_all_the_same() -> None:
    def program(lib: Any) -> Any:
        F, y = lib.func, lib.ones(2)
        made = F.functionalize(lambda x: x.view(-1).add_(1), remove="mutations_and_views")(lib.ones(2, 2))
        F.functionalize(lambda x: x.add_(1))(y)
        return made, y, attempt(lambda: F.functionalize(lambda x: x, remove="all")(y))

    same(program, torch)


def test_batch_norms_forget() -> None:
    def program(lib: Any) -> Any:
        nn = lib.nn
        inner = nn.Sequential(nn.InstanceNorm1d(3, track_running_stats=True), nn.BatchNorm2d(1))
        model = nn.Sequential(nn.BatchNorm1d(3), inner)
        returned = lib.func.replace_all_batch_norm_modules_(model)
        x = lib.arange(24.0).reshape(2, 4, 3)
        mapped = lib.func.vmap(lambda x: lib.func.functional_call(model[0], {}, x))(x)
        return returned is model, sorted(model.state_dict()), model[0].track_running_stats, mapped.detach()

    same(program, torch, rtol=1e-4)
