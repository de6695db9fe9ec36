"""What torch has to tell its engine and its compiler, taken and checked here, where it changes nothing.

Gradients of leaves are in C order or in that of the leaf whatever is told, a backward pass runs on the stream that is
current, and nothing is compiled. It must not know any operation.
"""

from __future__ import annotations

__all__ = [
    "enforce_grad_layout_policy", "region_activation_memory_budget", "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
]  # fmt: skip


class enforce_grad_layout_policy:
    """Whether gradients must have the strides of what they are gradients of: a call, or a block. Here those
    of leaves have them, or are in C order, always. Raises TypeError for what is no bool.
    """

    def __init__(self, enable: bool = True) -> None:
        if not isinstance(enable, bool):
            raise TypeError(
                "set_grad_layout_enforcement_enabled(): argument 'enabled' (position 1) must be bool, not "
                f"{type(enable).__name__}"
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Whether to warn of gradients that come from other streams, which they do not. Raises RuntimeError for no bool."""
    _check(enabled)


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Whether leaves may be accumulated on another stream than a capture's: they are. Raises RuntimeError for no bool."""
    _check(enabled)


def _check(enabled: bool) -> None:
    if not isinstance(enabled, bool):
        raise RuntimeError(f"enabled must be a bool, but got {type(enabled).__name__}")


def region_activation_memory_budget(budget: float) -> None:
    """Raise RuntimeError: this is for compiled regions. TypeError for no number, ValueError for one outside of [0, 1]."""
    what = "torch.autograd.graph.region_activation_memory_budget"
    if not isinstance(budget, (int, float)):
        raise TypeError(f"{what}: expects a float, got {type(budget).__name__}")
    if not 0 <= budget <= 1:
        raise ValueError(f"{what}: must be in [0, 1], got {budget}")
    raise RuntimeError(f"{what} can only be used inside a torch.compile region; it has no effect in eager mode.")
