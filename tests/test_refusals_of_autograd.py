"""What autograd, func and checkpoint refuse, beside torch: the same type for each mistake. It must not know their code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import func
from gradcore.utils.checkpoint import CheckpointError, checkpoint
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def x(lib: Any) -> Any:
    return lib.ones(3, requires_grad=True)


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "grad of a string": lambda lib: lib.autograd.grad("s", x(lib)),
    "grad of a number": lambda lib: lib.autograd.grad([x(lib).sum(), 3], x(lib)),
    "grad by a string": lambda lib: lib.autograd.grad(x(lib).sum(), "s"),
    "grad by None": lambda lib: lib.autograd.grad(x(lib).sum(), [x(lib), None]),
    "backward of None": lambda lib: lib.autograd.backward([None]),
    "backward into a number": lambda lib: lib.autograd.backward(x(lib).sum(), inputs=[3]),
    "backward into a string": lambda lib: lib.autograd.backward(x(lib).sum(), inputs="s"),
    "jvp of a number": lambda lib: lib.func.jvp(lambda a: a, (3.0,), (lib.ones(3),)),
    "jvp along a number": lambda lib: lib.func.jvp(lambda a: a, (lib.ones(3),), (3.0,)),
    "jvp along integers": lambda lib: lib.func.jvp(lambda a: a, (lib.ones(3),), (lib.ones(3).long(),)),
    "linearize, other dtype": lambda lib: lib.func.linearize(lambda a: a, lib.ones(3))[1](lib.ones(3).double()),
    "linearize, integers": lambda lib: lib.func.linearize(lambda a: a, lib.ones(3))[1](lib.ones(3).long()),
    "linearize, other shape": lambda lib: lib.func.linearize(lambda a: a, lib.ones(3))[1](lib.ones(2)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_as_torch(mistake: str) -> None:
    def program(lib: Any) -> Any:
        refused = attempt(lambda: MISTAKES[mistake](lib))
        assert isinstance(refused, tuple), refused
        return refused

    same(program, torch, may_raise=True)


@pytest.mark.parametrize("returned", [lambda a: a, lambda a: (a,), lambda a: (a, 0, 0), lambda a: None])
def test_the_vmap_of_a_function_returns_two(returned: Callable[[Any], Any]) -> None:
    def program(lib: Any) -> Any:
        class Doubled(lib.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(a: Any) -> Any:
                return a * 2

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
                pass

            @staticmethod
            def vmap(info: Any, in_dims: Any, a: Any) -> Any:
                return returned(a)

        refused = attempt(lambda: lib.func.vmap(Doubled.apply)(lib.ones(3, 2)))
        return refused[1:2]

    same(program, torch)


def test_plain_arrays_may_have_tangents_of_other_dtypes() -> None:
    _, push = func.linearize(lambda a: a * 2, np.ones(3, np.float32))
    np.testing.assert_array_equal(push(np.ones(3)), np.full(3, 2.0))


@pytest.mark.parametrize("check", ["default", "none"])
@pytest.mark.parametrize("second", [lambda a: a + 1, lambda a: a.sum(), lambda a: a.sin() + a])
def test_a_second_run_that_saves_less(check: str, second: Callable[[Any], Any]) -> None:
    runs = []

    def run(a: Any) -> Any:
        runs.append(1)
        return a.sin().cos().exp() if len(runs) == 1 else second(a)

    a = gradcore.rand(3, requires_grad=True)
    out = checkpoint(run, a, use_reentrant=False, determinism_check=check).sum()
    with pytest.raises(CheckpointError, match="A different number of tensors was saved"):
        out.backward()
    assert a.grad is None


@pytest.mark.parametrize("write", [lambda y, a: y.add_(a), lambda y, a: y.copy_(a), lambda y, a: y[1:].mul_(a[0])])
def test_a_batch_is_not_written_into_one_tensor(write: Callable[[Any, Any], Any]) -> None:
    def program(lib: Any) -> Any:
        y = lib.ones(2)
        refused = attempt(lambda: lib.func.vmap(lambda a: write(y, a))(lib.full((3, 2), 7.0)))
        return refused[1], y

    same(program, torch)


@pytest.mark.parametrize("kind", ["Adam", "SGD", "RMSprop"])
@pytest.mark.parametrize("size", [3, 5000])
def test_states_of_other_shapes(kind: str, size: int) -> None:
    def program(lib: Any) -> Any:
        def made(n: int) -> tuple[Any, Any]:
            p = lib.ones(n, requires_grad=True)
            p.grad = lib.ones(n)
            return p, getattr(lib.optim, kind)([p], lr=0.1, **({} if kind == "Adam" else {"momentum": 0.9}))

        (_, first), (p, second) = made(2), made(size)
        first.step()
        second.load_state_dict(first.state_dict())
        return attempt(second.step)[1], p

    same(program, torch)


@pytest.mark.parametrize("returned", [(1, 1), (1, 0), (0, 0), (0, 1)])
def test_hooks_of_nodes_give_no_gradients_where_none_are(returned: tuple[int, int]) -> None:
    def program(lib: Any) -> Any:
        a = x(lib)
        y = a * 2
        y.grad_fn.register_hook(lambda into, out: tuple(lib.ones(3) if r else None for r in returned))
        return attempt(lambda: y.sum().backward()), a.grad

    same(program, torch)


def test_a_gradient_of_a_wrong_shape_names_the_node_and_the_fix() -> None:
    y = x(gradcore).exp()
    told = r"Mismatch in shape: grad_output\[0\] has a shape of .*\[2\].* of ExpBackward0\. Give it .* reshape"
    for refused in (lambda: y.backward(gradcore.ones(2)), lambda: gradcore.autograd.grad([y], y, [gradcore.ones(2)])):
        with pytest.raises(RuntimeError, match=told):
            refused()
