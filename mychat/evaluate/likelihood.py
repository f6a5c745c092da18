"""How well a model foretells words: bits per byte and perplexities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mychat.model.batch import Batch, Rows
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
    losses_of: Callable[[Batch], Tensor],
    rows: Rows,
    tokenizer: Tokenizer,
    device: str,
    context: torch.autocast,
    *,
    batch: int = 16,
    share: tuple[int, int] = (0, 1),
) -> Likelihood:
    """Score all rows once, or share i of n of them. `context` is the precision to run in.

    Every share makes the same number of forward passes: processes that hold a model together stay in step.
    """
    passes = -(-len(rows) // batch)
    mine, shares = share
    losses: list[Tensor] = []
    targets: list[Tensor] = []
    with context:
        for place in range(-(-passes // shares)):
            start = (place * shares + mine) * batch
            index = np.arange(start, min(start + batch, len(rows)))
            one = rows.take(index if len(index) else [0], device)
            found = losses_of(one)
            if len(index):
                losses.append(found.cpu().double())
                targets.append(one.targets.cpu())
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
