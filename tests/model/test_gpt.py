from __future__ import annotations

import math

import pytest
import torch

from mychat.config import PRESETS, ModelConfig
from mychat.errors import ConfigError
from mychat.model.batch import pack_rows, scored_losses
from mychat.model.gpt import GPT, rotary_table, rotate
from mychat.tokenizer.chat_format import Rendered

SMALL = ModelConfig(vocab_size=50, context_length=32, n_layer=3, n_head=4, n_kv_head=2, n_embd=32, head_dim=16, n_ff=48)


def fresh(config: ModelConfig = SMALL, dropout: float = 0.0) -> GPT:
    model = GPT(config, dropout)
    model.init_weights(torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize(("name", "millions"), [("nano", 2), ("micro", 5), ("mini", 11), ("small", 28), ("base", 110)])
def test_presets_have_the_sizes_they_say(name: str, millions: int) -> None:
    config = PRESETS[name].model(PRESETS[name].vocab_size)
    with torch.device("meta"):
        counted = GPT(config).count_parameters()
    assert counted == config.count_parameters()
    assert counted == pytest.approx(millions * 1e6, rel=0.12)


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="no multiple"):
        ModelConfig(vocab_size=50, n_head=4, n_kv_head=3)
    with pytest.raises(ConfigError, match="n_layer"):
        ModelConfig(vocab_size=50, n_layer=0)


def test_fresh_weights_know_nothing_and_gradients_have_one_scale() -> None:
    model = fresh(PRESETS["micro"].model(2000))
    ids = torch.randint(0, 2000, (4, 65), generator=torch.Generator().manual_seed(1))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert float(loss.detach()) == pytest.approx(math.log(2000), abs=0.15)
    loss.backward()
    for kind in ("self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"):
        norms = [float(p.grad.norm()) for n, p in model.named_parameters() if kind in n and p.grad is not None]
        assert len(norms) == 4
        assert max(norms) / min(norms) < 5, (kind, norms)


def test_nothing_looks_ahead() -> None:
    model = fresh().eval()
    ids = torch.randint(0, 50, (1, 20))
    changed = ids.clone()
    changed[0, 12:] = (changed[0, 12:] + 1) % 50
    before, after = model(ids), model(changed)
    assert torch.allclose(before[:, :12], after[:, :12], atol=1e-5)
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-3)


def test_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(at_q: int, at_k: int) -> float:
        turned = [rotate(x, *rotary_table(torch.tensor([at]), 16, 10_000.0)) for x, at in ((q, at_q), (k, at_k))]
        assert torch.allclose(turned[0].norm(), q.norm(), atol=1e-5)
        return float((turned[0] * turned[1]).sum())

    assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
    assert score(7, 3) != pytest.approx(score(7, 6), abs=1e-3)


def render(*ids: int) -> Rendered:
    return Rendered(list(ids), [0, *[1] * (len(ids) - 1)])


def test_packed_conversations_do_not_see_each_other() -> None:
    model = fresh().eval()
    first, second = render(1, 2, 3, 4), render(1, 9, 8, 7, 6)
    together = pack_rows([first, second], 16, pad=0, vocab_size=300)
    alone = [pack_rows([one], 16, pad=0, vocab_size=300) for one in (second, first)]  # the longest comes first
    assert len(together) == 1
    losses = scored_losses(model, together.take([0], "cpu"))
    apart = torch.cat([scored_losses(model, rows.take([0], "cpu")) for rows in alone])
    assert losses.shape == (7,)
    assert torch.allclose(losses, apart, atol=1e-5)


def test_packing_loses_no_scored_id() -> None:
    rendered = [render(*range(1, 2 + n)) for n in (1, 3, 60, 17, 16, 33, 2)]
    rows = pack_rows(rendered, 16, pad=0, vocab_size=300)
    assert int(rows.scored.sum()) == sum(sum(one.loss_mask) for one in rendered)
    assert len(rows) <= 11


def test_dropout_acts_in_training_only() -> None:
    model, ids = fresh(dropout=0.5), torch.randint(0, 50, (1, 8))
    assert not torch.allclose(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
