"""Dropouts as modules, which do something in training only. No formula stands here."""

from __future__ import annotations

from gradcore.nn.modules.applied import applies, settings
from gradcore.nn.modules.module import Module


@settings
class _Dropout(Module):
    """What drops with the probability `p`."""

    p: float = 0.5
    inplace: bool = False

    def _settle(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")


SHOWN = "p={0.p}, inplace={0.inplace}"


@applies("dropout", shown=SHOWN)
class Dropout(_Dropout):
    """Zero in the place of each element with the probability `p`, the rest divided by 1 - p (Hinton et al., 2012)."""

@applies("dropout1d", shown=SHOWN)
class Dropout1d(_Dropout):
    """Zero in the place of each channel of (N, C, L) with the probability `p`, the rest divided by 1 - p."""

@applies("dropout2d", shown=SHOWN)
class Dropout2d(_Dropout):
    """Zero in the place of each channel of (N, C, H, W) with the probability `p`, the rest divided by 1 - p."""

@applies("dropout3d", shown=SHOWN)
class Dropout3d(_Dropout):
    """Zero in the place of each channel of (N, C, D, H, W) with the probability `p`, the rest divided by 1 - p."""

@applies("alpha_dropout", shown=SHOWN)
class AlphaDropout(_Dropout):
    """The SELU's lowest value in the place of dropped elements, so that mean and variance stay (Klambauer, 2017)."""

@applies("feature_alpha_dropout", shown=SHOWN)
class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""
