from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mychat.model import batch as module
from mychat.model.batch import map_rows, pack_rows
from mychat.tokenizer.chat_format import Rendered

documents = st.lists(st.lists(st.integers(1, 99), min_size=2, max_size=60), min_size=1, max_size=30)


def rendered(texts: list[list[int]]) -> list[Rendered]:
    return [Rendered(ids, [0] + [1] * (len(ids) - 1)) for ids in texts]


@given(documents, st.integers(4, 20))
def test_every_scored_id_is_asked_once_after_the_ids_before_it(texts: list[list[int]], length: int) -> None:
    rows = pack_rows(rendered(texts), length, pad=0, vocab_size=100)
    asked = []
    for row in range(len(rows)):
        for place in np.flatnonzero(rows.scored[row]):
            assert rows.document[row, place] == rows.document[row, place - 1] >= 0
            asked.append((int(rows.ids[row, place - 1]), int(rows.ids[row, place])))
    assert sorted(asked) == sorted(pair for ids in texts for pair in itertools.pairwise(ids))


@given(documents)
def test_rows_in_files_are_the_rows_in_memory(texts: list[list[int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARD_TOKENS", 50)
        file = Path(folder) / "rows" / "all"
        stored = pack_rows(rendered(texts), 16, pad=0, vocab_size=100, file=file)
        assert isinstance(stored.ids, np.memmap)
        plain = pack_rows(rendered(texts), 16, pad=0, vocab_size=100)
        for one in (stored, map_rows(file)):
            for name in ("ids", "scored", "document"):
                assert np.array_equal(getattr(one, name), getattr(plain, name))


def test_a_large_vocabulary_takes_wider_ids() -> None:
    one = [Rendered([1, 70_000, 3], [0, 1, 1])]
    assert pack_rows(one, 8, pad=0, vocab_size=100_000).ids[0, 1] == 70_000


def test_one_document_a_row_needs_no_mask_and_no_gathering() -> None:
    rows = pack_rows([Rendered(list(range(9)), [0] + [1] * 8)], 8, pad=0, vocab_size=100)
    batch = rows.take([0], "cpu")
    assert batch.mask is None
    assert batch.places is None
    two = pack_rows(rendered([[1, 2, 3], [4, 5, 6]]), 8, pad=0, vocab_size=100).take([0], "cpu")
    assert two.mask is not None
    assert two.places is not None
    assert not two.mask[0, 0, 3, 2]  # the second conversation does not see the first
    assert torch.equal(two.targets, torch.tensor([2, 3, 5, 6]))
