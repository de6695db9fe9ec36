"""The operations as torch spells them: they normalise arguments and compose primitives."""
from gradcore.ops import (
    comparison,
    conversion,
    creation,
    einsum,
    filling,
    indexing,
    joining,
    operators,
    ordering,
    pointwise,
    products,
    reductions,
    shaping,
)
