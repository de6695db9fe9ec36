"""torch.special: special functions. It must not know what they compute; the operations register themselves."""

from typing import TYPE_CHECKING

from gradcore import ops
from gradcore.ops.registry import functions

if TYPE_CHECKING:
    # What the registry has; written by `python -m tests.public_names`.
    # operations: begin
    from gradcore.ops.logarithms import (  # fmt: skip
        exp2 as exp2, logit as logit, xlogy as xlogy,
    )
    from gradcore.ops.pointwise import (  # fmt: skip
        erf as erf, sigmoid as expit, expm1 as expm1, log1p as log1p,
    )
    from gradcore.ops.selection import (  # fmt: skip
        round as round,
    )
    from gradcore.ops.softmax import (  # fmt: skip
        log_softmax as log_softmax, logsumexp as logsumexp, softmax as softmax,
    )
    from gradcore.ops.special import (  # fmt: skip
        sinc as sinc,
    )
    # operations: end

ops.load()
globals().update(functions["special"])
