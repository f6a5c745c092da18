from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mychat.model.attention import BLOCK, additive, block_attention
from mychat.model.norm import RMSNorm


def leaves(B: int, H: int, K: int, T: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Queries, keys and values as projections leave them: heads side by side in memory."""
    return [torch.randn(B, T, heads, 16).to(dtype).transpose(1, 2).requires_grad_() for heads in (H, K, K)]


def with_gradients(out: Tensor, inputs: list[Tensor], seed: int) -> list[Tensor]:
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, inputs, weights)]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.sampled_from([(1, 1), (2, 1), (6, 2), (4, 4)]), st.integers(1, 2 * BLOCK + 9),
       st.booleans(), st.integers(0, 99))  # fmt: skip
def test_blocks_are_torchs_own_attention(
    B: int, heads: tuple[int, int], T: int, several_documents: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    inputs = leaves(B, *heads, T)
    look = None
    if several_documents:
        document = torch.randint(0, 2, (B, T)).cumsum(1) // 3
        look = (document[:, :, None] == document[:, None, :]).tril().unsqueeze(1)
    plain = F.scaled_dot_product_attention(*inputs, attn_mask=look, is_causal=look is None, enable_gqa=True)
    ours = block_attention(*inputs, None if look is None else additive(look, torch.float32))
    wanted, found = with_gradients(plain, inputs, seed), with_gradients(ours, inputs, seed)
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_in_bf16_it_is_near_the_exact_result() -> None:
    torch.manual_seed(0)
    inputs = leaves(2, 4, 2, 200, torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(one.float() for one in inputs), is_causal=True, enable_gqa=True)
    ours = block_attention(*inputs, None)
    assert ours.dtype == torch.bfloat16
    for one, other in zip(with_gradients(exact, inputs, 0), with_gradients(ours, inputs, 0), strict=True):
        assert float((one - other).norm() / one.norm()) < 0.02


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
@pytest.mark.parametrize("shape", [(2, 5, 48), (2, 3, 4, 16)])
def test_the_norms_own_backward_pass_is_autograds(shape: tuple[int, ...], dtype: torch.dtype, allowed: float) -> None:
    torch.manual_seed(0)
    norm = RMSNorm(shape[-1], 1e-6).train()
    torch.nn.init.normal_(norm.weight, 1.0)
    x = torch.randn(shape).to(dtype).requires_grad_()
    trained = with_gradients(norm(x), [x, norm.weight], 0)
    plain = with_gradients(norm.eval()(x), [x, norm.weight], 0)
    for one, other in zip(trained, plain, strict=True):
        assert float((one - other).norm() / other.norm()) < allowed
