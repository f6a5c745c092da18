"""Many prompts answered at once: rows of unequal length end together, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mychat.generate.decoder import Decoder
from mychat.generate.sampling import Chooser

ROWS = 32
"""Run abreast; more prompts wait for their turn, the longest first."""


def generate_batch(
    decoder: Decoder, prompts: Sequence[Sequence[int]], choosers: Sequence[Chooser], most: Sequence[int], end: int
) -> list[list[int]]:
    """Return each prompt's reply, without <|end|> and of at most so many ids."""
    replies: list[list[int]] = [[] for _ in prompts]
    order = sorted((number for number in range(len(prompts)) if most[number] > 0), key=lambda one: -len(prompts[one]))
    for at in range(0, len(order), ROWS):
        group = order[at : at + ROWS]
        said = _generate_group(
            decoder,
            [prompts[one] for one in group],
            [choosers[one] for one in group],
            [most[one] for one in group],
            end,
        )
        for one, ids in zip(group, said, strict=True):
            replies[one] = ids
    return replies


@torch.inference_mode()
def _generate_group(
    decoder: Decoder, prompts: list[Sequence[int]], choosers: list[Chooser], most: list[int], end: int
) -> list[list[int]]:
    device = decoder.embedding.device
    longest = max(map(len, prompts))
    cache = decoder.make_cache(len(prompts), longest + max(most))
    cache.pad([longest - len(prompt) for prompt in prompts])
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    said: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))
    while True:
        logits = decoder.logits(decoder.hidden(ids, cache)[:, -1]).float().cpu().numpy()
        staying = []
        for row, number in enumerate(going):
            id_ = choosers[number].choose(logits[row])
            if id_ != end:
                said[number].append(id_)
                if len(said[number]) < most[number]:
                    staying.append(row)
        if not staying:
            return said
        if len(staying) < len(going):
            cache.keep(torch.tensor(staying, device=device))
            going = [going[row] for row in staying]
        ids = torch.tensor([said[number][-1:] for number in going], device=device)
