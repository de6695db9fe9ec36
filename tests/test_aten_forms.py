"""torch's functions with the names and orders of arguments of its kernels, beside torch. It must not test the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import compare, outcome  # noqa: E402

CALLS = """
m.batch_norm(t(4, 3, 2), t(3), t(3), c(3), c(3, low=1), True, 0.2, 1e-3, False)
m.batch_norm(t(4, 3, 2), None, None, c(3), c(3, low=1), False, 0.2, 1e-3, True)
m.batch_norm(t(4, 3), None, None, None, None, False, 0.1, 1e-5, True)
m.instance_norm(t(2, 3, 5), t(3), t(3), c(3), c(3, low=1), True, 0.2, 1e-3, False)
m.instance_norm(t(2, 3, 5), None, None, c(3), c(3, low=1), False, 0.2, 1e-3, False)
m.native_layer_norm(t(2, 3, 4), (3, 4), t(3, 4), t(3, 4), 1e-3)
m.native_layer_norm(t(2, 3, 4), [4], None, None, 1e-5)
m.native_group_norm(t(2, 6, 4), t(6), t(6), 2, 6, 4, 3, 1e-3)
m.native_group_norm(t(2, 6, 2, 2), None, None, 2, 6, 4, 2, 1e-3)
m.native_batch_norm(t(4, 3, 2), t(3), t(3), c(3), c(3, low=1), True, 0.2, 1e-3)
m.native_batch_norm(t(4, 3, 2), t(3), t(3), c(3), c(3, low=1), False, 0.2, 1e-3)
m.kl_div(t(3, 4), c(3, 4, low=0.1))
m.kl_div(t(3, 4), c(3, 4, low=0.1), 0)
m.kl_div(t(3, 4), t(3, 4), 2, log_target=True)
m.poisson_nll_loss(t(3), c(3, low=1), True, True, 1e-8, 1)
m.poisson_nll_loss(t(3, low=1), c(3, low=2), False, False, 1e-8, 0)
m.binary_cross_entropy_with_logits(t(3), c(3, low=0))
m.binary_cross_entropy_with_logits(t(2, 3), c(2, 3, low=0), c(3), c(3, low=1), 2)
m.embedding(t(5, 3), i(0, 4, 4))
m.embedding(t(5, 3), i(0, 4, 4), 4, True)
m.grid_sampler_2d(t(1, 2, 4, 5), t(1, 3, 3, 2), 0, 1, True)
m.grid_sampler_3d(t(1, 2, 4, 5, 3), t(1, 2, 3, 3, 3), 1, 0, False)
m.grid_sampler_2d(t(1, 2, 4, 5, 3), t(1, 2, 3, 3, 3), 0, 0, False)
m.convolution(t(2, 3, 5), t(4, 3, 2), t(4), [2], [1], [1], False, [0], 1)
m.convolution(t(2, 4, 5, 6), t(4, 2, 3, 3), None, [1, 2], [1, 0], [2, 1], False, [0, 0], 2)
m.convolution(t(2, 4, 5, 6), t(4, 2, 3, 3), t(4), [2, 2], [1, 0], [1, 1], True, [1, 0], 2)
m.convolution(t(1, 1, 3, 3, 3), t(2, 1, 2, 2, 2), t(2), [1] * 3, [0] * 3, [1] * 3, False, [0] * 3, 1)
m.rnn_tanh_cell(t(3, 4), t(3, 5), t(5, 4), t(5, 5), t(5), t(5))
m.rnn_relu_cell(t(3, 4), t(3, 5), t(5, 4), t(5, 5))
m.gru_cell(t(3, 4), t(3, 5), t(15, 4), t(15, 5), t(15), t(15))
m.gru_cell(t(3, 4), t(3, 5), t(15, 4), t(15, 5))
m.lstm_cell(t(3, 4), (t(3, 5), t(3, 5)), t(20, 4), t(20, 5), t(20), t(20))
m.frobenius_norm(t(3, 4), dim=[0, 1])
m.frobenius_norm(t(2, 3, 4), [-1], True)
m.nuclear_norm(t(3, 4))
m.nuclear_norm(t(2, 3, 4), (0, 2), True)
m.norm_except_dim(t(3, 4, 2), 2, 0)
m.norm_except_dim(t(3, 4, 2), 1, 2)
m.norm_except_dim(t(3, 4, 2), 2, -1)
m.vander(c(4))
m.vander(c(4), 3, True)
m.vander(t(4), N=1)
m.vander(t(4), 0)
m.vander(i(2, 3), 4)
m.vander(t(2, 2))
m.vander(t(2), -1)
m.histogramdd(c(20, 2), bins=3)
m.histogramdd(c(20, 3), bins=[2, 3, 4], density=True)
m.histogramdd(c(20, 2), bins=[2, 3], range=[-1.0, 1.0, -0.5, 2.0], weight=c(20, low=0))
m.histogramdd(c(4, 5, 2), bins=(m.tensor([-1.0, 0.0, 0.3], dtype=m.float64), m.tensor([0.0, 0.1, 9.0], dtype=m.float64)))
m.histogramdd(c(4, 2), bins=[2])
m.histogramdd(c(4), bins=[2])
m.histogramdd(c(4, 2), bins=[2, 0])
m.empty_permuted((2, 3, 4), (1, 2, 0)).stride()
m.empty_permuted((2, 3), (0, 0))
m.linalg.ldl_factor(s(4))
m.linalg.ldl_factor(s(2, 3))
m.linalg.ldl_factor_ex(m.zeros(2, 2))
m.linalg.ldl_factor_ex(m.zeros(3, 0, 0))
m.linalg.ldl_factor(m.tensor([[2, 1 + 1j], [1 - 1j, -3]]), hermitian=True)
m.linalg.ldl_factor(m.tensor([[2, 1 + 1j], [1 + 1j, -3]]))
m.linalg.ldl_factor(c(2, 3))
m.linalg.ldl_factor(m.eye(2, dtype=m.int64))
m.linalg.ldl_solve(*m.linalg.ldl_factor(s(4)), c(4, 2))
m.linalg.ldl_solve(*m.linalg.ldl_factor(s(2, 3)), c(3, 2))
m.linalg.ldl_solve(*m.linalg.ldl_factor(m.tensor([[0, 2 + 1j], [2 - 1j, 0]]), hermitian=True), m.eye(2) + 0j, hermitian=True)
m.linalg.ldl_solve(*m.linalg.ldl_factor(s(4)), c(3, 2))
"""


def result(m: Any, call: str) -> Any:
    """What `call` gives, and the gradients of its first result if that has any."""
    rng = np.random.default_rng(len(call))
    leaves = []

    def c(*shape: int, low: float = -1.0) -> Any:
        return m.tensor(rng.uniform(low, low + 2, shape))

    def t(*shape: int, low: float = -1.0) -> Any:
        leaves.append(c(*shape, low=low).requires_grad_())
        return leaves[-1]

    def s(*shape: int) -> Any:
        x = c(*shape, shape[-1])
        return x + x.mT

    scope = {"m": m, "c": c, "t": t, "s": s, "i": lambda *xs: m.tensor(xs)}
    made = eval(call, scope)
    first = made[0] if isinstance(made, tuple) and hasattr(made[0], "grad_fn") else made
    if not leaves or not getattr(first, "requires_grad", False):
        return made
    grads = m.autograd.grad(first, leaves, m.tensor(rng.normal(size=tuple(first.shape))), allow_unused=True)
    rest = [each.requires_grad for each in made[1:]] if isinstance(made, tuple) and "native" not in call else []
    made = tuple(x.detach() for x in made) if isinstance(made, tuple) else made.detach()
    return [made, [g for g in grads if g is not None], rest]


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_values_gradients_and_errors_are_torchs(call: str) -> None:
    compare(outcome(lambda m: result(m, call), gradcore), outcome(lambda m: result(m, call), torch), rtol=1e-6, words=1)


def test_factors_of_symmetric_matrices_have_no_derivative() -> None:
    x = gradcore.eye(2, dtype=gradcore.float64).requires_grad_()
    made = gradcore.linalg.ldl_factor(x.detach())
    for call in (lambda: gradcore.linalg.ldl_factor(x), lambda: gradcore.linalg.ldl_solve(*made, x)):
        with pytest.raises(RuntimeError, match=r"derivative for aten::linalg_ldl_\w* is not implemented"):
            call()
    with gradcore.no_grad():
        assert gradcore.linalg.ldl_solve(*gradcore.linalg.ldl_factor(x), x).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_powers_have_derivatives() -> None:
    x = gradcore.tensor([2.0, 3.0], requires_grad=True)
    (grad,) = gradcore.autograd.grad(gradcore.vander(x, 3).sum(), x)
    assert grad.tolist() == [5.0, 7.0]  # of x**2 + x + 1
