"""Distances and similarities as modules. No formula stands here."""

from __future__ import annotations

from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.module import Module


@applies("pairwise_distance", shown="")
class PairwiseDistance(Module):
    """The p-norm of the difference of two batches of vectors."""

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False


@applies("cosine_similarity", shown="")
class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`."""

    dim: int = 1
    eps: float = 1e-8
