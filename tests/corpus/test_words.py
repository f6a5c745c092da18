from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mychat.config import SAMPLING_NAMES
from mychat.corpus.augment import Typing, vary_typing
from mychat.corpus.cleaning import clean_text, read_text
from mychat.corpus.jsonl import iter_jsonl
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.persona import Persona, load_persona, render_persona
from mychat.corpus.starter import Sketch, new_persona
from mychat.corpus.words import load_words
from mychat.errors import ConfigError, CorpusError, MychatError, SyntaxFault

ASKED, ANSWERED = Message("user", "hi"), Message("assistant", "hello")


def read(path: Path, *records: Any) -> list[Conversation | str]:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in records), "utf-8")
    return list(iter_jsonl(path))


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": "hello"},
            ]
        },
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"conversations": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "id": 3},
        {"instruction": "hi", "input": "", "output": "hello"},
    ],
)
def test_the_forms_data_sets_come_in(tmp_path: Path, record: dict[str, Any]) -> None:
    assert read(tmp_path / "a.jsonl", record) == [Conversation((ASKED, ANSWERED))]


def test_texts_systems_and_joined_speakers(tmp_path: Path) -> None:
    system = {"role": "developer", "content": "Be brief."}
    found = read(
        tmp_path / "a.jsonl",
        {"text": "Once upon\u2028a time"},
        "",
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, system,
                      {"role": "assistant", "content": "c"}, {"role": "user", "content": "nobody answers"}]},
        {"instruction": "add", "input": "1 and 2", "output": "3"},
    )  # fmt: skip
    assert isinstance(found[0], str)
    assert found[1] == Conversation(
        (Message("system", "Be brief."), Message("user", "a\nb"), Message("assistant", "c"))
    )
    assert found[2] == Conversation((Message("user", "add\n1 and 2"), Message("assistant", "3")))


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ('{"text": "a"', 13, "not valid JSON"),
        ("[1]", 1, "one JSON object"),
        ("{}", 1, "none of the known forms"),
        ('{"text": 3}', 1, "text must be a text"),
        ('{"messages": "hi"}', 1, "must be a list"),
        ('{"messages": ["hi"]}', 1, "messages[0] must be an object"),
        ('{"messages": [{"role": "wizard", "content": "hi"}]}', 1, "unknown role 'wizard'"),
        ('{"messages": [{"role": "user"}]}', 1, "messages[0].content must be a text"),
        ("[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_a_broken_record_names_its_line(tmp_path: Path, line: str, column: int, problem: str) -> None:
    with pytest.raises(SyntaxFault) as caught:
        read(tmp_path / "a.jsonl", {"text": "fine"}, line)
    assert (caught.value.line, caught.value.column) == (2, column)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "conversations", "role", "content", "from", "value", "text", "instruction", "output"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=json_values)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    try:
        found = read(path, json.dumps(value))
    except CorpusError:
        return
    for one in found:
        if isinstance(one, Conversation) and one.messages:
            assert one.messages[-1].role == "assistant"


@given(st.text())
@example("\x9dÂ\x83")
def test_cleaning_is_stable_and_leaves_no_control(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert not any(ord(char) < 32 and char not in "\n\t" for char in cleaned)
    assert "\u202e" not in cleaned


def test_cleaning_repairs_what_software_did() -> None:
    assert clean_text("it\u2019s \u201cfine\u201d\r\n\x1b[31mred\u200b") == 'it\'s "fine"\nred'
    assert clean_text("schÃ¶n") == "schön"
    assert clean_text("你好！👩‍👩‍👧") == "你好！👩‍👩‍👧"


NEVER = Typing(0, 0, 0, 0, 0, 0)
typed_lines = st.lists(
    st.sampled_from(["what's", "Ana", "is", "the", "kids", "Movie?", "you", "what", "cat", "a", "灯", "Big", "to"]),
    max_size=8,
)
randoms = st.randoms(use_true_random=False)


def core(text: str) -> list[str]:
    return ["".join(char for char in word.casefold() if char.isalnum()) for word in text.split()]


@given(typed_lines, randoms)
def test_typing_never_varies_what_was_told(words: list[str], rng: Any) -> None:
    after = vary_typing(" ".join(words), rng, {"Ana"}, Typing(1, 1, 1, 1, 1, 1))
    assert core(after).count("ana") == words.count("Ana")
    assert vary_typing(" ".join(words), rng, {"Ana"}, NEVER) == " ".join(words)


@given(typed_lines, randoms)
def test_each_way_of_typing_changes_its_own_thing_only(words: list[str], rng: Any) -> None:
    text = " ".join(words)
    before = core(text)

    def typed(way: str, language: str = "en") -> str:
        return vary_typing(text, rng, (), replace(NEVER, **{way: 1.0}), language=language)

    assert core(typed("case")) == before
    assert core(typed("end").removesuffix(" :)")) == before
    assert core(typed("drop")) in [before] * (len(words) < 4) + [
        before[:place] + before[place + 1 :] for place in range(len(before))
    ] + [before] * (not before)
    slipped = core(typed("typo"))
    assert len(slipped) == len(before)
    assert sum(one != other for one, other in zip(slipped, before, strict=True)) <= 1
    exchanged = typed("synonym").split()
    assert len(exchanged) >= len(words)
    for way in ("synonym", "contraction"):
        assert typed(way, "de") == text


def test_synonyms_and_short_forms_are_typed() -> None:
    ways = {vary_typing("what's a big movie", random.Random(n), (), Typing(0, 1, 1, 0, 0, 0)) for n in range(200)}
    assert {"what is a large movie", "what's a big film", "whats a big film"} <= ways


def test_chinese_is_typed_in_its_own_ways() -> None:
    ways = {
        vary_typing("我叫小可的可", random.Random(n), {"小可"}, Typing(0.5, 1, 0.5, 1, 1, 0.5), language="zh")
        for n in range(400)
    }
    assert {"我叫小可可", "请问我叫小可的可", "我叫小可的可呢", "我叫小可的可？"} <= ways
    assert all("小可" in line for line in ways)


def test_bad_bytes_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nnot \xff fine")
    with pytest.raises(CorpusError, match=r"a\.txt:2:5: not UTF-8 \(byte 0xff\)"):
        read_text(tmp_path / "a.txt")


simple = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12).filter(
    str.strip
)


