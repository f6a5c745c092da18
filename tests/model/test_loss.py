from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mychat.model import loss as module
from mychat.model.loss import summed_loss, token_losses


def drawn(count: int, width: int, vocab: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, width, generator=generator).requires_grad_()
    weight = torch.randn(vocab, width, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(vocab, (count,), generator=generator)


@given(st.integers(0, 300), st.integers(1, 8), st.integers(2, 50), st.integers(0, 99))
def test_chunks_give_the_loss_and_gradients_of_the_whole(count: int, width: int, vocab: int, seed: int) -> None:
    hidden, weight, targets = drawn(count, width, vocab, seed)
    (3 * summed_loss(hidden, weight, targets)).backward()
    again, matrix, _ = drawn(count, width, vocab, seed)
    whole = F.cross_entropy(again @ matrix.T, targets, reduction="sum")
    (3 * whole).backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(hidden.grad, again.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weight.grad, matrix.grad, rtol=1e-4, atol=1e-4)
    each = token_losses(hidden.detach(), weight.detach(), targets)
    assert each.shape == (count,)
    assert float(each.sum()) == pytest.approx(float(whole.detach()), rel=1e-4, abs=1e-4)


def test_many_chunks_and_bf16_agree_with_one_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = drawn(1000, 16, 40, 0)
    one = summed_loss(hidden, weight, targets)
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 1)  # 64 rows at a time
    with torch.autocast("cpu", torch.bfloat16):
        many = summed_loss(hidden, weight, targets)
    many.backward()
    assert float(many.detach()) == pytest.approx(float(one.detach()), rel=2e-2)
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
