"""torch's samples with NaN, infinities, signed zeros, tiny and huge numbers put in: values and first derivatives.

It must not know how the library computes anything. What is spared an operation, and why, stands in one table.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from tests.oracle.catalogue import Entry
from tests.oracle.checks import RANDOM, compared
from tests.oracle.compare import REFERENCE
from tests.oracle.corrections import RIGHT
from tests.oracle.gradients import first_gradients
from tests.oracle.library import tensors_in
from tests.oracle.trial import Check, NotApplicable, Trial, attempt

SEED = int(os.environ.get("GRADCORE_SEED", 0))  # other numbers find other accidents of torch's kernels
DRAWS = int(os.environ.get("EDGE_DRAWS", 4))  # samples of each operation that are spoilt
LOOKED_AT, LARGEST = 200, 400  # samples, and elements of a tensor

NAN, INF, ZERO, TINY, HUGE = KINDS = "nan", "inf", "zero", "tiny", "huge"
NUMBERS = {NAN: (np.nan,), INF: (np.inf, -np.inf), ZERO: (0.0, -0.0), TINY: (1e-30, -1e-30), HUGE: (1e30, -1e30)}

Spared = tuple[tuple[str, ...], str]  # kinds of numbers, and the reason


def spared(names: str, kinds: tuple[str, ...], reason: str) -> dict[str, Spared]:
    return dict.fromkeys(names.split(), (kinds, reason))


SPARED: dict[str, Spared] = {
    **spared(
        "prod masked.prod cumprod masked.cumprod index_reduce.prod scatter_reduce.prod",
        (NAN, INF),
        "derivatives of products are products of the other factors, where torch divides, infinity by infinity",
    ),
    **spared("linalg.det", (NAN, INF, HUGE), "as before; and products of 1e30 are rounding"),
    **spared("linalg.vander", (INF,), "as before"),
    **spared(
        "linalg.lu linalg.lu_factor linalg.lu_solve lu lu_solve linalg.solve linalg.inv linalg.slogdet logdet "
        "linalg.tensorinv linalg.tensorsolve linalg.solve_triangular cholesky_solve cholesky_inverse "
        "linalg.householder_product ormqr",
        (NAN, INF, HUGE),
        "which elements of a result are NaN or infinite, and of which sign, depends on the order of LAPACK's loops",
    ),
    **spared(
        "linalg.lu_solve lu_solve linalg.slogdet logdet linalg.solve_triangular cholesky_solve cholesky_inverse "
        "linalg.tensorinv linalg.lu lu",
        (NAN, INF, HUGE, TINY, ZERO),
        "as before, where a divisor is 0",
    ),
    **spared("matrix_exp", (HUGE,), "as before"),
    **spared("linalg.eig linalg.eigvals linalg.eigh linalg.eigvalsh", (HUGE, TINY), "beside what is large all is rounding"),
    **spared(
        "linalg.svd linalg.svdvals linalg.cond linalg.pinv pinverse linalg.matrix_rank linalg.cholesky norm.nuc",
        (INF, HUGE, TINY),
        "factors of matrices that are nearly singular, or infinite, are rounding errors",
    ),
    **spared("linalg.svd linalg.cond", (INF, HUGE, TINY, ZERO), "as before: the vectors that belong to 0 are any"),
    **spared("pinverse linalg.cholesky", (INF,), "as before"),
    **spared("linalg.multi_dot linalg.matrix_power", (INF, HUGE), "which product comes first decides what inf - inf spoils"),
    **spared("linalg.qr", KINDS, "NaN is where LAPACK's blocks carry it"),
    **spared("linalg.lstsq", KINDS, "torch's LAPACK meets NaN with an internal assertion; zeros have any solution"),
    **spared(
        "fft.fft fft.fft2 fft.fftn fft.ifft fft.ifft2 fft.ifftn fft.ihfft fft.ihfft2 fft.ihfftn fft.rfft fft.rfft2 "
        "fft.rfftn",
        (INF,),
        "which element of a transform is infinite and which NaN depends on the algorithm",
    ),
    **spared(
        "fft.hfft fft.hfft2 fft.hfftn fft.irfft fft.irfft2 fft.irfftn stft",
        (NAN, INF),
        "as before; half of what is NaN is not read in some algorithms",
    ),
    **spared("nn.functional.conv2d", (NAN, INF), "derivatives of depthwise weights meet what lies beside a row, times 0"),
    **spared("nn.functional.grid_sample", (NAN,), "torch multiplies by 0 where a place was brought to an end"),
    **spared("searchsorted bucketize", KINDS, "a sequence that is no longer sorted has no places"),
    **spared("topk kthvalue", KINDS, "of equal elements any may come first"),
    **spared(
        "nn.functional.elu nn.functional.celu nn.functional.selu nn.functional.hardswish nn.functional.hardtanh "
        "nn.functional.relu6 nn.functional.hardshrink nn.functional.softshrink",
        (NAN,),
        "the layout of the memory decides which of two loops of torch's runs, and they disagree",
    ),
    **spared("logit", (ZERO,), "as before, of negative zero"),
    **spared(
        "digamma polygamma special.polygamma",
        (INF, HUGE),
        "at the poles of the gamma function torch has large numbers, and NaN at infinity",
    ),
    **spared("mvlgamma", (ZERO,), "as before, of either sign"),
    **spared("special.i1 special.i1e", (NAN,), "torch's derivative is the one at 0"),
    **spared("special.log_ndtr", (INF, HUGE), "torch's is infinite or NaN, where the function is a parabola"),
    **spared("var_mean std_mean", (INF, HUGE), "torch's mean is NaN on its way to the variance; 1e30 is rounding"),
    **spared("var std", (HUGE,), "beside 1e30 all is rounding"),
    **spared("nn.functional.rms_norm nn.functional.layer_norm nn.functional.group_norm", (HUGE,), "as before"),
    **spared("masked.std masked.var", (HUGE,), "as before"),
    **spared("nn.functional.instance_norm", (HUGE,), "as before"),
    **spared("nn.functional.batch_norm", (HUGE, INF), "as before; torch folds mean, variance and weight into one factor"),
    **spared("logcumsumexp", (HUGE,), "torch takes logarithms of cotangents, which are lost beside 1e30"),
    **spared("nanmean", (NAN,), "what is NaN has the share 0 of a mean of nothing, where torch has 0 / 0"),
    **spared("cdist nn.functional.pdist", (NAN, INF, HUGE), "torch's sign of NaN is another one here than in its norms"),
    **spared(
        "scatter_reduce.amin scatter_reduce.amax index_reduce.amin index_reduce.amax",
        KINDS,
        "NaN has no share, where torch has 0 / 0; and torch shares with elements that do not take part",
    ),
    **spared(
        "addcdiv addcmul",
        (INF, ZERO),
        "a factor that is one for all multiplies the sum of cotangents, of which torch multiplies each",
    ),
    **spared("nn.functional.soft_margin_loss", (HUGE, INF), "torch's derivative is inf / inf where exp overflows"),
    **spared("nn.functional.binary_cross_entropy_with_logits", (INF,), "an infinite pos_weight: inf - inf in torch"),
    **spared("masked.logaddexp", (NAN, INF), "its reference here has nan in derivatives of what is masked"),
    **spared("mode masked.median", (NAN,), "each NaN is a value of its own, or the greatest; torch's sort decides"),
}


# Where only the first argument has NaN and infinities: torch's transposed convolutions (and so the derivatives of
# convolutions) multiply no zeros around the elements by a weight, where ours do; and makes integers of NaN in a grid.
FIRST_ALONE = set(
    "nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d nn.functional.conv_transpose1d "
    "nn.functional.conv_transpose2d nn.functional.conv_transpose3d nn.functional.grid_sample".split()
)


def allowed(entry: Entry) -> list[str]:
    without = SPARED.get(entry.label, SPARED.get(entry.name, ((), "")))[0]
    return [kind for kind in KINDS if kind not in without]


def spoilt(sample: Any, kinds: list[str], rng: np.random.Generator, first_alone: bool = False) -> Any:
    """The sample with some elements of its floating-point tensors replaced: one, a few or all of them."""
    numbers = [number for kind in kinds for number in NUMBERS[kind]]
    share = rng.choice([0.0, 0.2, 1.0], p=[0.4, 0.4, 0.2])
    pool = rng.choice(numbers, size=rng.integers(1, 4))
    places = sample.input if first_alone and not np.isfinite(pool).all() else (sample.input, sample.args, sample.kwargs)
    floating = [t for t in tensors_in(places) if t.is_floating_point() and t.numel()]
    if not floating:
        raise NotApplicable
    chosen = floating[rng.integers(len(floating))]
    made: dict[int, Any] = {}

    def changed(x: Any) -> Any:
        if not any(x is t for t in floating):
            return x
        if id(x) not in made:
            array = x.detach().numpy()
            places = rng.random(array.shape) < share
            if not share and x is chosen:
                places.ravel()[rng.integers(array.size)] = True
            array = np.where(places, rng.choice(pool, size=array.shape), array)
            made[id(x)] = torch.from_numpy(np.asarray(array, x.detach().numpy().dtype)).requires_grad_(x.requires_grad)
        return made[id(x)]

    return sample.transform(changed)


def spoilt_samples(trial: Trial) -> Iterator[Any]:
    """A few of the op's samples, from everywhere among them."""
    entry, kinds = trial.entry, allowed(trial.entry)

    def serves(sample: Any) -> bool:
        tensors = tensors_in((sample.input, sample.args, sample.kwargs))
        return all(t.numel() <= LARGEST for t in tensors) and any(t.is_floating_point() and t.numel() for t in tensors)

    given = trial.samples(requires_grad=entry.differentiates(trial.dtype))
    samples = [sample for sample in islice(given, LOOKED_AT) if serves(sample)]
    rng = np.random.default_rng([SEED, zlib.crc32(entry.label.encode())])
    if kinds and samples:
        for i in rng.permutation(max(len(samples), DRAWS))[:DRAWS]:
            yield spoilt(samples[i % len(samples)], kinds, rng, entry.label in FIRST_ALONE)


def check_edges(trial: Trial, sample: Any) -> str | None:
    """Compare values, errors and the first gradients."""
    function = trial.library.resolve(trial.info.op, trial.info.name)
    theirs, ours = trial.arguments(REFERENCE, sample), trial.arguments(trial.library, sample)
    expected = attempt(trial.info.op, theirs.input, *theirs.args, **theirs.kwargs)
    actual = attempt(trial.library.call, function, ours.input, *ours.args, **ours.kwargs)
    found = compared(trial, sample, expected, actual)
    if found or expected.error:
        return found
    try:
        return first_gradients(trial, sample, RIGHT.get(trial.info.name, trial.info.op), function)
    except NotApplicable:
        return None


def applies(entry: Entry, dtype: torch.dtype) -> bool:
    return dtype is torch.float64 and entry.info.name not in RANDOM


CHECKS = [Check("edges", applies, check_edges, samples=spoilt_samples, counts_samples=False)]
