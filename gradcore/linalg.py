"""torch.linalg: linear algebra. It must not know what it computes; the operations register themselves."""

from gradcore import ops  # noqa: F401  (registers them)
from gradcore.ops.registry import functions
from gradcore.primitives.linalg import LinAlgError as LinAlgError

globals().update(functions["linalg"])
