from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.corpus.chatfile import Dialogue, draw_distinct, parse_chat
from mychat.corpus.messages import Conversation
from mychat.corpus.pattern import (
    Choice,
    Draw,
    Pattern,
    Recall,
    Text,
    count_expansions,
    expand,
    expand_nth,
    matches,
    normalise_blanks,
)
from mychat.errors import SyntaxFault

SLOTS = {"first_name": ("Ana", "Bo", "Jean Paul"), "pet": ("cat", "dog")}
WHERE = Path("talk.chat")


def parse(text: str) -> list[Dialogue]:
    return parse_chat(text, WHERE, SLOTS)


def texts(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


# Random patterns: nested choices, slots, and recalls of names bound before.
words = st.text(st.sampled_from("ab ,.!?\t"), max_size=5)


def patterns(depth: int) -> st.SearchStrategy[Pattern]:
    leaf: st.SearchStrategy[Text | Draw] = st.builds(Text, words) | st.sampled_from(
        [Draw(SLOTS["pet"]), Draw(SLOTS["first_name"], "who")]
    )
    node: st.SearchStrategy[Text | Draw | Choice] = leaf
    if depth:
        inner = patterns(depth - 1)
        node = leaf | st.builds(Choice, st.lists(inner, min_size=2, max_size=3).map(tuple))
    return st.lists(node, max_size=3).map(tuple)


@given(patterns(2), st.integers(0, 2**32))
def test_every_expansion_matches_its_pattern(pattern: Pattern, seed: int) -> None:
    pattern = (Draw(SLOTS["pet"], "it"), Text(" "), *pattern, Text(" "), Recall("it"))
    text = expand(pattern, {}, random.Random(seed))
    assert text == normalise_blanks(text)
    assert matches(pattern, text)
    assert matches(pattern, f"  {text} ")  # blanks around do not matter
    assert not matches(pattern, text + "x")


@settings(max_examples=50)
@given(patterns(1))
def test_numbered_expansions_are_all_of_them(pattern: Pattern) -> None:
    total = count_expansions(pattern)
    if total <= 300:
        numbered = {expand_nth(pattern, index, {}) for index in range(total)}
        drawn = {expand(pattern, {}, random.Random(seed)) for seed in range(100)}
        assert drawn <= numbered
        assert len(numbered) <= total


def test_what_the_design_shows() -> None:
    first, second = parse(
        "# a comment\n== greetings\n> {hi|hello|hey} {there|milo|}\n{Hello!|Hi, I'm Milo.} What's your name?\n"
        "> {i'm|my name is|call me} {name=first_name}\nNice to meet you, {name}!\n\n"
        "> what's {my name|my name again}?\nYou haven't told me yet.\n"
    )
    assert (first.topic, first.line, second.topic, second.line) == ("greetings", 3, "greetings", 8)
    assert first.count() == 3 * 3 * 2 * 3 * 3
    assert second.count() == 2
    assert first.accepts("Nice to meet you, Bo!", 1, {"name": "Bo"})
    assert not first.accepts("Nice to meet you, Bo!", 1, {"name": "Ana"})
    assert first.accepts("Hi, I'm Milo. What's your name?", 0, {})


@pytest.mark.parametrize("n", [1, 5, 107, 108, 500])
def test_drawn_expansions_are_distinct_and_repeatable(n: int) -> None:
    (dialogue,) = parse(
        "> {hi|hello|hey} {there|milo|}\n{Hello!|Hi.} Name?\n> {i'm|my name is|call me} {name=first_name}\n{name}!\n"
    )
    drawn = draw_distinct(dialogue, n, seed=7)
    assert len(drawn) == len(set(drawn)) == min(n, 162)
    assert drawn == draw_distinct(dialogue, n, seed=7)


def test_escapes_topics_system_texts_and_messages_of_several_lines() -> None:
    (dialogue,) = parse("@ Be kind.\n@ Be brief.\n> \\{a\\|b\\} \\\\ \\# \\= \\@ \\>\n> and more\n\\> one\n\\...\n")
    (conversation,) = draw_distinct(dialogue, 5, 0)
    assert texts(conversation) == ["Be kind.\nBe brief.", "{a|b} \\ # = @ >\nand more", "> one\n..."]
    assert dialogue.topic == "talk"


def test_a_name_bound_in_every_alternative_is_bound() -> None:
    (dialogue,) = parse(
        "> {i am {who={|}".replace("{who={|}", "{who=pet}|call me {who=first_name}}") + "\nHello {who}.\n"
    )
    for conversation in draw_distinct(dialogue, 10, 0):
        user, reply = texts(conversation)
        assert reply == f"Hello {user.removeprefix('i am ').removeprefix('call me ')}."


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("> hi {there\nHello\n", 1, 6, "unclosed"),
        ("> hi there}\nHello\n", 1, 11, "'}' without"),
        ("> hi | there\nHello\n", 1, 6, "'|' outside"),
        ("> hi \\there\nHello\n", 1, 6, "lone backslash"),
        ("> hi {only one}\nHello\n", 1, 6, "braces hold"),
        ("> hi\nHello {name}\n", 2, 7, "neither a slot nor a name"),
        ("> hi {name=nobody}\nHello\n", 1, 6, "unknown slot 'nobody'"),
        ("> hi {first_nam}\nHello\n", 1, 6, "did you mean 'first_name'?"),
        ("> {i am {who=pet}|hi}\nHello {who}\n", 2, 7, "neither a slot nor a name"),
        ("Hello\n> hi\n", 1, 1, "starts with the user"),
        ("> hi\nHello\n> bye\n", 3, 1, "ends with the user"),
        ("> hi\n\n> bye\nBye\n", 1, 1, "ends with the user"),
        ("==\n> hi\nHello\n", 1, 3, "needs a name"),
        ("> hi\n@ late\nHello\n", 2, 1, "before the first user line"),
        ("> hi\n...\nHello\n", 2, 1, "between a reply and a user line"),
        ("> hi\nHello\n...\nAgain\n", 4, 1, "comes after '...'"),
        ("> hi\nHello\n...\n\n", 4, 1, "comes after '...'"),
        ("@ alone\n\n> hi\nHello\n", 1, 1, "without a dialogue"),
    ],
)
def test_a_broken_line_is_named(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(SyntaxFault) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column), str(caught.value)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"talk.chat:{line}:{column}: ")


@given(st.text(st.sampled_from("> {}|=#@\\.ab\n\t"), max_size=60))
def test_any_text_parses_or_names_its_fault(text: str) -> None:
    try:
        dialogues = parse(text)
    except SyntaxFault as fault:
        assert 1 <= fault.line <= text.count("\n") + 1
        assert fault.column >= 1
    else:
        for dialogue in dialogues:
            conversation, bindings = dialogue.expand(random.Random(0))
            replies = [message.content for message in conversation.messages if message.role == "assistant"]
            for turn, reply in enumerate(replies):
                assert dialogue.accepts(reply, turn, bindings[turn])


def test_many_ambiguous_alternatives_match_quickly() -> None:
    (dialogue,) = parse("> hi\n" + "{a|aa|}" * 60 + "\n")
    assert dialogue.accepts("a" * 100, 0, {})
    assert not dialogue.accepts("a" * 100 + "b", 0, {})
