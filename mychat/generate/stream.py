"""One sequence going on: what the network has read stays read, from reply to reply."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mychat.generate.decoder import Decoder


class Stream:
    """A sequence of ids whose keys and values are kept."""

    def __init__(self, decoder: Decoder, room: int) -> None:
        self.decoder = decoder
        self.cache = decoder.make_cache(1, room)
        self.ids: list[int] = []
        """What the cache holds."""

    def feed(self, ids: Sequence[int]) -> Tensor:
        """Go on with these ids: (n, C)."""
        hidden = self.decoder.hidden(torch.tensor([ids], device=self.cache.keys.device), self.cache)
        self.ids += ids
        return hidden[0]

    def rewind(self, length: int) -> None:
        """Forget what comes after the first `length` ids."""
        self.cache.rewind(length)
        del self.ids[length:]

    def resume(self, ids: Sequence[int]) -> Tensor:
        """Hold exactly these ids: what they share with those before is not computed again. -> (new, C)."""
        common = 0
        for ours, wanted in zip(self.ids, ids[:-1], strict=False):  # the last is run in any case, for what follows it
            if ours != wanted:
                break
            common += 1
        self.rewind(common)
        return self.feed(ids[common:])
