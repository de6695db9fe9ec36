"""Modules and optimizers of gradcore beside torch's, on torch's own samples of how each is made and called.

It must not know any of them. Left out are modules that are made of modules, and optimizers that gradcore does not have.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.testing._internal.common_modules import module_db  # noqa: E402
from torch.testing._internal.common_optimizers import optim_db  # noqa: E402
from torch.utils._pytree import tree_map  # noqa: E402

import gradcore  # noqa: E402
from tests.oracle import plan  # noqa: E402
from tests.oracle.library import tensors_in  # noqa: E402

OURS = plan.library_named("gradcore", "cpu")
LIBRARIES = (torch, gradcore)


def leaves(tree: Any) -> list[Any]:
    """The tensors of either library in a nest of lists, tuples and dicts."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [leaf for each in tree for leaf in leaves(each)]
    return [tree] if isinstance(tree, (torch.Tensor, gradcore.Tensor)) else []


def assert_same(mine: Any, theirs: Any, what: str, tolerance: float = 1e-8) -> None:
    assert (mine is None) == (theirs is None), what
    if mine is not None:
        a, e = mine.detach(), theirs.detach()
        assert tuple(a.shape) == tuple(e.shape), what
        assert str(a.dtype) == str(e.dtype), what
        values = OURS.array(e)
        small = tolerance * (1 + abs(values[np.isfinite(values)]).max(initial=0))
        np.testing.assert_allclose(OURS.array(a), values, rtol=tolerance, atol=small, err_msg=what)


