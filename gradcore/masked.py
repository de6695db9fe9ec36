"""torch.masked: reductions under a mask. It must not know what they compute; the operations register themselves."""

from gradcore import ops
from gradcore.ops.registry import functions

ops.load()
globals().update(functions["masked"])
