"""Special functions, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.ops.direct import public
from gradcore.primitives import special as p

if TYPE_CHECKING:
    pass

sinc = public(p.sinc, "sinc", "special.sinc")