def samples(info: Any, training: bool) -> Iterator[tuple[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in info.module_inputs_func(info, "cpu", torch.float64, True, training=training):
            made, called = sample.constructor_input, sample.forward_input
            if called is not None and not any(isinstance(x, torch.nn.Module) for x in (*made.args, *made.kwargs.values())):
                yield made, called


def build(lib: Any, name: str, args: Any, options: dict[str, Any]) -> Any:
    cls = getattr(lib.nn, name)
    if "dtype" in inspect.signature(getattr(torch.nn, name)).parameters:
        return cls(*args, **{**options, "dtype": lib.float64})
    return cls(*args, **options).to(lib.float64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("info", module_db, ids=lambda info: info.module_cls.__name__)
def test_modules_do_as_torchs(info: Any) -> None:
    name = info.module_cls.__name__
    compared = 0
    for training in (True, False) if info.train_and_eval_differ else (True,):
        for made, called in samples(info, training):
            what = f"{name}{made.args}{made.kwargs} in {'training' if training else 'evaluation'}"
            # Leaves, since some samples are results that both would pull through.
            found = tensors_in([called.args, called.kwargs])
            fresh = {id(x): x.detach().clone().requires_grad_(x.requires_grad) for x in found}
            theirs_in = tree_map(lambda x, fresh=fresh: fresh.get(id(x), x), (called.args, called.kwargs))
            ours_in = OURS.convert(theirs_in, {})
            theirs = build(torch, name, made.args, made.kwargs).train(training)
            mine = build(gradcore, name, OURS.convert(made.args, {}), OURS.convert(made.kwargs, {})).train(training)
            if info.is_lazy:
                theirs(*theirs_in[0], **theirs_in[1]), mine(*ours_in[0], **ours_in[1])
            assert list(mine.state_dict()) == list(theirs.state_dict()), what
            mine.load_state_dict({key: OURS.tensor(x) for key, x in theirs.state_dict().items()})
            assert repr(mine) == repr(theirs)
            outs = []
            for lib, module, (args, options) in zip(LIBRARIES, (theirs, mine), (theirs_in, ours_in), strict=True):
                lib.manual_seed(7)
                outs.append(leaves(module(*args, **options)))
            for e, a in zip(*outs, strict=True):
                assert_same(a, e, what)
                assert a.requires_grad == e.requires_grad, what
            wanted = [[*leaves(theirs_in), *theirs.parameters()], [*leaves(ours_in), *mine.parameters()]]
            assert_same_gradients(outs, wanted, what, info.supports_gradgrad)
            for (key, e), a in zip(theirs.state_dict().items(), mine.state_dict().values(), strict=True):
                assert_same(a, e, f"{key} of {what}")
            compared += 1
    assert compared or not any(samples(info, True))


def assert_same_gradients(outs: list[Any], wanted: list[Any], what: str, twice: bool) -> None:
    """Compare the gradients of a weighted sum of `outs`, and if `twice` those of their squares."""
    draw = np.random.default_rng(3)
    weights = [draw.normal(size=tuple(e.shape)) for e in outs[0]]
    found = []
    for lib, results, inputs in zip(LIBRARIES, outs, wanted, strict=True):
        parts = [(y * lib.tensor(w)).sum() for y, w in zip(results, weights, strict=True) if y.requires_grad]
        if not parts:
            return
        xs = [x for x in inputs if x.requires_grad]
        first = lib.autograd.grad(sum(parts), xs, allow_unused=True, create_graph=twice)
        squares = [(g * g).sum() for g in first if g is not None and g.requires_grad]
        try:
            second = lib.autograd.grad(sum(squares), xs, materialize_grads=True) if squares else ()
        except RuntimeError as error:  # torch has no second derivative of some
            if lib is gradcore or "is not implemented" not in str(error):
                raise
            second = ()
        found.append((first, second))
    (first, second), (ours_first, ours_second) = found
    for e, a in zip(first, ours_first, strict=True):
        assert_same(a, e, f"gradient of {what}")
    for e, a in zip(second, ours_second, strict=False):
        assert_same(a, e, f"second gradient of {what}", 1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("info", optim_db, ids=lambda info: info.optim_cls.__name__)
@pytest.mark.parametrize("flag", ["", "foreach", "capturable", "differentiable"])
def test_optimizers_step_as_torchs(info: Any, flag: str) -> None:
    name = info.optim_cls.__name__
    if not hasattr(gradcore.optim, name):
        assert name in ("Adafactor", "Muon", "SparseAdam")
        return
    draw = np.random.default_rng()
    start = [draw.normal(size=shape) for shape in ((3, 2), (4,), (2, 2))]
    goal = [draw.normal(size=x.shape) for x in start]
    for sample in info.optim_inputs_func("cpu", dtype=torch.float64):
        options = {**sample.kwargs, **({flag: True} if flag else {})}
        found = []
        for lib in LIBRARIES:
            try:
                found.append(stepped(lib, name, options if lib is torch else OURS.convert(options, {}), start, goal))
            except Exception as error:
                found.append(error)
        theirs, mine = found
        if isinstance(mine, Exception):
            assert isinstance(mine, type(theirs)), f"{name}: {options}, {theirs}"
        elif not isinstance(theirs, Exception):
            # torch's foreach form of ASGD has its step sizes in float32
            tolerance = 1e-6 if (name, flag) == ("ASGD", "foreach") else 1e-9
            for e, a in zip(theirs[0], mine[0], strict=True):
                np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance, err_msg=f"{name}: {options}")
            assert mine[1:] == theirs[1:], f"{name}: {options}"


def stepped(lib: Any, name: str, options: dict[str, Any], start: list[Any], goal: list[Any]) -> tuple[Any, ...]:
    """The parameters after a few steps, and what the optimizer is shown as and keeps of each."""
    options = {key: x.clone() if isinstance(x, torch.Tensor) else x for key, x in options.items()}  # which a step may change
    params = [lib.nn.Parameter(lib.tensor(x.copy())) for x in start]
    groups = params if name == "LBFGS" else [{"params": params[:1]}, {"params": params[1:]}]
    optimizer = getattr(lib.optim, name)(groups, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        losses = [((p - lib.tensor(x)) ** 2).sum() + (0.3 * p).sin().sum() for p, x in zip(params, goal, strict=True)]
        loss = sum(losses)
        loss.backward()
        return loss

    for _ in range(7):
        closure()
        optimizer.step(closure)
    state = optimizer.state_dict()["state"]
    kept = {i: sorted(set(each) - {"al"}) for i, each in state.items()}  # LBFGS's own scratch
    return [p.detach().numpy() for p in params], repr(optimizer), kept
