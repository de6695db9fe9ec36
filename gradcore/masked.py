"""torch.masked: reductions under a mask. It must not know what they compute; the operations register themselves."""

import sys

from gradcore import ops
from gradcore.ops.registry import functions

ops.load()
globals().update(functions["masked"])
_ops = sys.modules[__name__]  # where torch's docstrings find them
