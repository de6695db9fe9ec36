"""torch.special: special functions. It must not know what they compute; the operations register themselves."""

from gradcore import ops  # noqa: F401  (registers them)
from gradcore.ops.registry import functions

globals().update(functions["special"])
