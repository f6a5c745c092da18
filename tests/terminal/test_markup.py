from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.terminal.markup import MarkupStream, Styled

PARTS = ["a", "b", " ", "\n", "*", "**", "_", "`", "```", "# ", "\n```\n", "word", "2*3"]
texts = st.lists(st.sampled_from(PARTS), max_size=24).map("".join)


def read(text: str, cuts: list[int] | None = None) -> list[Styled]:
    stream = MarkupStream()
    places = sorted({0, len(text), *(cut for cut in cuts or [] if cut < len(text))})
    pieces = [piece for start, end in itertools.pairwise(places) for piece in stream.push(text[start:end])]
    joined: list[Styled] = []
    for piece, style in [*pieces, *stream.finish()]:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + piece, style)
        elif piece:
            joined.append((piece, style))
    return joined


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain text", [("plain text", "")]),
        ("use `mychat train`, now", [("use ", ""), ("mychat train", "code"), (", now", "")]),
        (
            "a **bold** and *slanted* _word_",
            [("a ", ""), ("bold", "strong"), (" and ", ""), ("slanted", "emphasis"), (" ", ""), ("word", "emphasis")],
        ),
        ("2*3*4, snake_case_name, a * b", [("2*3*4, snake_case_name, a * b", "")]),
        ("an *open end", [("an *open end", "")]),
        ("## Title\ntext", [("Title", "heading"), ("\ntext", "")]),
        (
            "```py\na *b*\n```\n*c*",
            [
                ("```py", "code"),
                ("\n", ""),
                ("a *b*", "code"),
                ("\n", ""),
                ("```", "code"),
                ("\n", ""),
                ("c", "emphasis"),
            ],
        ),
        ("``a`b``", [("a`b", "code")]),
        ("a```a`a```", [("a", ""), ("a`a", "code")]),
        ("a```a`a", [("a```a`a", "")]),
    ],
)
def test_what_is_written_so_is_shown_so(text: str, wanted: list[Styled]) -> None:
    assert read(text) == wanted


@settings(max_examples=500, deadline=None)
@given(texts, st.lists(st.integers(0, 60), max_size=20))
def test_how_it_arrives_changes_nothing(text: str, cuts: list[int]) -> None:
    assert read(text, cuts) == read(text)


@given(texts)
def test_no_letter_is_lost(text: str) -> None:
    shown = "".join(piece for piece, _ in read(text))
    assert [char for char in shown if char.isalnum()] == [char for char in text if char.isalnum()]
    assert shown.count("\n") == text.count("\n")
