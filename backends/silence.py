"""NumPy's floating-point warnings, switched off and back; must not know what is computed meanwhile."""
from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

# The buffers of ufuncs are of the same state. NumPy copies what is broadcast along rows that fit into a buffer, which takes
# longer than the operation; with 8192 elements, its default, two times as long in all.
_BUFFER = 1024


def _find_error_state() -> tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any], Callable[..., Any]]:
    """Return (noise, quiet, unquiet, quietly), which switch NumPy's floating-point warnings off here and back.

    torch never warns of 1/0 or log(0). np.errstate around every call costs 0.9 us; np.seterr would change the
    user's own NumPy code; a warnings filter loses against a later `error` or `always` (pytest's, for one) and
    does not see the ufuncs that NumPy's own Python code calls. Since NumPy 2 the error state is a context
    variable: to read, set and set it again costs 0.1 us. It is found as the one that np.seterr changes, so that
    only public functions are used.

    `before = noise()` comes before a `try` that begins with `quiet()` and ends with `unquiet(before)`: a Ctrl-C
    can strike when a function has returned and its result is not yet stored. `quietly(f, ...)` calls `f` in a
    context of its own at half that cost; it raises RuntimeError while another thread is inside.
    """
    before, after = contextvars.copy_context(), contextvars.copy_context()
    after.run(np.seterr, all="ignore")
    after.run(np.setbufsize, _BUFFER)
    changed = [variable for variable in after if before.get(variable) is not after[variable]]
    try:
        (variable,) = changed
        variable.get()
    except (ValueError, LookupError):
        return np.geterr, partial(np.seterr, all="ignore"), lambda before: np.seterr(**before), after.run
    return variable.get, partial(variable.set, after[variable]), variable.set, after.run


noise, quiet, unquiet, quietly = _find_error_state()
