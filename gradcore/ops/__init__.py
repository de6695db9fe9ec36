"""The operations as torch spells them: they normalise arguments and compose primitives."""
from gradcore.ops import comparison, conversion, creation, filling, indexing, operators, pointwise, reductions
