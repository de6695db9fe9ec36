"""Random programs of views and writes under nested transforms: no wrong numbers, beside torch's reverse mode and loops."""

from __future__ import annotations

import os
import random
import warnings
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.autograd.forward_ad
import gradcore.func
from tests.view_programs import SHAPES, Func, Line, Naive, nest, run, settle, total

torch = pytest.importorskip("torch")

COUNT = 150
# What may be refused: values that a program overwrote before they were read again; views of batches, and of gradients, that
# lie otherwise in memory than each alone, or in torch, would.
STALE = "modified by an inplace operation"
LAYOUT = ("as_strided", "view size is not compatible", "view(", "with stride 1")


def result(T: Any, L: Any, lines: list[Line], transforms: Any, inputs: Any, of_all: bool, safe: bool = False) -> Any:
    def f(x: Any, c: Any) -> Any:
        made = run(T, L, lines, x, c, safe)
        last = T.view_as_real(made[-1]) if made[-1].is_complex() else made[-1]
        return total(T, made) if of_all else last if last.numel() <= 12 else last.sum()

    for transform in transforms:
        f = transform.of(T, L, f)
    return f(*map(T.tensor, inputs)).detach().numpy()


@pytest.mark.filterwarnings("ignore")
def test_random_programs_of_views_and_writes_have_right_derivatives_in_all_modes() -> None:
    seed = 0 if os.environ.get("CI") else random.randrange(2**32)  # as hypothesis is told in conftest.py
    compared = refused = 0
    for number in range(seed, seed + COUNT):
        choose, draw = random.Random(number), np.random.default_rng(number)
        lines = [Line(choose, k, 0) for k in range(choose.randint(3, 9))]
        for line in (each for outer in lines for each in (outer, *outer.lines)):  # nobody says how a gradient lies in memory
            line.dead |= "as_strided" in line.text and any(each.kind == "inner" for each in lines)
        x, c = choose.choice(SHAPES), choose.choice(SHAPES)
        shapes, transforms = [x, x if choose.random() < 0.7 else c], nest(choose)
        settle(torch, lines, *(torch.tensor(draw.normal(size=shape)) for shape in shapes))
        for transform in transforms:
            shapes = transform.shapes(shapes)
        inputs, of_all = [draw.normal(size=shape) for shape in shapes], choose.random() < 0.6
        told = f"seed {number}: {transforms} of {lines}, shapes {shapes}"
        try:
            right = result(torch, Naive, lines, transforms, inputs, of_all, safe=True)
        except (RuntimeError, IndexError):
            continue  # what torch does not do is not compared
        if not np.isfinite(right).all() or abs(right).max(initial=0) > 1e6:
            continue
        compared += 1
        for L in (Func, Naive):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of loops
                    found = result(gradcore, L, lines, transforms, inputs, of_all)
            except RuntimeError as error:
                said = str(error)
                assert any(each in said for each in (STALE, *LAYOUT)), f"{told}: {said}"
                refused += 1
                continue
            small = 1e-8 * (1 + abs(right).max(initial=0))
            np.testing.assert_allclose(found, right, rtol=1e-6, atol=small, err_msg=f"{told}, {L.__name__}")
    assert compared > COUNT // 2
    assert refused < compared // 3