slot_tables = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.lists(simple, min_size=1, max_size=3), max_size=4
)


@given(simple, st.lists(simple, max_size=3), slot_tables)
def test_persona_files_round_trip(
    tmp_path_factory: pytest.TempPathFactory, name: str, facts: list[str], slots: dict[str, list[str]]
) -> None:
    def tidy(text: str) -> str:
        return " ".join(clean_text(text).split())

    name, facts = tidy(name) or "x", [tidy(fact) or "x" for fact in facts]
    persona = Persona(
        name=name,
        display_name=name,
        description=tuple(facts),
        credits=tuple(facts),
        sampling={"temperature": 0.5},
        slots={key: tuple(tidy(word) or "x" for word in words) for key, words in slots.items()},
    )
    path = tmp_path_factory.mktemp("persona") / "persona.toml"
    path.write_text(render_persona(persona), "utf-8")
    assert load_persona(path, SAMPLING_NAMES) == persona


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("display_nam = 'x'", "unknown key 'display_nam'; did you mean 'display_name'?"),
        ("[sampling]\ntemprature = 1", "unknown key 'temprature'; did you mean 'temperature'?"),
        ("[sampling]\ntemperature = 'hot'", "temperature must be a number"),
        ("name = 3", "name must be a text"),
        ("description = 'x'", "description must be a list"),
        ("[slots]\npet = []", "slot 'pet' is empty"),
        ("slots = 3", "slots must be a table"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_broken_persona_file_is_named(tmp_path: Path, toml: str, problem: str) -> None:
    path = tmp_path / "persona.toml"
    path.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load_persona(path, SAMPLING_NAMES)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_words_of_every_kind_come_together(persona_folder: Path) -> None:
    (persona_folder / "more.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n'
        '{"messages": [{"role": "user", "content": "anyone?"}]}\n{"text": "Once."}\n'
    )
    (persona_folder / "story.txt").write_text("There was a cat.\n")
    words = load_words([persona_folder], SAMPLING_NAMES)
    assert words.persona.display_name == "Pip"
    assert (len(words.dialogues), len(words.conversations), len(words.texts), words.skipped) == (3, 1, 2, 1)
    before = words.fingerprint()
    (persona_folder / "story.txt").write_text("There was a dog.\n")
    assert load_words([persona_folder], SAMPLING_NAMES).fingerprint() != before


@pytest.mark.parametrize("name", ["missing.txt", "empty", "empty.txt", "empty.jsonl", "empty.chat", "picture.png"])
def test_nothing_to_read_is_one_clear_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name != "missing.txt":
        path.write_text("\n")
    with pytest.raises(CorpusError) as caught:
        load_words([path], SAMPLING_NAMES)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_new_persona_parses(tmp_path: Path) -> None:
    new_persona(tmp_path, "luna", Sketch("Luna O'Hara", "a {moon} | keeper", "on the moon", facts=("I glow.",)))
    words = load_words([tmp_path / "luna"], SAMPLING_NAMES)
    assert words.persona.description == (
        "My name is Luna O'Hara.", "I am a {moon} | keeper.", "I live on the moon.", "I glow.",
    )  # fmt: skip
    assert len(words.dialogues) == 9
    who = next(one for one in words.dialogues if one.topic == "who")
    assert who.accepts("I am a {moon} | keeper.", 0, {})
    with pytest.raises(CorpusError, match="exists already"):
        new_persona(tmp_path, "luna", Sketch())


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "-x"])
def test_a_new_persona_needs_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(MychatError):
        new_persona(tmp_path, name, Sketch())
    assert list(tmp_path.iterdir()) == []


def test_quotes_of_every_kind_survive_in_a_persona_file(tmp_path: Path) -> None:
    persona = Persona(
        name="talk \u201cA\u201d", display_name='The "Boss"', greeting="She said \u201chello\u201d\u2028there"
    )
    path = tmp_path / "persona.toml"
    path.write_text(render_persona(persona), "utf-8")
    loaded = load_persona(path, SAMPLING_NAMES)
    assert (loaded.name, loaded.greeting) == ('talk "A"', 'She said "hello" there')
