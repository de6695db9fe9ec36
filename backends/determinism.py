"""Whether the same program must give the same bits every time, and what cannot. It must not know any array.

torch's switch for all threads: on the host nothing depends on it but what stands in memory that nobody has filled.
"""
from __future__ import annotations

import warnings


class _Mode:
    """What `use_deterministic_algorithms` says."""

    enabled = False
    warn_only = False
    fill = True


mode = _Mode()


def refuse(what: str) -> None:
    """Raise torch's RuntimeError, or warn, if `what` may give other bits next time and must not."""
    if not mode.enabled:
        return
    if mode.warn_only:
        warnings.warn(
            f"{what} does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True, warn_only=True)'.", UserWarning, stacklevel=2,
        )
        return
    raise RuntimeError(
        f"{what} does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'. You "
        "can turn off determinism just for this operation, or you can use the 'warn_only=True' option, if that's acceptable "
        "for your application."
    )
