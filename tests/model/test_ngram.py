"""Counts against a dictionary, and the file they are mapped from."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.errors import CheckpointError
from mychat.model.batch import Rows, pack_rows
from mychat.model.checkpoint import load_checkpoint
from mychat.model.ngram import LONGEST_CONTEXT, NGRAMS_FILE, NGramModel, count_ngrams, load_ngrams
from mychat.tokenizer.chat_format import Rendered

said = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=12)


def rows_of(conversations: list[list[tuple[int, bool]]]) -> Rows:
    rendered = [Rendered([id_ for id_, _ in one], [int(scored) for _, scored in one]) for one in conversations]
    return pack_rows(rendered, 24, pad=7, vocab_size=8)


def by_dictionary(conversations: list[list[tuple[int, bool]]]) -> dict[tuple[int, ...], Counter[int]]:
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for one in conversations:
        ids = [id_ for id_, _ in one]
        for at, (id_, scored) in enumerate(one):
            for length in range(1, min(LONGEST_CONTEXT, at) + 1):
                if scored:
                    followers[tuple(ids[at - length : at])][id_] += 1
    return followers


@settings(max_examples=200, deadline=None)
@given(st.lists(said, min_size=1, max_size=12), st.lists(st.integers(0, 6), max_size=6))
def test_counts_are_those_of_a_dictionary(conversations: list[list[tuple[int, bool]]], asked: list[int]) -> None:
    followers = by_dictionary(conversations)
    model = count_ngrams(rows_of(conversations), 8)
    for context in [*followers, tuple(asked)]:
        known = next((context[-n:] for n in range(min(4, len(context)), 0, -1) if context[-n:] in followers), None)
        found = model.best(list(context))
        if known is None:
            assert found is None
            continue
        most = max(followers[known].values())
        assert found is not None
        assert followers[known][found[0]] == most
        assert found[1] == pytest.approx(most / followers[known].total())


def test_a_checkpoint_keeps_its_counts(tiny: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    assert isinstance(checkpoint.ngrams, NGramModel)
    ids = checkpoint.tokenizer.encode("Hello! I am")
    after = checkpoint.ngrams.best(ids)
    assert after is not None
    assert checkpoint.tokenizer.decode([after[0]]) in " Pip"
    assert after[1] == 1.0
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / NGRAMS_FILE).write_bytes(checkpoint.ngrams.tensors())
    again = load_ngrams(copy)
    assert again is not None
    assert again.best(ids) == after
    assert load_ngrams(tmp_path) is None
    (copy / NGRAMS_FILE).write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(CheckpointError, match="copy the checkpoint again"):
        load_ngrams(copy)
