"""Rows of ids: what a forward pass takes when a text is scored, in training and in evaluation.

A row holds several conversations end to end and no more padding than it must.
A token sees only its own conversation, and the loss is taken where the mask
says. Rows in files are mapped, not read: a corpus may be larger than memory.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mychat.model.gpt import GPT
from mychat.model.loss import token_losses
from mychat.tokenizer.chat_format import Rendered

SHARD_TOKENS = 1 << 22
"""Packed at a time; it bounds what packing holds in memory."""


@dataclass(slots=True)
class Batch:
    """Tensors of one forward pass over B rows of T ids, n of whose successors are scored."""

    ids: Tensor
    """(B, T)"""
    targets: Tensor
    """(n,), in row order."""
    places: Tensor | None
    """(n,): where in the flattened (B * T) the targets are asked; None: everywhere."""
    mask: Tensor | None
    """(B, 1, T, T), True where a token may look; None: at all before it."""


@dataclass(slots=True)
class Rows:
    """N rows of T + 1 ids: position t is asked to tell the id at t + 1.

    `scored` (N, T + 1): whether this id's prediction counts. `document`
    (N, T + 1): the number of the conversation within its row, -1 for padding
    (always at the end).
    """

    ids: NDArray[np.unsignedinteger]
    scored: NDArray[np.bool_]
    document: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def context_length(self) -> int:
        """T."""
        return int(self.ids.shape[1]) - 1

    def count_tokens(self) -> int:
        """Count ids that are not padding."""
        return sum(int((self.document[at : at + 4096] >= 0).sum()) for at in range(0, len(self), 4096))

    def count_scored(self, index: Sequence[int] | NDArray[np.int64]) -> int:
        """Count the scored ids of some rows."""
        return int(self.scored[index, 1:].sum())

    def head(self, count: int) -> Rows:
        """Return the first `count` rows."""
        return Rows(self.ids[:count], self.scored[:count], self.document[:count])

    def take(self, index: Sequence[int] | NDArray[np.int64], device: str) -> Batch:
        """Gather rows for one forward pass."""

        def put(array: NDArray[np.generic]) -> Tensor:
            tensor = torch.from_numpy(np.ascontiguousarray(array))
            return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)

        ids = self.ids[index].astype(np.int64)
        scored = self.scored[index, 1:]
        seen = self.document[index, :-1]
        places = None if scored.all() else put(np.flatnonzero(scored))
        mask = None
        if (seen > 0).any():  # with one conversation a row, looking back is all that need be forbidden
            document = put(seen)
            mask = (document[:, :, None] == document[:, None, :]).tril().unsqueeze(1)
        return Batch(put(ids[:, :-1]), put(ids[:, 1:][scored]), places, mask)


def scored_losses(model: GPT, batch: Batch) -> Tensor:
    """Return the loss of each scored id in nats, (n,), in row order. Has no gradient."""
    return token_losses(scored_hidden(model, batch), model.embed_tokens.weight, batch.targets)


def scored_hidden(model: GPT, batch: Batch) -> Tensor:
    """Run the network where it is scored: (n, C)."""
    hidden = model.hidden(batch.ids, mask=batch.mask).flatten(0, 1)
    return hidden if batch.places is None else hidden.index_select(0, batch.places)


def pack_rows(
    rendered: Iterable[Rendered], context_length: int, *, pad: int, vocab_size: int, file: Path | None = None
) -> Rows:
    """Pack into rows of `context_length` + 1, the longest first, each where it fits best.

    What is longer than a row is cut; the next piece starts with the last id of the one before.
    The rows come in a random but fixed order, so that the first few are a fair sample.
    With `file` they are written there (and to its siblings) and mapped.
    """
    store = _RowStore(context_length + 1, np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32), file)
    pieces = (piece for one in rendered for piece in _pieces(one, context_length))
    while shard := _take_tokens(pieces, SHARD_TOKENS):
        store.append(_pack(shard, context_length, pad, store.dtype))
    return store.rows()


def _take_tokens(pieces: Iterator[Rendered], tokens: int) -> list[Rendered]:
    taken: list[Rendered] = []
    for piece in pieces:
        taken.append(piece)
        tokens -= len(piece.ids)
        if tokens <= 0:
            break
    return taken


def _pack(pieces: list[Rendered], context_length: int, pad: int, dtype: np.dtype[np.unsignedinteger]) -> Rows:
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
        if free > len(piece.ids):
            bisect.insort(room, (free - len(piece.ids), row))
    packed = Rows(
        np.full((len(rows), context_length + 1), pad, dtype),
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


_KINDS = ("ids", "scored", "document")


@dataclass(slots=True)
class _RowStore:
    """Collects packed shards, in memory or in files beside one another."""

    width: int
    dtype: np.dtype[np.unsignedinteger]
    file: Path | None
    shards: list[Rows] = field(default_factory=list)
    count: int = 0

    def append(self, rows: Rows) -> None:
        """Take a shard over."""
        if self.file is None:
            self.shards.append(rows)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        for kind in _KINDS:
            path = self.file.with_name(f"{self.file.name}.{kind}")
            if not self.count:
                path.unlink(missing_ok=True)  # whoever has the old file mapped keeps it whole
            with path.open("ab") as stream:
                getattr(rows, kind).tofile(stream)
        self.count += len(rows)

    def rows(self) -> Rows:
        """Return all that was appended."""
        if self.file is not None and self.count:
            about = {"rows": self.count, "width": self.width, "dtype": self.dtype.name}
            self.file.with_name(f"{self.file.name}.json").write_text(json.dumps(about), "utf-8")
            return map_rows(self.file)
        shards = self.shards or [_pack([], self.width - 1, 0, self.dtype)]
        return Rows(*(np.concatenate([getattr(one, kind) for one in shards]) for kind in _KINDS))


def map_rows(file: Path) -> Rows:
    """Map the rows that `pack_rows` wrote."""
    about = json.loads(file.with_name(f"{file.name}.json").read_text("utf-8"))
    shape = (about["rows"], about["width"])
    dtypes = (np.dtype(about["dtype"]), np.dtype(np.bool_), np.dtype(np.int16))
    return Rows(
        *(np.memmap(file.with_name(f"{file.name}.{kind}"), dtype, "r", shape=shape)
          for kind, dtype in zip(_KINDS, dtypes, strict=True))
    )  # fmt: skip
