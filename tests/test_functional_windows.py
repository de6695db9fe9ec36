"""Windows of nn.functional as in torch, on fresh data: pools, transposed convolutions, patches, resampling, grids.

Each line is an expression that both libraries evaluate; tests/functional.py has its names.
"""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from gradcore.recorder import wrap
from tests.functional import SEED, Space, evaluated
from tests.twin import compare, plain, same

torch = pytest.importorskip("torch")

EXPRESSIONS = """
F.max_pool1d(t(2, 3, 9), 3, 2, 1, return_indices=True)
F.max_pool1d(t(3, 9), 2, ceil_mode=True)
F.max_pool3d(t(2, 5, 6, 4), (2, 3, 2), 2, (1, 1, 0), 1, True, return_indices=True)
torch.max_pool1d(t(1, 2, 7), 3, dilation=2)
F.avg_pool1d(t(2, 3, 9), 3, 2, 1)
F.avg_pool1d(t(3, 8), 3, ceil_mode=True, count_include_pad=False, padding=1)
F.avg_pool3d(t(1, 2, 4, 5, 6), (2, 3, 2), 2, (1, 1, 0), True, False)
F.avg_pool3d(t(2, 4, 4, 4), 2, divisor_override=3)
F.lp_pool1d(t(2, 3, 9), 2, 3)
F.lp_pool2d(u(2, 3, 6, 7), 3, (2, 3), 2, True)
F.lp_pool3d(t(2, 4, 4, 4), 2.0, 2)
F.conv_transpose1d(t(2, 4, 5), t(4, 3, 3), t(3), 2, 1, 1)
F.conv_transpose1d(t(4, 5), t(4, 3, 3), None, 2, 1, 2, dilation=3)
torch.conv_transpose2d(t(2, 4, 3, 5), t(4, 3, 3, 2), t(6), (2, 1), (1, 0), (1, 0), 2, (1, 2))
F.conv_transpose2d(t(0, 4, 3, 5), t(4, 3, 3, 2), t(3))
F.conv_transpose3d(t(1, 2, 2, 3, 2), t(2, 3, 2, 2, 2), t(3), stride=2, padding=1)
F.unfold(t(2, 3, 5, 6), (2, 3), (2, 1), (1, 0), (1, 2))
F.unfold(t(3, 5, 6), 2)
F.fold(t(2, 12, 20), (5, 6), 2)
F.fold(t(18, 8), (4, 7), (2, 3), 1, (0, 1), (2, 2))
F.pixel_shuffle(t(2, 8, 3, 4), 2)
F.pixel_unshuffle(t(8, 6, 9), 3)
F.channel_shuffle(t(2, 6, 3, 4), 3)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_torch(expression: str) -> None:
    print(f"GRADCORE_SEED={SEED}")
    same(lambda library: evaluated(expression, Space(library)), torch, rtol=1e-4 if "float32" in expression else 1e-9)


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if "torch." not in each])
def test_a_device_gives_the_same_and_never_waits(expression: str, strict_cuda: Any) -> None:
    print(f"GRADCORE_SEED={SEED}")
    space = Space(gradcore, lambda array: wrap(strict_cuda.array(array)))
    with strict_cuda.never_waits():
        found = evaluated(expression, space)
    compare(plain(found), plain(evaluated(expression, Space(gradcore))), rtol=1e-5)
