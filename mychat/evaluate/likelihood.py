"""How well a model foretells words: bits per byte and perplexities."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch

from mychat.model.batch import Rows, scored_losses
from mychat.model.gpt import GPT
from mychat.tokenizer.bpe import Tokenizer

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Sums over the scored ids. Markers cost nats but have no bytes and no words."""

    nats: float
    text_nats: float
    """Without markers."""
    tokens: int
    text_bytes: int
    words: int

    @property
    def loss(self) -> float:
        """Nats per token, markers included: what training minimises."""
        return self.nats / max(1, self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers; markers are left out."""
        return self.text_nats / math.log(2) / max(1, self.text_bytes)

    @property
    def perplexity_per_token(self) -> float:
        """How many equally likely tokens it hesitates between."""
        return math.exp(min(700.0, self.loss))

    @property
    def perplexity_per_word(self) -> float:
        """The same per word: a run of non-blanks, or one CJK character."""
        return math.exp(min(700.0, self.nats / max(1, self.words)))

    def metrics(self) -> dict[str, float]:
        """Return the figures by the names people know."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "perplexity_per_token": self.perplexity_per_token,
            "perplexity_per_word": self.perplexity_per_word,
            "loss": self.loss,
        }


@torch.no_grad()
def measure_likelihood(
    model: GPT, rows: Rows, tokenizer: Tokenizer, device: str, context: torch.autocast, batch: int = 16
) -> Likelihood:
    """Score all rows once. `context` is the precision to run in; the model is left in its mode."""
    training = model.training
    model.eval()
    losses: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    with context:
        for start in range(0, len(rows), batch):
            one = rows.take(np.arange(start, min(start + batch, len(rows))), device)
            losses.append(scored_losses(model, one).cpu().double())
            targets.append(one.targets[one.scored].cpu())
    model.train(training)
    nats = torch.cat(losses).numpy() if losses else np.zeros(0)
    ids = torch.cat(targets).numpy() if targets else np.zeros(0, np.int64)
    sizes = np.array([len(tokenizer.token_bytes(id_)) for id_ in range(tokenizer.vocab_size)])[ids]
    said = b"".join(tokenizer.token_bytes(int(id_)) or b"\n" for id_ in ids).decode("utf-8", "replace")
    return Likelihood(
        nats=float(nats.sum()),
        text_nats=float(nats[sizes > 0].sum()),
        tokens=len(ids),
        text_bytes=int(sizes.sum()),
        words=len(_WORD.findall(said)),
    )
