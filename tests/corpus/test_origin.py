from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.config import SAMPLING_NAMES
from mychat.corpus.origin import Line, Origins, list_lines, load_lines
from mychat.corpus.words import load_words
from mychat.errors import CorpusError

words = st.lists(st.sampled_from(list("abcdef")), max_size=12)


@given(words, words)
def test_the_longest_shared_stretch_is_the_longest(one: list[str], other: list[str]) -> None:
    found = Origins([Line("x:1", " ".join(other))]).closest(" ".join(one))
    stretches = [
        (size, other[at : at + size])
        for size in range(1, len(other) + 1)
        for at in range(len(other) - size + 1)
        if any(one[place : place + size] == other[at : at + size] for place in range(len(one)))
    ]
    if not stretches:
        assert found == []
        return
    longest = max(size for size, _ in stretches)
    assert found[0].words == longest
    assert (longest, found[0].shared.split()) in stretches


def test_lines_know_their_file_and_line(persona_folder: Path) -> None:
    (persona_folder / "more.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "A different answer."}]}\n'
    )
    (persona_folder / "tale.txt").write_text("Once upon a time.\n\nThe end of it all.\n")
    read = load_words([persona_folder], SAMPLING_NAMES)
    origins = Origins(list_lines(read.dialogues, read.conversations, read.texts))
    lines = (persona_folder / "talk.chat").read_text().splitlines()
    best = origins.closest("Well, my name is Pip!")[0]
    assert lines[int(best.line.where.removeprefix("talk.chat:")) - 1].startswith(("My name is Pip.", "> {what"))
    assert best.shared == "My name is Pip"
    assert origins.closest("a different answer")[0].line.where == "more.jsonl:1"
    assert origins.closest("the end of it")[0].line.where.startswith("the text that begins 'Once upon")
    assert origins.closest("zzz") == []


def test_a_trained_checkpoint_keeps_them_apart(tiny: Path, tmp_path: Path) -> None:
    assert any(line.text == "My name is Pip." for line in load_lines(tiny))
    with pytest.raises(CorpusError, match="trained on this machine"):
        load_lines(tmp_path)
