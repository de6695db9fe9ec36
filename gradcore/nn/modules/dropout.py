"""Dropouts as modules, which do something in training only. No formula stands here."""

from __future__ import annotations

from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.module import Module


class _Dropout(Module):
    """What drops with the probability `p`."""

    p: float

    def _settle(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")


SHOWN = "p={0.p}, inplace={0.inplace}"


@applies("dropout", shown=SHOWN)
class Dropout(_Dropout):
    """Zero in the place of each element with the probability `p`, the rest divided by 1 - p (Hinton et al., 2012)."""

    p: float = 0.5
    inplace: bool = False
