from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.config import SAMPLING_NAMES
from mychat.corpus.chatfile import parse_chat
from mychat.corpus.compose import draw_conversations
from mychat.corpus.holdout import line_key
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.persona import Persona
from mychat.corpus.split import split_words
from mychat.corpus.words import Words, load_words
from mychat.errors import CorpusError

SOMEONE = Persona("x", "X", description=("I am X.", "I am small."))


def talk(*texts: str) -> Conversation:
    return Conversation(tuple(Message("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(texts)))


def split_of(conversations: list[Conversation], texts: list[str] | None = None, seed: int = 0):
    words = Words(SOMEONE, conversations=conversations, texts=texts or [], files=[Path("talk.jsonl")])
    return split_words(words, 10_000, seed)


lines = st.sampled_from(["hi", "hello", "how are you?", "Fine!", "fine", "bye", "what is it", "a cup", "the cat", "no"])


def test_kindred_conversations_too_many_to_hold_out_are_trained_on() -> None:
    """Each shares a long line with the next: one group, most of the corpus."""
    lines = [f"this long line number {number} stands in two conversations" for number in range(61)]
    kindred = [talk("hi", lines[number], "and then?", lines[number + 1]) for number in range(60)]
    others = [talk(f"what is number {number}?", f"it is {number * number}") for number in range(40)]
    split = split_of(kindred + others)
    assert all(one in split.train.conversations for one in kindred)
    assert split.validation.conversations
    assert split.test.conversations


@settings(max_examples=50)
@given(st.lists(st.lists(lines, min_size=2, max_size=6), min_size=3, max_size=40), st.integers(0, 5))
def test_no_scored_line_stands_in_training(drawn: list[list[str]], seed: int) -> None:
    conversations = [talk(*(one if len(one) % 2 == 0 else one[:-1])) for one in drawn]
    try:
        split = split_of(conversations, seed=seed)
    except CorpusError as error:
        assert "too small to split" in str(error)
        return
    trained = {line_key(message.content) for one in split.train.conversations for message in one.messages}
    for side in (split.validation, split.test):
        for one in side.conversations:
            for place, message in enumerate(one.messages):
                if message.role == "assistant" and message.scored:
                    assert line_key(message.content) not in {
                        line_key(m.content)
                        for c in split.train.conversations
                        for m in c.messages
                        if m.role == "assistant"
                    }
                    assert line_key(one.messages[place - 1].content) not in {
                        line_key(m.content) for c in split.train.conversations for m in c.messages if m.role == "user"
                    }
    assert split.overlap.remaining == 0
    assert trained


def test_near_duplicates_stay_on_one_side() -> None:
    long = "this is quite a long line that two different dialogues share word for word"
    conversations = [talk(f"question {n}", f"answer number {n}") for n in range(200)]
    conversations += [talk(f"start {n}", long, f"then {n}", f"end {n}") for n in range(15)]
    split = split_of(conversations)
    holding = [
        side
        for side in (split.train, split.validation, split.test)
        if any(long in message.content for one in side.conversations for message in one.messages)
    ]
    assert len(holding) == 1
    sizes = [len(side.conversations) for side in (split.train, split.validation, split.test)]
    assert sum(sizes) == 215
    assert min(sizes) >= 5


def test_held_out_phrasings_are_never_trained_on(persona_folder: Path) -> None:
    words = load_words([persona_folder], SAMPLING_NAMES)
    split = split_words(words, 20_000, 0)
    trained = {line_key(m.content) for one in split.train.conversations for m in one.messages if m.role == "user"}
    asked = [exam.asked[-1].content for side in (split.validation, split.test) for exam in side.exams]
    assert asked
    assert not trained & {line_key(text) for text in asked}
    assert split.overlap.remaining == 0
    for exam in split.test.exams:
        reply = next(iter(exam.dialogue.turns[exam.turn].reply))
        assert not exam.accepts("something else")
        assert reply


def test_the_same_seed_gives_the_same_split(persona_folder: Path) -> None:
    words = load_words([persona_folder], SAMPLING_NAMES)
    first, again, other = (split_words(words, 5_000, seed) for seed in (1, 1, 2))
    assert first.train == again.train
    assert first.test == again.test
    assert first.train != other.train


def test_texts_are_split_at_paragraphs_and_repeats_leave_the_exam() -> None:
    text = (
        "\n\n".join(f"Paragraph {n} tells of thing {n * n}." for n in range(300)) + "\n\nParagraph 3 tells of thing 9."
    )
    split = split_of([], [text])
    joined = "".join(split.train.texts)
    assert joined
    assert text.startswith(joined)
    for side in (split.validation, split.test):
        for block in "".join(side.texts).split("\n\n"):
            assert not block.strip() or block not in joined
    assert split.overlap.dropped == 1


@pytest.mark.parametrize(
    "words",
    [
        Words(SOMEONE, conversations=[talk("a", "b")], files=[Path("a.jsonl")]),
        Words(SOMEONE, conversations=[talk("a", "b")] * 50, files=[Path("a.jsonl")]),
        Words(SOMEONE, texts=["one line"], files=[Path("a.txt")]),
        Words(SOMEONE, texts=["The same paragraph again and again.\n\n" * 500], files=[Path("a.txt")]),
        Words(SOMEONE, dialogues=parse_chat("> hi\nHello\n", Path("a.chat"), {}), files=[Path("a.chat")]),
    ],
)
def test_too_little_to_split_says_so(words: Words) -> None:
    with pytest.raises(CorpusError, match="too small to split"):
        split_words(words, 1000, 0)


def test_a_single_long_chat_is_cut_into_stretches() -> None:
    one = talk(*(f"line {n} of the only chat" for n in range(400)))
    split = split_of([one])
    assert len(split.train.conversations) >= 10
    assert split.test.conversations


def test_chains_hold_each_topic_once_and_keep_memories_in_order() -> None:
    dialogues = parse_chat(
        "== name\n> i am {who=names}\nHi {who}.\n...\n> who am i\nYou are {who}.\n\n> who am i\nNobody knows.\n\n"
        "== a\n> a\nA.\n\n== b\n> b\nB.\n\n== c\n@ sys\n> c\nC.\n",
        Path("t.chat"),
        {"names": ("Ana", "Bo")},
    )
    between = 0
    for one in draw_conversations(dialogues, SOMEONE, 20_000, 3):
        said = [message.content for message in one.messages if message.role != "system"]
        replies = said[1::2]
        assert sum(reply in ("Nobody knows.",) or reply.startswith("Hi ") for reply in replies) <= 1
        if "C." in replies:
            assert (one.system, replies) == ("sys", ["C."])
        if any(reply.startswith("You are ") for reply in replies):
            told = next(place for place, reply in enumerate(replies) if reply.startswith("Hi "))
            asked = next(place for place, reply in enumerate(replies) if reply.startswith("You are "))
            assert replies[asked] == f"You are {replies[told][3:]}"
            between += asked > told + 1
    assert between > 10


def test_one_large_document_among_small_ones_is_split() -> None:
    texts = ["Once upon a time. " * 40_000, *(f"Note number {n} says {n * 7}." for n in range(60))]
    for seed in range(5):
        split = split_of([], texts, seed)
        assert texts[0] in split.train.texts
        assert split.validation.texts
        assert split.test.texts
