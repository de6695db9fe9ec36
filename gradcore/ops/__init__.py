"""The operations as torch spells them: they normalise arguments and compose primitives."""
from gradcore.ops import conversion, creation, filling, indexing, pointwise, reductions
