"""Declarations of primitives, and the straight-line recorders beside the general path. It must not test one operation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import primitives
from gradcore.graph import modes
from gradcore.recorder import Primitive, primitive, registry, wrap

primitives.load()
ELEMENTWISE = [
    op
    for op in registry.values()
    if op.kind == "elementwise" and len(op.inputs) <= 2 and not op.params and not op.name.startswith("drawn")
]


@contextmanager
def general_path() -> Iterator[None]:
    """Send every operation through `record.apply`."""
    reason = object()
    modes.unusual.append(reason)
    try:
        yield
    finally:
        modes.unusual.remove(reason)


def arguments(op: Primitive) -> Iterator[tuple[Any, ...]]:
    """Tensors of one and of different shapes and dtypes, with and without gradients; numbers for the second."""
    rng = np.random.default_rng()

    def tensor(shape: tuple[int, ...], dtype: str, grad: bool) -> Any:
        made = wrap(rng.uniform(0.2, 0.9, size=shape).astype(dtype))
        return made.requires_grad_(grad)

    for dtype, grad in itertools.product(("float32", "float64"), (False, True)):
        for shape in ((2, 3), (), (0, 3)):
            x = tensor(shape, dtype, grad)
            if len(op.inputs) == 1:
                yield (x,)
                continue
            for other, other_grad in itertools.product(((2, 3), (3,), ()), (False, True)):
                if shape == (0, 3) and other == (2, 3):
                    continue
                yield x, tensor(other, dtype, other_grad)
            yield x, tensor(shape, dtype, True)
            yield x, 2
            yield x, 0.5
            yield x, True


def picture(result: Any) -> Any:
    """All of a result and its node that anyone can see, less its stamp."""
    if not isinstance(result, gradcore.Tensor):
        return result
    node = result._node
    shown = (str(result._array.dtype), result._array.shape, result._array.tobytes(), type(result._array))
    if node is None:
        return shown
    return (*shown, node.step, node.targets, seen(node.saved), node.hooks)


def seen(saved: Any) -> Any:
    if isinstance(saved, tuple):
        return tuple(seen(each) for each in saved)
    if isinstance(saved, (np.ndarray, int, float)):  # the fast path keeps numbers as 0-d arrays
        array = np.asarray(saved, dtype="float64")
        return array.shape, array.tobytes()  # NaN is to be equal to itself
    return saved


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
@pytest.mark.parametrize("grad_mode", [True, False])
def test_the_fast_path_records_what_the_general_path_does(op: Primitive, grad_mode: bool) -> None:
    with gradcore.set_grad_enabled(grad_mode):
        for args in arguments(op):
            fast = slow = None
            try:
                fast = picture(op.function(*args))
            except Exception as error:
                fast = repr(error)
            with general_path():
                try:
                    slow = picture(op.function(*args))
                except Exception as error:
                    slow = repr(error)
            assert fast == slow, f"{op.name}{args}"


def test_a_rule_that_names_an_unknown_value_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match=r"primitive odd: the rule of x asks for z; a rule may name .*x_shape"):

        @primitive("elementwise", x=lambda g, z: g * z)
        def odd(F: Any, x: Any, y: Any) -> Any: ...

    with pytest.raises(TypeError, match="a rule for z, which is no input"):

        @primitive("elementwise", z=lambda g: g)
        def odder(F: Any, x: Any) -> Any: ...

    with pytest.raises(TypeError, match="already a primitive called add"):

        @primitive("elementwise")
        def add(F: Any, x: Any) -> Any: ...

    assert {"odd", "odder"}.isdisjoint(registry)


def test_a_primitive_prints_what_it_saves() -> None:
    assert repr(registry["multiply"]) == "<primitive multiply(x, y), elementwise, saves x: y; y: x>"
    assert repr(registry["add"]).endswith("saves x: nothing; y: nothing>")


def test_params_come_by_position_or_name() -> None:
    op = registry["reshape"]
    x = gradcore.ones(2, 3)
    assert op.function(x, (3, 2)).shape == op.function(x, shape=(3, 2)).shape == (3, 2)
    with pytest.raises(TypeError, match="shape"):
        op.function(x)


def test_subclasses_of_numbers_are_numbers() -> None:
    x = gradcore.ones(2)
    assert (x * np.float64(3)).dtype == gradcore.float32
    assert (x * np.float64(3)).tolist() == [3.0, 3.0]


def test_warnings_are_off_inside_and_as_they_were_outside() -> None:
    x = gradcore.tensor([0.0, 1e38])
    with np.errstate(all="raise"):
        for path in (general_path, gradcore.enable_grad):
            with path():
                assert (1 / x).tolist()[0] == float("inf")
                assert (x * x).tolist()[1] == float("inf")
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)
    y = x.clone().requires_grad_()
    with np.errstate(all="raise"):
        (y.sqrt() * 1e38 * y).sum().backward()


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.symmetric], ids=lambda op: op.name)
@pytest.mark.parametrize("leaf", [True, False])
def test_a_value_and_itself_get_what_two_equal_values_get(op: Primitive, leaf: bool) -> None:
    values, seed = np.random.default_rng().uniform(0.2, 0.9, size=(2, 3, 4))

    def gradients(of_one: bool) -> list[np.ndarray]:
        start = gradcore.tensor(values, requires_grad=True)
        x = start if leaf else start.sin()
        made = op.function(x, x if of_one else x + 0)
        assert len(made.grad_fn.next_functions) == 2
        assert op.function(made, values[0, 0]).allclose(op.function(gradcore.tensor(values[0, 0]), made))
        found = [made]
        for _ in range(1 if leaf else 3):
            found += gradcore.autograd.grad(found[-1], start, gradcore.tensor(seed), create_graph=True)
        made.backward(gradcore.tensor(seed), retain_graph=True)
        made.backward(gradcore.tensor(seed))
        return [each.detach().numpy() for each in (*found, start.grad)]

    for one, two in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_the_cotangent_that_a_value_gets_twice_is_in_no_gradient_twice() -> None:
    x = gradcore.tensor([3.0, 4.0], requires_grad=True)
    alias = x.detach().requires_grad_()
    hooked: list[Any] = []
    y = x * x
    y.register_hook(lambda g: hooked.append(g.clone()))
    (y + x * alias).sum().backward()
    x.grad.data += 1  # of a shared array the other gradient would see it
    assert (alias.grad.tolist(), x.grad.tolist()) == ([3.0, 4.0], [10.0, 13.0])
    assert [g.tolist() for g in hooked] == [[1.0, 1.0]]


def test_errors_about_arguments_name_the_operation() -> None:
    x = gradcore.ones(2)
    for call in (lambda: x.sqrt(dim=0), lambda: x.expm1(1, 2), lambda: x.cosh(foo=1)):
        for _ in range(2):  # before and after its code is written
            with pytest.raises(TypeError, match=r"^(sqrt|expm1|cosh)\(\) "):
                call()
