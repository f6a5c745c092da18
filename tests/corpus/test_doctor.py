"""The doctor finds what it is there for, and says where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mychat.config import SAMPLING_NAMES, TrainSettings
from mychat.corpus.doctor import examine
from mychat.corpus.starter import Sketch, new_persona
from mychat.corpus.words import load_words
from mychat.errors import CorpusError
from mychat.train.checkup import check_up

GOOD = """\
== hello
> {hi|hello|hey|good day|greetings|howdy}
{Hello!|Hi there.}

== name
> {what's your name|who are you|your name please|tell me your name|do you have a name|what do they call you}?
{I'm Pip.|Pip.}
"""


def _found(folder: Path, chat: str, toml: str = 'name = "pip"\n') -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "persona.toml").write_text(toml, "utf-8")
    (folder / "talk.chat").write_text(chat, "utf-8")
    checkup = examine(load_words([folder], SAMPLING_NAMES))
    return [f"{one.where.removeprefix(str(folder) + '/')}: {one.kind}: {one.text}" for one in checkup.findings]


@pytest.mark.parametrize(
    ("chat", "where", "what"),
    [
        (GOOD + "\n== pets\n> {hello|have you a cat|a dog}\nNo.\n", "talk.chat:10: problem", "'hello' is asked here"),
        (GOOD + "\n== more\n> {who are they|they who|they}\nPeople.\n", "talk.chat:10: advice", "asked in 3 ways"),
        (GOOD + "\n== more\n> what is rain?\nWater.\n", "talk.chat:10: problem", "asked in 1 way"),
        (GOOD + "\n== x\n> {a b c|d|e|f|g|h|d}\nYes.\n", "talk.chat:10: advice", "'d' stands here twice"),
        (GOOD + "\n== x\n> {you are who|d|e|f|g|h}\nWho knows.\n", "talk.chat:10: advice", "is nearly 'who are you'"),
        (GOOD + "\n== x\n> {q\u202e|d|e|f|g|h}\nYes.\n", "talk.chat:10: problem", "U+202E (right-to-left override)"),
    ],
)  # fmt: skip
def test_each_fault_is_found_where_it_stands(tmp_path: Path, chat: str, where: str, what: str) -> None:
    found = _found(tmp_path / "pip", chat)
    assert any(line.startswith(where) and what in line for line in found), found


def test_every_alternative_of_a_long_line_is_looked_at(tmp_path: Path) -> None:
    """Two alternatives of the second line say the same, among 20 x 40."""
    firsts, seconds = "|".join(f"a{n}" for n in range(20)), "|".join(f"b{n}" for n in range(40))
    chat = f"{GOOD}\n== long\n> {{{firsts}}} {{{seconds}|B7}}\nYes.\n"
    assert any("stands here twice" in line for line in _found(tmp_path / "pip", chat))


def test_a_reply_that_follows_everything_swamps_the_rest(tmp_path: Path) -> None:
    questions = [f"== t{number}\n> {{a{number}|b{number}|c{number}}}\nWell, who knows?\n" for number in range(8)]
    found = _found(tmp_path / "pip", "\n".join([GOOD, *questions]))
    swamped = [line for line in found if "'Well, who knows?' is" in line]
    assert len(swamped) == 1
    assert "of all replies" in swamped[0]


def test_unused_slots_are_found_and_used_ones_are_not(tmp_path: Path) -> None:
    toml = 'name = "pip"\n[slots]\ncity = ["Rome", "Oslo"]\nfood = ["rice"]\n'
    found = _found(tmp_path / "pip", GOOD + "\n== x\n> {i live in {c=city}|d|e|f|g|h}\nFine.\n", toml)
    assert [line for line in found if "slot '" in line] == [
        "persona.toml:4: advice: slot 'food' is used nowhere; remove it, or write {food}"
    ]


def test_conversations_are_found_by_file_and_line(tmp_path: Path) -> None:
    def line(question: str, reply: str) -> str:
        said = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
        return json.dumps({"messages": said})

    lines = [line(f"and {n}?", "Well, who knows?") for n in range(8)] + [line("hi", "Hello."), line("Hi!", "hello")]
    (tmp_path / "talk.jsonl").write_text("\n".join(lines), "utf-8")
    found = {one.where: one.text for one in examine(load_words([tmp_path / "talk.jsonl"], SAMPLING_NAMES)).findings}
    assert "'Well, who knows?' is 80% of all replies" in found[f"{tmp_path}/talk.jsonl:1"]
    assert f"the same conversation as at {tmp_path}/talk.jsonl:9" in found[f"{tmp_path}/talk.jsonl:10"]


def test_one_who_talks_all_the_time_is_unbalanced(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "Because " + "so " * 100}]
    (tmp_path / "talk.jsonl").write_text("\n".join(json.dumps({"messages": said}) for _ in range(40)), "utf-8")
    found = examine(load_words([tmp_path / "talk.jsonl"], SAMPLING_NAMES)).findings
    assert any("the assistant says" in one.text for one in found)


def test_the_check_up_counts_tokens_and_parameters(tmp_path: Path) -> None:
    new_persona(tmp_path, "luna", Sketch())
    checkup = check_up(str(tmp_path / "luna"), TrainSettings(minutes=1.0))
    assert checkup.counts["topics"] == 7
    assert 100 < checkup.counts["tokens"] < 5_000
    assert checkup.counts["parameters"] > 100_000
    assert any("dialogues: it will know nothing else" in one.text for one in checkup.findings)
    assert checkup.problems


def test_words_too_few_to_split_are_a_finding_and_missing_ones_an_error(tmp_path: Path) -> None:
    found = tmp_path / "tiny"
    _found(found, "> hi\nHello.\n")
    assert any("too small to split" in one.text for one in check_up(str(found), TrainSettings()).findings)
    with pytest.raises(CorpusError):
        check_up(str(tmp_path / "nothing.chat"), TrainSettings())
