from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.corpus import texts, words
from mychat.corpus.cleaning import clean_text
from mychat.corpus.split import split_words
from mychat.corpus.texts import Stretch, iter_stretches
from mychat.errors import CorpusError
from mychat.events import CorpusRead, Finished
from tests.conftest import QUICK, run
from tests.train.test_train import request


@given(st.text(st.sampled_from("aé漢🙂 \n"), max_size=400), st.integers(1, 60))
def test_stretches_put_together_are_the_file(text: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "STRETCH_BYTES", size)
        path = Path(folder) / "large.txt"
        path.write_text(text, "utf-8", newline="")
        stretches = list(iter_stretches(path))
        assert "".join(map(str, stretches)) == clean_text(text)
        assert sum(map(len, stretches)) == len(text.encode())
        assert all(0 < len(stretch) <= 2 * size + 4 for stretch in stretches)


def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(words, "HELD_BYTES", 1000)
    monkeypatch.setattr(texts, "STRETCH_BYTES", 500)
    path = folder / "large.txt"
    path.write_text(
        "".join(f"Note {number}: the cat of house {number * 7} sat on its mat.\n\n" for number in range(900))
    )
    return path


def test_a_file_too_large_to_hold_is_split_and_stays_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = words.load_words([large(tmp_path, monkeypatch)], [])
    split = split_words(read, 0, 0)
    assert all(isinstance(text, Stretch) for text in split.train.texts)
    assert all(isinstance(text, str) for text in split.validation.texts + split.test.texts)
    assert split.overlap.remaining == 0
    held_out = {
        line for side in (split.validation, split.test) for text in side.texts for line in str(text).split("\n\n")
    }
    learnt = {line for text in split.train.texts for line in str(text).split("\n\n")}
    assert len(held_out) > 20
    assert not (held_out & learnt) - {""}


def test_a_large_file_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(QUICK, steps=10)
    events = run(request(large(tmp_path, monkeypatch), tmp_path / "out", settings))
    assert isinstance(events[-1], Finished)
    about = next(event for event in events if isinstance(event, CorpusRead))
    assert about.texts > 50


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = large(tmp_path, monkeypatch)
    data = bytearray(path.read_bytes())
    data[7000] = 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(CorpusError, match=r"large\.txt: not UTF-8 at byte 7,000 \(0xff\)"):
        split_words(words.load_words([path], []), 0, 0)
