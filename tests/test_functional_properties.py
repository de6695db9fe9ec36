"""nn.functional by what is known without torch's numbers: closed forms, statistics, kinks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.nn import functional as F
from tests.functional import SEED


def test_dropout_keeps_the_mean_and_passes_the_gradient_through_what_it_kept() -> None:
    x = gradcore.ones(100_000, requires_grad=True)
    y = F.dropout(x, 0.25)
    y.sum().backward()
    kept = y.detach().numpy()
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(kept.mean() - 1) < 5 * math.sqrt(0.25 / 0.75 / kept.size)
    np.testing.assert_array_equal(x.grad.numpy(), kept)
    assert F.dropout(x, 0.25, training=False) is x


def test_the_gradient_that_relu_stops_may_be_infinite() -> None:
    # inf * 0 would be nan; torch has 0.
    assert gradient_at(gradcore, [-1.0, 4.0], lambda x: x.relu().sqrt()).tolist() == [0, 0.25]


@pytest.mark.parametrize(
    ("function", "point", "expected"),
    [
        ("relu", 0.0, 0.0),
        ("relu6", 6.0, 0.0),
        ("relu6", 0.0, 0.0),
        ("hardtanh", 1.0, 0.0),
        ("hardtanh", -1.0, 0.0),
        ("leaky_relu", 0.0, 0.01),
        ("elu", 0.0, 1.0),
        ("relu", math.nan, 1.0),
    ],
)
def test_derivatives_at_kinks(function: str, point: float, expected: float) -> None:
    assert gradient_at(gradcore, [point], getattr(F, function)).tolist() == pytest.approx([expected])


def gradient_at(library: Any, point: list[float], f: Any) -> Any:
    x = library.tensor(point, requires_grad=True)
    (gradient,) = library.autograd.grad(f(x).sum(), x)
    return gradient


def test_batch_norm_of_running_statistics_converges_to_those_of_the_data() -> None:
    rng = np.random.default_rng(SEED)
    data = rng.normal([1.0, -2.0], [0.5, 3.0], size=(50_000, 2))
    mean, variance = gradcore.zeros(2, dtype=gradcore.float64), gradcore.ones(2, dtype=gradcore.float64)
    for part in np.split(data, 100):
        F.batch_norm(gradcore.tensor(part), mean, variance, training=True, momentum=0.1)
    np.testing.assert_allclose(mean.numpy(), [1.0, -2.0], atol=0.2)
    np.testing.assert_allclose(variance.numpy(), [0.25, 9.0], rtol=0.1)
    assert mean._version == 100


def test_a_refused_batch_norm_leaves_the_running_statistics() -> None:
    mean, variance = gradcore.zeros(3), gradcore.ones(3)
    with pytest.raises(RuntimeError, match="weight should contain 3 elements"):
        F.batch_norm(gradcore.ones(4, 3), mean, variance, gradcore.ones(2), training=True)
    assert mean.tolist() == [0, 0, 0]
    assert mean._version == variance._version == 0


def test_cross_entropy_of_no_preference_is_the_logarithm_of_the_number_of_classes() -> None:
    for classes in (2, 10, 1000):
        loss = F.cross_entropy(gradcore.zeros(4, classes, dtype=gradcore.float64), gradcore.tensor([0, 1, 1, 0]))
        assert loss.item() == pytest.approx(math.log(classes), rel=1e-12)


def test_logits_and_probabilities_of_two_classes_agree() -> None:
    rng = np.random.default_rng(SEED)
    x, y = gradcore.tensor(rng.normal(size=20)), gradcore.tensor(rng.uniform(size=20))
    losses = [F.binary_cross_entropy_with_logits(x, y), F.binary_cross_entropy(gradcore.sigmoid(x), y)]
    np.testing.assert_allclose(losses[0].item(), losses[1].item(), rtol=1e-12)


def test_convolution_theorem() -> None:
    rng = np.random.default_rng(SEED)
    x, w = rng.normal(size=30), rng.normal(size=7)
    full = F.conv1d(gradcore.tensor(x[None, None]), gradcore.tensor(w[::-1].copy()[None, None]), padding=6)
    spectral = np.fft.irfft(np.fft.rfft(x, 36) * np.fft.rfft(w, 36), 36)
    np.testing.assert_allclose(full.numpy()[0, 0], spectral, atol=1e-12)


def test_a_target_overwritten_before_backward_is_noticed() -> None:
    scores, target = gradcore.ones(2, 3, requires_grad=True), gradcore.tensor([0, 1])
    loss = F.nll_loss(scores, target)
    target += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_warnings_say_what_torch_says() -> None:
    x, y = gradcore.ones(2, 3), gradcore.ones(3)
    with pytest.warns(UserWarning, match=r"Using a target size \(torch.Size\(\[3\]\)\) that is different"):
        F.mse_loss(x, y)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmin has been deprecated"):
        F.softmin(x)
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        F.mse_loss(x, x, size_average=False)


@pytest.mark.parametrize("size", [lambda n: (n, n), lambda n: [n, n], lambda n: n])
def test_sizes_that_compare_equal_are_not_taken_for_each_other(size: Any) -> None:
    x = gradcore.rand(1, 1, 3, 3)
    assert F.interpolate(x, size(7), mode="bilinear").shape == (1, 1, 7, 7)
    with pytest.raises(TypeError):
        F.interpolate(x, size(7.0), mode="bilinear")
    assert F.interpolate(x, scale_factor=size(2), mode="bilinear").shape == (1, 1, 6, 6)
    assert F.interpolate(x, scale_factor=size(2.0), mode="bilinear").shape == (1, 1, 6, 6)
