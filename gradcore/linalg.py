"""torch.linalg: linear algebra. It must not know what it computes; the operations register themselves."""

from gradcore import ops
from gradcore.ops.registry import functions
from gradcore.primitives.linalg import LinAlgError as LinAlgError

ops.load()
globals().update(functions["linalg"])
