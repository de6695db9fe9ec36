"""The optimal schedule for reversing a known number of steps with few stored states. It must not know what a step is.

Griewank and Walther, "Algorithm 799: revolve", ACM Transactions on Mathematical Software 26 (2000).
"""

from __future__ import annotations

from functools import lru_cache
from math import comb


def repetitions(n: int, slots: int) -> int:
    """The least r such that `n` steps can be reversed from `slots` stored states with no step run more than r times.

    The states include the first one. C(slots + r, slots) steps is what r repetitions can do.
    """
    r = 0
    while comb(slots + r, slots) < n:
        r += 1
    return r


@lru_cache(1 << 12)
def advance(n: int, slots: int) -> int:
    """How far to go before storing the next state, with `n` > 1 steps to reverse and `slots` states, the first among them.

    Then n - advance steps are left for slots - 1 states, and afterwards advance steps for slots states again.
    """
    if slots == 1:
        return n - 1
    r = repetitions(n, slots)
    # Any m that leaves neither part more than r, or fewer than r - 1, repetitions can do is optimal. The greatest stores the
    # last state of a first run nearest to its end.
    return min(n - comb(slots + r - 2, slots - 1), comb(slots + r - 1, slots))


def cost(n: int, slots: int) -> int:
    """The number of steps that are run without being reversed at once, all told."""
    r = repetitions(n, slots)
    return r * n - comb(slots + r, slots + 1)
