"""Tensors made to show other memory, copied views, functions that overwrite, beside torch. It must not test mathematics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")


def matrix(lib: Any, *shape: int, seed: int = 0) -> Any:
    return lib.tensor(np.random.default_rng(seed).normal(size=shape or (3, 4)).tolist(), requires_grad=True)


# -- copies of views --------------------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any, Any], Any]] = {
    "alias": lambda lib, x: lib.alias_copy(x),
    "as_strided": lambda lib, x: lib.as_strided_copy(x, (2, 2), (1, 2), 1),
    "diagonal": lambda lib, x: lib.diagonal_copy(x, offset=1),
    "expand": lambda lib, x: lib.expand_copy(x, (2, 3, 4)),
    "permute": lambda lib, x: lib.permute_copy(x, (1, 0)),
    "select": lambda lib, x: lib.select_copy(x, 1, 2),
    "slice": lambda lib, x: lib.slice_copy(x, 1, 1, 4, 2),
    "slice of all": lambda lib, x: lib.slice_copy(x),
    "split": lambda lib, x: lib.split_copy(x, 2, 1),
    "split_with_sizes": lambda lib, x: lib.split_with_sizes_copy(x, [1, 3], -1),
    "squeeze": lambda lib, x: lib.squeeze_copy(x[:, :1]),
    "squeeze one": lambda lib, x: lib.squeeze_copy(x[:, :1], 1),
    "t": lambda lib, x: lib.t_copy(x),
    "transpose": lambda lib, x: lib.transpose_copy(x, 0, 1),
    "unbind": lambda lib, x: lib.unbind_copy(x, 1),
    "unfold": lambda lib, x: lib.unfold_copy(x, 1, 2, 1),
    "unsqueeze": lambda lib, x: lib.unsqueeze_copy(x, -1),
    "view": lambda lib, x: lib.view_copy(x, (2, 6)),
    "view_as_real": lambda lib, x: lib.view_as_real_copy(lib.complex(x, x)),
    "of a constant": lambda lib, x: lib.permute_copy(x.detach(), (1, 0)),
    "unsafe_split": lambda lib, x: lib.unsafe_split(x, 3, 1),
    "unsafe_split_with_sizes": lambda lib, x: x.unsafe_split_with_sizes([1, 2]),
    "unsafe_chunk": lambda lib, x: lib.unsafe_chunk(x, 2),
    "unsafe_split of a list": lambda lib, x: lib.unsafe_split(x, [1, 2]),
    "of no tensor": lambda lib, x: lib.tensor(attempt(lambda: lib.t_copy(3))[1] == "TypeError").float(),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_views(name: str) -> None:
    def program(lib: Any) -> Any:
        x = matrix(lib)
        made = COPIES[name](lib, x)
        parts = made if isinstance(made, tuple) else (made,)
        views = [part._is_view() for part in parts]
        if any(part.requires_grad for part in parts):
            parts[0].mul_(3)  # which no view that is one of several allows
            sum((part * part).sum() for part in parts).backward()
        return made, views, x.grad, x.detach()

    # torch's `unsafe_split` shares memory, and so does ours: what was written shows in `x`.
    same(program, torch, may_raise=True)


def test_copies_are_in_memory_of_their_own_and_fill_out() -> None:
    x = gradcore.arange(6.0).reshape(2, 3)
    copies = gradcore.alias_copy(x), gradcore.view_copy(x, (6,)), gradcore.expand_copy(x, (2, 3)), gradcore.detach_copy(x)
    for made in copies:
        assert made.untyped_storage() != x.untyped_storage()
        assert made.is_contiguous()
    out = gradcore.empty(0)
    assert gradcore.t_copy(x, out=out) is out
    assert out.tolist() == x.t().tolist()
    assert gradcore.unsafe_chunk(x, 2)[0].untyped_storage() == x.untyped_storage()
    z = gradcore.view_as_complex_copy(x[:, :2].clone().requires_grad_())  # torch refuses this one
    assert z.grad_fn.name() == "ViewAsComplexBackward0_copy"
    with gradcore.inference_mode():
        assert gradcore.t_copy(x).is_inference()
    rows = gradcore.func.vmap(lambda row: gradcore.flip(gradcore.view_copy(row, (3, 1)), (0,)))(x)
    assert rows.tolist() == x.flip(1).unsqueeze(2).tolist()


# -- functions that overwrite -----------------------------------------------------------------------------------------

OVERWRITE = sorted(
    name
    for name in dir(torch)
    if name.endswith("_")
    and name[0] != "_"
    and not any(other in name for other in ("sparse", "embedding", "rrelu", "threshold"))
)
# Some of which torch has no derivative when they are done in place.
UNTRACED = {"detach_", "resize_as_", "conj_physical_"}
UNTRACED |= {f"{arc}{f}_" for f in ("sinh", "cosh", "tanh") for arc in ("a", "arc")}
MORE: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "addmv_": lambda lib: (matrix(lib, 3, 4), matrix(lib, 4)),
    "as_strided_": lambda lib: ((2,), (1,)),
    "clamp_": lambda lib: (-0.5, 0.5),
    "clamp_max_": lambda lib: (0.5,),
    "clamp_min_": lambda lib: (0.5,),
    "clip_": lambda lib: (0.1,),
    "dropout_": lambda lib: (0.5, True),
    "alpha_dropout_": lambda lib: (0.5, True),
    "feature_dropout_": lambda lib: (0.5, False),
    "feature_alpha_dropout_": lambda lib: (0.5, False),
    "fill_": lambda lib: (2.5,),
    "gcd_": lambda lib: (lib.tensor([4, 6, 9]),),
    "lcm_": lambda lib: (lib.tensor([4, 6, 9]),),
    "index_put_": lambda lib: ((lib.tensor([1]),), lib.tensor([7.0])),
    "ldexp_": lambda lib: (lib.tensor([1, 2, 3]),),
    "logit_": lambda lib: (0.1,),
    "resize_as_": lambda lib: (lib.zeros(2),),
    "xlogy_": lambda lib: (lib.tensor([1.0, 2.0, 3.0]),),
}


@pytest.mark.parametrize("name", OVERWRITE)
def test_functions_that_overwrite(name: str) -> None:
    def program(lib: Any) -> Any:
        lib.manual_seed(0)
        integers = name in ("gcd_", "lcm_")
        shift = 1.2 * (name in ("arccosh_", "acosh_"))
        x = lib.tensor([6, 4, 3]) if integers else matrix(lib, 3).detach().abs() * 0.4 + shift
        args = MORE.get(name, lambda lib: ())(lib)
        function = getattr(lib, name)
        at_first = attempt(lambda: function(x, *args))
        traced = None
        if not integers and name not in UNTRACED:
            leaf = matrix(lib, 3)
            y = leaf.abs() * 0.4 + shift
            function(y, *args)
            traced = y, lib.autograd.grad(y.sum(), leaf, allow_unused=True)
        others = ("as_strided_", "fill_", "index_put_", "relu_", "zero_")
        refused = name in others or attempt(lambda: function(3, *args))[1]
        return at_first is x, x, traced, refused

    same(program, torch)


# -- other memory -----------------------------------------------------------------------------------------------------

program = MEMORY = Programs()


@program
def resize(lib: Any) -> Any:
    def fresh() -> Any:
        return lib.arange(12.0).reshape(3, 4).clone()

    x, base = fresh(), fresh()
    part = base[1:]
    part.resize_(2, 2)
    part.mul_(10)
    y = fresh().resize_(4, 5)
    flat = fresh().t().resize_(3, 3)
    return (
        x.resize_(2, 3) is x, x, x._version, x.stride(), part, base, part._is_view(), tuple(y.shape), y[:2], flat,
        fresh().resize_as_(lib.zeros(5)), attempt(lambda: fresh().resize_())[1], attempt(lambda: fresh().resize_as_(3))[1],
        attempt(lambda: matrix(lib).resize_(2)), attempt(lambda: (matrix(lib) * 2).resize_as_(x)),
        matrix(lib).detach().resize_(2), lib.zeros(0).resize_(2, 3).shape == (2, 3), fresh().resize_(0, 3).numel(),
    )  # fmt: skip


@program
def what_was_saved_and_resized(lib: Any) -> Any:
    x, w = lib.arange(4.0), matrix(lib, 4)
    y = (x * w).sum()
    x.resize_(2)
    return attempt(y.backward)[1]


@program
def set_to_another(lib: Any) -> Any:
    source = lib.arange(10.0)
    x, y, z, strided, empty = (lib.zeros(3) for _ in range(5))
    x.set_(source)
    x[0] = 7
    y.set_(source.untyped_storage(), 2, (2, 3), (3, 1))
    z.set_(source, 1, (2, 2))
    strided.set_(source.view(5, 2).t())
    empty.set_()
    view = source[2:]
    view.set_(lib.ones(2))
    leaf = matrix(lib, 2)
    with lib.no_grad():
        leaf.set_(lib.ones(3))
    leaf.sum().backward()
    return (
        x, x.is_set_to(source), y, z, strided, empty, view, source, leaf, leaf.grad,
        attempt(lambda: x.set_(lib.arange(3)))[1], attempt(lambda: matrix(lib).set_(source)), attempt(lambda: x.set_(3))[1],
    )  # fmt: skip


@program
def fill_the_diagonal(lib: Any) -> Any:
    x, tall, tracked = matrix(lib).detach(), matrix(lib, 8, 3).detach(), matrix(lib, 4, 4)
    y = tracked * 2
    y.fill_diagonal_(3)
    (y * y).sum().backward()
    return (
        x.fill_diagonal_(2.5) is x, x, tall.clone().fill_diagonal_(1), tall.clone().fill_diagonal_(1, wrap=True), y,
        tracked.grad, matrix(lib, 3, 3, 3).detach().fill_diagonal_(0), lib.arange(9).reshape(3, 3).fill_diagonal_(2.7),
        x.t().fill_diagonal_(lib.tensor(9.0)), lib.zeros(3, 0).fill_diagonal_(1), lib.zeros(0, 3).fill_diagonal_(1, True),
        attempt(lambda: tracked.fill_diagonal_(1)), attempt(lambda: x[0].fill_diagonal_(1)),
        attempt(lambda: lib.zeros(2, 3, 2).fill_diagonal_(1)), attempt(lambda: x.fill_diagonal_("a"))[1],
        attempt(lambda: x.fill_diagonal_(lib.ones(2)))[1], attempt(lambda: x.fill_diagonal_(1j))[1],
    )  # fmt: skip


@program
def nonzero_of_a_fixed_size(lib: Any) -> Any:
    x = lib.tensor([[0.0, 1.0], [2.0, 0.0]])
    return (
        lib.nonzero_static(x, size=3), x.nonzero_static(size=1, fill_value=7), x.nonzero_static(size=0),
        lib.tensor(3.0).nonzero_static(size=2), lib.nonzero_static(x, size=3, out=lib.empty(0, dtype=lib.int64)),
        attempt(lambda: x.nonzero_static(size=-1)), attempt(lambda: x.nonzero_static())[1],
    )  # fmt: skip


@program
def questions(lib: Any) -> Any:
    x = matrix(lib)
    with lib.inference_mode():
        inside = lib.ones(2)
    before = lib.is_warn_always_enabled()
    lib.set_warn_always(True)
    after = lib.is_warn_always_enabled()
    lib.set_warn_always(False)
    return (
        lib.is_inference(x), lib.is_inference(inside), lib.get_device(x), lib.detach(x * 2), before, after,
        attempt(lambda: lib.set_warn_always(1)), lib.typename(x), lib.typename(x.long()), lib.typename(3), lib.typename(int),
        lib.typename([1]), lib.typename(None), attempt(lambda: lib.is_inference(3))[1],
        attempt(lambda: lib.detach(3))[1],
    )  # fmt: skip


@program
def poisson_numbers(lib: Any) -> Any:
    rates = np.random.default_rng(0).uniform(0, 1, size=(2, 200))
    lib.manual_seed(3)
    lib.rand(5)
    small = lib.tensor((rates * 12).tolist(), requires_grad=True)
    large = lib.tensor((rates * 1e4).tolist(), dtype=lib.float64)
    drawn = lib.poisson(small)
    drawn.sum().backward()
    return (
        drawn, small.grad, lib.poisson(large), lib.poisson(large.t())[:3], lib.poisson(lib.zeros(2)),
        lib.poisson(lib.zeros(0)), lib.poisson(lib.tensor(11.5), generator=lib.Generator().manual_seed(5)), lib.rand(2),
        lib.poisson(small.detach().half()),
        attempt(lambda: lib.poisson(lib.tensor([-1.0]))), attempt(lambda: lib.poisson(lib.tensor([1]))),
    )  # fmt: skip


@pytest.mark.parametrize("program", MEMORY, ids=lambda f: f.__name__)
def test_does_as_torch(program: Callable[[Any], Any]) -> None:
    same(program, torch)


def test_what_is_set_has_the_history_of_its_source() -> None:  # torch has no derivative of set_
    leaf, x, y = gradcore.tensor([0.1, 0.2, 0.3], requires_grad=True), gradcore.zeros(2), gradcore.zeros(2) * 2
    middle = leaf * 2
    x.set_(middle)
    y.set_(middle, 1, (2,), (1,))
    assert x.grad_fn.name() == y.grad_fn.name() == "AsStridedBackward0"
    (x.sum() * 5 + y.exp().sum()).backward()
    np.testing.assert_allclose(leaf.grad, [10, 10 + 2 * np.exp(0.4), 10 + 2 * np.exp(0.6)], rtol=1e-6)
    middle.set_(gradcore.ones(2))
    assert not middle.requires_grad


def test_what_grows_leaves_what_shared_its_memory_behind() -> None:
    # torch's storages grow for all that share them: arrays do not.
    x = gradcore.arange(4.0)
    view = x[1:]
    view.resize_(8)
    assert view[:3].tolist() == [1, 2, 3]
    assert not view._is_view()
    view.zero_()
    assert x.tolist() == [0, 1, 2, 3]
