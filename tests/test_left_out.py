"""What is left out (docs/architecture.md lists it, with reasons) is an error, never a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore as g
from gradcore.ops.left_out import REASONS


def ones(*shape: int) -> Any:
    return g.ones(*shape, dtype=g.float64, requires_grad=True)


LEFT_OUT: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: g.linalg.ldl_factor(ones(2, 2)), RuntimeError, "derivative for aten::linalg_ldl_factor_ex is not implemented"),
    (lambda: g.lobpcg(ones(4, 4)), AttributeError, "lobpcg"),
    (lambda: g.geqrf(ones(2, 2)), AttributeError, "geqrf"),
    (lambda: g.gru(ones(2, 2)), AttributeError, "gru"),
    (lambda: g.binomial(ones(2), ones(2)), AttributeError, "binomial"),
    (lambda: g.nn.functional.scaled_mm(ones(2, 2), ones(2, 2)), AttributeError, "scaled_mm"),
    (lambda: g.mm(ones(2, 2), ones(2, 2), out_dtype=g.float64), TypeError, "out_dtype"),
    (lambda: g.bmm(ones(1, 2, 2), ones(1, 2, 2), out_dtype=g.float64), TypeError, "out_dtype"),
    (lambda: g.zeros(2, layout="sparse_coo"), NotImplementedError, "only torch.strided"),
    (lambda: ones(2).to_sparse(), AttributeError, "to_sparse"),
    (lambda: g.quantize_per_tensor(ones(2), 1.0, 0, None), AttributeError, "quantize_per_tensor"),
    (lambda: type("Own", (g.Tensor,), {"__torch_function__": print}), TypeError, "Own has __torch_function__"),
    (lambda: type("Own", (g.nn.Parameter,), {"__torch_dispatch__": print}), TypeError, "Own has __torch_dispatch__"),
    (lambda: g.ones(2, names=("a",)), TypeError, "names"),
    (lambda: g.complex32, AttributeError, "complex32"),
    (lambda: g.optim.Adafactor([ones(2)]), AttributeError, "Adafactor"),
    (lambda: g.autocast, AttributeError, "no attribute 'autocast': there is no automatic mixed precision"),
    (lambda: g.distributions, AttributeError, "'distributions': write log_prob"),
    (lambda: g.compile, AttributeError, "'compile': operations run one by one"),
    (lambda: g.special.expn(ones(2), ones(2)), TypeError, "must be a number, not Tensor: the derivative by it is not known"),
    (lambda: g.special.struve(ones(2), ones(2)), TypeError, "'v' must be a number"),
    (lambda: g.special.hyp1f1(ones(2), 1, ones(2)), TypeError, "'a' must be a number"),
    (lambda: g.special.hyp2f1(1, 1, ones(2), ones(2)), TypeError, "'c' must be a number"),
    (lambda: g.special.loggamma(ones(2)), AttributeError, "loggamma"),
    (lambda: g.special.sph_harm(0, 1, ones(2), ones(2)), AttributeError, "sph_harm"),
    (lambda: g.special.kv(1.0, ones(2) + 0j), NotImplementedError, "ComplexDouble"),
    (lambda: g.lgamma(ones(2) + 0j), NotImplementedError, "ComplexDouble"),
    (lambda: np.sin(ones(2), where=np.array([True, False])), TypeError, "where= is not supported"),
    (lambda: g.linalg.qr(ones(3, 2), mode="complete").Q.sum().backward(), RuntimeError, "use mode='reduced'"),
    (lambda: g.complex(ones(1), real=ones(1)), TypeError, "takes real, imag and out"),
]


@pytest.mark.parametrize("row", LEFT_OUT, ids=lambda row: row[2])
def test_what_is_left_out_is_an_error_that_says_so(row: Any) -> None:
    call, error, words = row
    with pytest.raises(error, match=words):
        call()


def test_what_is_said_of_names_is_said_of_none_that_is_there() -> None:
    assert not [name for name in REASONS if hasattr(g, name)]


def test_complex_numbers_by_the_names_of_their_parts() -> None:
    assert g.complex(real=g.ones(1), imag=g.zeros(1)).tolist() == [1 + 0j]
    assert g.polar(g.ones(1), angle=g.zeros(1)).tolist() == [1 + 0j]
