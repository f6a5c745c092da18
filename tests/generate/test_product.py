from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mychat.generate import product
from mychat.generate.product import product_with


@given(st.integers(1, 9), st.integers(1, 70), st.integers(1, 90), st.integers(0, 1000))
def test_weights_that_are_saved_lose_nothing(rows: int, wide: int, out: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(out, wide, generator=rng).bfloat16().float() for _ in range(2))
    x = torch.randn(rows, wide, generator=rng)
    torch.testing.assert_close(product_with(one, other)(x), F.linear(x, torch.cat((one, other))), rtol=1e-4, atol=1e-4)


def test_what_half_precision_cannot_hold_and_machines_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(2, 8)
    assert torch.equal(product_with(torch.full((3, 8), 1e6))(x), torch.full((2, 3), 8e6))
    assert product_with(torch.full((3, 8), float("nan")))(x).isnan().all()
    monkeypatch.setattr(product, "_packs", lambda: False)
    assert torch.equal(product_with(torch.full((3, 8), 0.1))(x), F.linear(x, torch.full((3, 8), 0.1)))
