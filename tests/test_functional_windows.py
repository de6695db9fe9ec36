"""Windows of nn.functional as in torch, on fresh data: pools, transposed convolutions, patches, resampling, grids.

Each line is an expression that both libraries evaluate; tests/functional.py has its names.
"""

from __future__ import annotations

from typing import Any

import pytest

import gradcore
from gradcore.primitives import convolution
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
F.adaptive_avg_pool1d(t(2, 3, 7), 3)
F.adaptive_avg_pool2d(t(2, 3, 7, 8), (3, None))
F.adaptive_avg_pool2d(t(3, 6, 8), (3, 4))
F.adaptive_avg_pool2d(t(2, 3, 5, 6), 1)
F.adaptive_avg_pool3d(t(2, 3, 5, 6, 4), (2, 4, 7))
F.adaptive_max_pool1d(t(3, 7), 3, return_indices=True)
F.adaptive_max_pool2d(t(2, 3, 7, 8), (3, None), True)
F.adaptive_max_pool2d(t(1, 2, 7, 8).round(), 3, True)
F.adaptive_max_pool3d(t(3, 5, 6, 4), (2, 4, 7), True)
torch.adaptive_max_pool1d(t(2, 3, 7), 2)
F.fractional_max_pool2d(t(2, 3, 8, 9), (2, 3), (4, 3), None, True, u(2, 3, 2).detach())
F.fractional_max_pool2d(t(3, 8, 9), 2, None, (0.5, 0.7), True, u(1, 3, 2).detach())
F.fractional_max_pool3d(t(2, 3, 6, 7, 8), (2, 3, 1), (4, 3, 5), None, True, u(2, 3, 3).detach())
F.max_unpool1d(t(2, 3, 4), (i(2, 2, 3, 4) + 2 * torch.arange(4)), 2)
F.max_unpool2d(*F.max_pool2d(t(2, 3, 6, 7), 2, return_indices=True), 2, output_size=(6, 7))
F.max_unpool3d(*F.max_pool3d(t(2, 6, 6, 4), (2, 3, 2), return_indices=True), (2, 3, 2))
F.interpolate(t(2, 3, 5), 8)
F.interpolate(t(2, 3, 5), scale_factor=0.7, mode="nearest-exact")
F.interpolate(i(9, 1, 2, 3, 4).to(torch.uint8), (5, 2))
F.interpolate(t(1, 2, 3, 4, 2), scale_factor=2)
F.interpolate(t(2, 3, 5), 9, mode="linear")
F.interpolate(t(1, 2, 5, 4), (3, 9), mode="bilinear", align_corners=True)
F.interpolate(t(1, 2, 5, 4), scale_factor=(1.7, 0.6), mode="bilinear")
F.interpolate(t(1, 2, 5, 4), scale_factor=(1.7, 0.6), mode="bilinear", recompute_scale_factor=True)
F.interpolate(t(1, 2, 5, 4, dtype="float32"), (7, 3), mode="bicubic")
F.interpolate(t(1, 2, 5, 4), (9, 2), mode="bicubic", align_corners=True)
F.interpolate(t(1, 2, 3, 4, 5), (5, 2, 4), mode="trilinear")
F.interpolate(t(1, 2, 9, 7), (4, 3), mode="bilinear", antialias=True)
F.interpolate(t(1, 2, 9, 7), (4, 12), mode="bicubic", antialias=True)
F.interpolate(t(1, 2, 9, 7), (4, 12), mode="lanczos", antialias=True)
F.interpolate(t(1, 2, 9, 7), scale_factor=0.6, mode="area")
F.interpolate(t(1, 2, 5, 4), (5, 4), mode="bilinear")
F.upsample(t(1, 2, 5), scale_factor=2)
F.upsample_nearest(t(1, 2, 5, 4), scale_factor=2)
F.upsample_bilinear(t(1, 2, 5, 4), (7, 7))
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2) * 0.4, align_corners=False)
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2), padding_mode="border", align_corners=True)
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2), padding_mode="reflection", align_corners=False)
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2) * 0.4, "nearest", align_corners=False)
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2) * 0.4, "bicubic", align_corners=False)
F.grid_sample(t(2, 3, 5, 4), t(2, 3, 4, 2), "bicubic", "reflection", True)
F.grid_sample(t(1, 2, 3, 4, 3), t(1, 2, 3, 2, 3) * 0.5, padding_mode="reflection", align_corners=True)
F.grid_sample(t(1, 2, 3, 4, 3), t(1, 2, 3, 2, 3) * 0.5, "nearest", "border", align_corners=True)
torch.grid_sampler(t(2, 3, 5, 4), t(2, 3, 4, 2), 0, 1, False)
F.affine_grid(t(2, 2, 3), (2, 1, 3, 4), align_corners=False)
F.affine_grid(t(2, 3, 4), (2, 1, 3, 1, 4), align_corners=True)
F.fractional_max_pool3d(t(0, 1, 4, 5, 4), 2, 2, None, True, u(1, 1, 3).detach()[:0])
""".strip().splitlines()


@pytest.mark.filterwarnings("ignore:.nn.functional.upsample")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_torch(expression: str) -> None:
    print(f"GRADCORE_SEED={SEED}")
    same(lambda library: evaluated(expression, Space(library)), torch, rtol=1e-4 if "float32" in expression else 1e-9)


@pytest.mark.filterwarnings("ignore:.nn.functional.upsample")
@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if "torch." not in each])
def test_a_device_gives_the_same_and_never_waits(expression: str, strict_cuda: Any) -> None:
    print(f"GRADCORE_SEED={SEED}")
    space = Space(gradcore, lambda array: wrap(strict_cuda.array(array)))
    with strict_cuda.never_waits():
        found = evaluated(expression, space)
    compare(plain(found), plain(evaluated(expression, Space(gradcore))), rtol=1e-5)


LOST = "[float('nan'), 0.1], [float('inf'), 0.2], [-float('inf'), 0.3], [0.4, float('nan')], [-2.5, 0.1], [0.3, 0.4]"
DEEP = LOST.replace("]", ", 0.2]")
NOT_FINITE = f"""
F.grid_sample(x([[[[float("inf"), 1, 2], [3, float("nan"), 5], [6, 7, float("inf")]]]]), x([[[[-3.0, 0.1], [0.6, -0.1]]]]))
F.grid_sample(x([[[[float("inf"), 1, 2], [3, float("nan"), 5]]]]), x([[[[-3.0, 0.1], [0.6, 4.0]]]]), "nearest")
F.grid_sample(x([[[[float("nan"), 1, 2], [3, 4, 5]]]]), x([[[[-5.0, 0.1], [0.6, 9.0]]]]), "bicubic")
F.grid_sample(t(1, 2, 3, 4), x([[[{LOST}]]]))
F.grid_sample(t(1, 2, 3, 4), x([[[{LOST}]]]), "nearest")
F.grid_sample(t(1, 2, 2, 3, 4), x([[[[{DEEP}]]]]))
F.grid_sample(t(1, 2, 2, 3, 4), x([[[[{DEEP}]]]]), "nearest")
""".strip().splitlines()
NOT_FINITE += [  # where torch's derivative writes beyond its memory
    f"F.grid_sample(t(1, 2, *{size}).detach(), x({places}).detach(), '{mode}', '{padding}')"
    for size, places in (((3, 4), f"[[[{LOST}]]]"), ((2, 3, 4), f"[[[[{DEEP}]]]]"))
    for mode in ("bilinear", "nearest")
    for padding in ("border", "reflection")
]


@pytest.mark.filterwarnings("ignore:Default grid_sample")
@pytest.mark.parametrize("expression", NOT_FINITE)
def test_grids_and_images_that_are_not_finite(expression: str) -> None:
    print(f"GRADCORE_SEED={SEED}")
    same(lambda library: evaluated(expression, Space(library)), torch, rtol=1e-9)


TRANSPOSED = """
F.conv_transpose1d(t(2, 4, 5), t(4, 3, 3), t(3), 2, 1, 1)
F.conv_transpose1d(t(4, 5), t(4, 3, 1), None, 3, 0, 2)
F.conv_transpose2d(t(2, 4, 3, 5), t(4, 3, 3, 2), t(6), (2, 1), (1, 0), (1, 0), 2)
F.conv_transpose2d(t(2, 4, 4, 3), t(4, 2, 4, 5), None, (2, 3), (1, 2), (1, 2), 1)
F.conv_transpose2d(x([[[[1.0, float("inf")], [-2.0, float("nan")]]]]), t(1, 2, 3, 3), None, 2)
F.conv_transpose2d(t(0, 4, 3, 5), t(4, 3, 3, 2), t(3), 2)
F.conv_transpose3d(t(1, 2, 2, 3, 2), t(2, 3, 2, 2, 2), t(3), stride=2, padding=1)
F.conv2d(t(2, 2, 7, 8), t(4, 1, 3, 2), None, (2, 3), (1, 1), 1, 2)
F.conv2d(t(2, 3, 9, 8), t(2, 3, 2, 5), None, 4)
F.conv2d(t(1, 3, 9, 8), t(3, 3, 2, 2), None, 2, 0, 3)
""".strip().splitlines()


@pytest.mark.parametrize("least", [0, 1 << 40])
@pytest.mark.parametrize("expression", TRANSPOSED)
def test_strided_convolutions_are_transposed_in_either_way(
    expression: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"GRADCORE_SEED={SEED}")
    monkeypatch.setattr(convolution, "_LONG", least)
    same(lambda library: evaluated(expression, Space(library)), torch, rtol=1e-9)


def test_a_device_transposes_strided_convolutions_without_waiting(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_LONG", 0)
    expression = TRANSPOSED[3]
    with strict_cuda.never_waits():
        found = evaluated(expression, Space(gradcore, lambda array: wrap(strict_cuda.array(array))))
    compare(plain(found), plain(evaluated(expression, Space(gradcore))), rtol=1e-9)
