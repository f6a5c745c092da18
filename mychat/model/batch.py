"""Rows of ids: what a forward pass takes when a text is scored, in training and in evaluation.

A row holds several conversations end to end and no more padding than it must.
A token sees only its own conversation, and the loss is taken where the mask says.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mychat.model.gpt import GPT
from mychat.tokenizer.chat_format import Rendered


@dataclass(slots=True)
class Rows:
    """N rows of T + 1 ids: position t is asked to tell the id at t + 1.

    `scored` (N, T + 1): whether this id's prediction counts. `document`
    (N, T + 1): the number of the conversation within its row, -1 for padding.
    """

    ids: NDArray[np.int32]
    scored: NDArray[np.bool_]
    document: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.ids)

    def count_tokens(self) -> int:
        """Count ids that are not padding."""
        return int((self.document >= 0).sum())

    def head(self, count: int) -> Rows:
        """Return the first `count` rows."""
        return Rows(self.ids[:count], self.scored[:count], self.document[:count])

    def take(self, index: Sequence[int] | NDArray[np.int64], device: str) -> Batch:
        """Gather rows for one forward pass."""

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array[index]).to(device, non_blocking=True)

        ids, scored, document = tensor(self.ids).long(), tensor(self.scored), tensor(self.document)
        seen = document[:, :-1]
        same = seen[:, :, None] == seen[:, None, :]
        return Batch(ids[:, :-1], ids[:, 1:], scored[:, 1:], same.tril().unsqueeze(1))


@dataclass(slots=True)
class Batch:
    """Tensors of one forward pass: (B, T), (B, T), (B, T), (B, 1, T, T)."""

    ids: Tensor
    targets: Tensor
    scored: Tensor
    mask: Tensor


def pack_rows(rendered: Iterable[Rendered], context_length: int, pad: int) -> Rows:
    """Pack into rows of `context_length` + 1, the longest first, each where it fits best.

    What is longer than a row is cut; the next piece starts with the last id of the one before.
    The rows come in a random but fixed order, so that the first few are a fair sample.
    """
    pieces = [piece for one in rendered for piece in _pieces(one, context_length)]
    pieces.sort(key=lambda piece: -len(piece.ids))
    rows: list[list[Rendered]] = []
    room: list[tuple[int, int]] = []  # (free places, row), sorted
    for piece in pieces:
        place = bisect.bisect_left(room, (len(piece.ids), -1))
        if place == len(room):
            rows.append([])
            free, row = context_length + 1, len(rows) - 1
        else:
            free, row = room.pop(place)
        rows[row].append(piece)
        bisect.insort(room, (free - len(piece.ids), row))
    packed = Rows(
        np.full((len(rows), context_length + 1), pad, np.int32),
        np.zeros((len(rows), context_length + 1), np.bool_),
        np.full((len(rows), context_length + 1), -1, np.int16),
    )
    order = np.random.default_rng(0).permutation(len(rows))
    for row, members in zip(order, rows, strict=True):
        start = 0
        for number, piece in enumerate(members):
            end = start + len(piece.ids)
            packed.ids[row, start:end] = piece.ids
            packed.scored[row, start + 1 : end] = piece.loss_mask[1:]
            packed.document[row, start:end] = number
            start = end
    return packed


def _pieces(rendered: Rendered, context_length: int) -> Iterator[Rendered]:
    for start in range(0, max(1, len(rendered.ids) - 1), context_length):
        end = start + context_length + 1
        yield Rendered(rendered.ids[start:end], rendered.loss_mask[start:end])


def scored_losses(model: GPT, batch: Batch) -> Tensor:
    """Return the loss of each scored id in nats, (number scored,), in row order."""
    hidden = model.hidden(batch.ids, mask=batch.mask)
    logits = model.logits(hidden[batch.scored])  # only where it counts
    return F.cross_entropy(logits.float(), batch.targets[batch.scored], reduction="none")
