"""Beam search: the likeliest replies found by keeping several abreast.

Source: Graves 2012, arXiv:1211.3711; the length penalty is that of Wu et al. 2016, arXiv:1609.08144, without its
constants: a log-probability is divided by the number of ids to the power of the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mychat.generate.decoder import Decoder
from mychat.generate.sampling import Logits


@dataclass(frozen=True, slots=True)
class Beam:
    """A reply's ids, without <|end|>, and its score: log-probability by length to the power of the penalty."""

    ids: tuple[int, ...]
    score: float
    ended: bool
    """Whether it said <|end|>; else it ran out of room."""


@torch.inference_mode()
def beam_search(
    decoder: Decoder,
    prompt: Sequence[int],
    width: int,
    *,
    end: int,
    most: int,
    length_penalty: float = 1.0,
    adjust: Callable[[Logits, list[int]], Logits] = lambda scores, _reply: scores,
) -> list[Beam]:
    """Return the best `width` replies, best first.

    `adjust` changes log-probabilities (V,) given the reply so far, as biases and bans do. The search is over when no
    beam that goes on can beat the worst of the finished, were it to end with the next id.
    """
    device = decoder.embedding.device
    cache = decoder.make_cache(1, len(prompt) + most)
    hidden = decoder.hidden(torch.tensor([list(prompt)], device=device), cache)[:, -1]
    replies: list[list[int]] = [[]]
    totals = torch.zeros(1)
    finished: list[Beam] = []
    for step in range(1, most + 1):
        logprobs = decoder.logits(hidden).float().cpu().log_softmax(-1)
        rows = [adjust(row, reply) for row, reply in zip(logprobs.numpy(), replies, strict=True)]
        scores = totals[:, None] + torch.from_numpy(np.stack(rows))
        best = torch.topk(scores.flatten(), min(2 * width, scores.numel()))
        going: list[tuple[int, int, float]] = []
        for place, (total, flat) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            row, id_ = divmod(flat, scores.shape[1])
            if total == float("-inf"):
                continue
            if id_ == end:
                if place < width:
                    finished.append(Beam(tuple(replies[row]), total / step**length_penalty, ended=True))
            elif len(going) < width:
                going.append((row, id_, total))
        finished = sorted(finished, key=lambda beam: -beam.score)[:width]
        if not going or (len(finished) == width and going[0][2] / (step + 1) ** length_penalty <= finished[-1].score):
            break
        replies = [[*replies[row], id_] for row, id_, _ in going]
        totals = torch.tensor([total for _, _, total in going])
        if step == most:
            left = [Beam(tuple(ids), total / step**length_penalty, ended=False)
                    for ids, total in zip(replies, totals.tolist(), strict=True)]  # fmt: skip
            finished = sorted([*finished, *left], key=lambda beam: -beam.score)[:width]
            break
        cache.keep(torch.tensor([row for row, _, _ in going], device=device))
        hidden = decoder.hidden(torch.tensor([[id_] for _, id_, _ in going], device=device), cache)[:, -1]
    return finished
