"""Parts of numbers, powers of two, parts of complex numbers beside torch's. It must not know how they are computed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.beside import names  # noqa: E402
from tests.twin import same  # noqa: E402

EXPRESSIONS = [
    "torch.frexp(w)", "torch.frexp(l)", "torch.ldexp(w, l[0])", "torch.ldexp(l, l - 4)", "torch.nextafter(x, x + 1)",
    "torch.float_power(w, 2)", "torch.float_power(2, w)", "torch.float_power(l, y)", "torch.float_power(c, 2)",
    "x.float_power_(2)", "x.double().float_power_(2)", "torch.float_power(2, 3)",
    "torch.view_as_real(c)", "torch.view_as_complex(torch.view_as_real(c))", "torch.view_as_complex(x)",
    "torch.view_as_complex(w[:, :2].contiguous())", "torch.view_as_real(x)", "torch.view_as_complex(l[:, :2])",
    "torch.view_as_real(torch.stack([c, c]).transpose(0, 2))", "torch.view_as_complex(x3[..., :2])",
]  # fmt: skip


@pytest.mark.parametrize("code", EXPRESSIONS)
def test_parts_are_torchs(code: str) -> None:
    same(lambda T: eval(code, names(T)), torch, words=0, may_raise=True)
