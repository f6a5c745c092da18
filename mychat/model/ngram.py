"""An n-gram model: which ids followed which few ids in the training rows, and how often.

For each number of ids before (1 to 4) a table of contexts, sorted, each with its followers, the most frequent first.
Only what the network learns to say is counted. Tables are mapped from a safetensors file, not read.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mychat.errors import CheckpointError
from mychat.model.batch import Rows

NGRAMS_FILE = "ngrams.safetensors"
LONGEST_CONTEXT = 4
MOST_ROWS_TOKENS = 4_000_000
"""Counted of a corpus; its rows come in random order."""
MOST_FOLLOWERS = 50_000
"""In a table; beyond, the rarest are left out."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Contexts of one length: `keys` (n,) sorted; the followers of the i-th are at starts[i] to starts[i + 1]."""

    keys: NDArray[np.uint64]
    starts: NDArray[np.uint32]
    ids: NDArray[np.unsignedinteger]
    counts: NDArray[np.uint32]


class NGramModel:
    """Tells what usually follows a few ids."""

    def __init__(self, tables: Sequence[_Table], bits: int) -> None:
        self._tables, self._bits = tables, bits

    def best(self, ids: Sequence[int]) -> tuple[int, float] | None:
        """Return the usual follower of the longest known context, and its share there."""
        for length in range(min(len(self._tables), len(ids)), 0, -1):
            table, key = self._tables[length - 1], 0
            for id_ in ids[len(ids) - length :]:
                key = key << self._bits | id_
            place = int(np.searchsorted(table.keys, np.uint64(key)))
            if place < len(table.keys) and int(table.keys[place]) == key:
                start, end = int(table.starts[place]), int(table.starts[place + 1])
                return int(table.ids[start]), int(table.counts[start]) / int(table.counts[start:end].sum())
        return None

    def tensors(self) -> bytes:
        """Return the safetensors file."""
        arrays = {
            f"{name}{length}": getattr(table, name)
            for length, table in enumerate(self._tables, 1)
            for name in _Table.__slots__
        }
        return save(arrays, metadata={"bits": str(self._bits)})


def count_ngrams(rows: Rows, vocab_size: int) -> NGramModel:
    """Count what the rows score."""
    rows = rows.head(max(1, MOST_ROWS_TOKENS // (rows.context_length + 1)))
    bits = max(1, (vocab_size - 1).bit_length())
    return NGramModel([_count(rows, length, bits) for length in range(1, min(LONGEST_CONTEXT, 64 // bits) + 1)], bits)


def _count(rows: Rows, length: int, bits: int) -> _Table:
    width = rows.ids.shape[1] - length
    counted = rows.scored[:, length:] & (rows.document[:, length:] == rows.document[:, :width])
    keys = np.zeros(int(counted.sum()), np.uint64)
    for at in range(length):
        keys = keys << np.uint64(bits) | rows.ids[:, at : at + width][counted].astype(np.uint64)
    keys, ids, counts = _pairs(keys, rows.ids[:, length:][counted])
    if len(counts) > MOST_FOLLOWERS:
        kept = np.argpartition(counts, -MOST_FOLLOWERS)[-MOST_FOLLOWERS:]
        keys, ids, counts = keys[kept], ids[kept], counts[kept]
    order = np.lexsort((ids, -counts.astype(np.int64), keys))
    keys, ids, counts = keys[order], ids[order], counts[order]
    begins = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.uint64(1)))
    return _Table(keys[begins], np.append(begins, len(keys)).astype(np.uint32), ids, counts.astype(np.uint32))


def _pairs(
    keys: NDArray[np.uint64], ids: NDArray[np.unsignedinteger]
) -> tuple[NDArray[np.uint64], NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Return each different pair once, with how often it came."""
    order = np.lexsort((ids, keys))
    keys, ids = keys[order], ids[order]
    new = np.ones(len(keys), np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (ids[1:] != ids[:-1])
    begins = np.flatnonzero(new)
    return keys[begins], ids[begins], np.diff(np.append(begins, len(keys)))


def load_ngrams(folder: Path) -> NGramModel | None:
    """Map the model that lies in a checkpoint's folder; None when there is none. Raises: CheckpointError."""
    path = folder / NGRAMS_FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(mapped[:8], "little")
        header: dict[str, Any] = json.loads(mapped[8 : 8 + size])
        bits = int(header.pop("__metadata__")["bits"])
        arrays = {name: _view(mapped, 8 + size, about) for name, about in header.items()}
        lengths = range(1, len(arrays) // len(_Table.__slots__) + 1)
        tables = [_Table(**{name: arrays[f"{name}{length}"] for name in _Table.__slots__}) for length in lengths]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); copy the checkpoint again") from None
    return NGramModel(tables, bits)


_DTYPES = {"U64": np.uint64, "U32": np.uint32, "U16": np.uint16}


def _view(mapped: mmap.mmap, base: int, about: dict[str, Any]) -> NDArray[Any]:
    start, end = about["data_offsets"]
    dtype = np.dtype(_DTYPES[about["dtype"]])
    return np.frombuffer(mapped, dtype, (end - start) // dtype.itemsize, base + start)
