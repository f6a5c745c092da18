"""A persona sets out from the base model where that fits, and goes on practising what the base model knows."""

from __future__ import annotations

import json
import lzma
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.config import PRESETS, checkpoints_folder
from mychat.corpus.compose import CHAINED
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.replay import REPLAY_FILE, load_replay, mixed_in
from mychat.errors import ConfigError, CorpusError
from mychat.evaluate.evaluate import evaluate
from mychat.events import Notice, Planned, Stepped
from mychat.model.checkpoint import load_checkpoint
from mychat.train.pipeline import train
from mychat.train.recipe import CHAINED_FROM_BASE, LEARNING_RATE_ON, MATRIX_RATE_ON, size_like
from mychat.train.request import make_request
from tests.conftest import run


@pytest.fixture
def base(tiny: Path) -> Path:
    """A base model where names are looked up first, with something to practise."""
    folder = checkpoints_folder() / "base-en"
    shutil.copytree(tiny, folder)
    said = [{"role": "user", "content": f"what is {n}?"} for n in range(3)]
    lines = [json.dumps({"messages": [one, {"role": "assistant", "content": "a number"}]}) for one in said]
    (folder / REPLAY_FILE).write_bytes(lzma.compress("\n".join(lines).encode()))
    return folder


def started(source: Path, **options: Any) -> tuple[list[str], Any]:
    request = make_request(
        "train", [str(source)], options.pop("parent", None), {"out": str(source) + "-out"} | options, 0.0
    )
    request = replace(request, settings=replace(request.settings, steps=options.get("steps", 2)))
    events = run(request)
    return [event.text for event in events if isinstance(event, Notice)], load_checkpoint(request.out)


def test_a_persona_starts_from_the_base_model(base: Path, persona_folder: Path, tmp_path: Path) -> None:
    notices, made = started(persona_folder)
    assert any(f"starting from {base}" in text for text in notices)
    parent = load_checkpoint(base)
    assert made.record["parent"] == "base-en"
    assert made.config == parent.config
    assert made.record["credits"] == ["Pip's own diary"]  # its own and the base model's, once
    assert "- Pip's own diary" in (tmp_path / "pip-out" / "README.md").read_text("utf-8")
    assert made.tokenizer.vocab_size == parent.tokenizer.vocab_size
    recipe = made.record["recipe"]
    assert (recipe["learning_rate"], recipe["matrix_learning_rate"]) == (LEARNING_RATE_ON, MATRIX_RATE_ON)
    assert made.record["data"]["chained"] == CHAINED_FROM_BASE > CHAINED
    again = evaluate(made, [persona_folder]).metrics  # of the very split that it was trained on
    assert again == pytest.approx(made.record["metrics"], rel=0.03)  # it measured in bf16


def test_texts_beside_the_dialogues_are_learnt_too(base: Path, persona_folder: Path) -> None:
    _, made = started(persona_folder)
    assert [stage["name"] for stage in made.record["stages"]] == ["finetune"]
    story = "\n\n".join(f"Day {n}: Pip sat on the table and was very small." for n in range(60))
    (persona_folder / "story.txt").write_text(story, "utf-8")
    _, made = started(persona_folder, force=True, steps=20)
    assert [stage["name"] for stage in made.record["stages"]] == ["pretrain", "finetune"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"size": "micro"}, "size micro is not that of the model to start from (nano)"), ({"parent": "scratch"}, "")],
)  # fmt: skip
def test_it_does_without_when_something_else_is_asked_for(
    base: Path, persona_folder: Path, options: dict[str, str], reason: str
) -> None:
    notices, made = started(persona_folder, **options)
    assert any(reason in text for text in notices if "from scratch" in text) == bool(reason)
    assert made.record["parent"] is None


def test_the_same_size_keeps_the_base_model_and_another_refuses_a_named_one(
    base: Path, persona_folder: Path, tmp_path: Path
) -> None:
    _, made = started(persona_folder, size="nano")
    assert made.record["parent"] == "base-en"
    with pytest.raises(ConfigError, match="size micro is not that of the model to start from"):
        started(persona_folder, size="micro", parent="base-en", out=str(tmp_path / "other"))


def test_a_stopped_run_goes_on_from_where_it_set_out(tiny: Path, persona_folder: Path, tmp_path: Path) -> None:
    """A base model that turned up meanwhile changes nothing."""
    options = {"out": str(tmp_path / "made"), "steps": 6, "size": "nano"}
    request = make_request("train", [str(persona_folder)], "scratch", options, 0.0)
    events = train(replace(request, parent_by_default=True))
    next(event for event in events if isinstance(event, Stepped))
    events.close()  # type: ignore[attr-defined]
    shutil.copytree(tiny, checkpoints_folder() / "base-en")
    run(make_request("train", [str(persona_folder)], None, options | {"resume": True}, 0.0))
    assert load_checkpoint(tmp_path / "made").record["parent"] is None


def test_words_of_another_language_and_plain_text_start_from_scratch(base: Path, tmp_path: Path) -> None:
    lamp = tmp_path / "lamp.chat"
    lamp.write_text(
        "> {你好|您好|晚上好|嗨}\n你好，我是小灯。\n\n> {你是谁|你叫什么|请问你是谁|你的名字}\n我叫小灯。\n", "utf-8"
    )
    notices, made = started(lamp)
    assert any("does not speak the language" in text for text in notices)
    assert made.record["parent"] is None
    notes = tmp_path / "notes.txt"
    notes.write_text("\n\n".join(f"Note {n}: nothing new today, it rains again." for n in range(80)), "utf-8")
    notices, made = started(notes)
    assert "starting from scratch: plain text" in notices


def test_what_the_base_model_knows_is_practised(base: Path, persona_folder: Path) -> None:
    def conversations(share: float) -> int:
        request = make_request("train", [str(persona_folder)], None, {"out": str(base) + f"-{share}", "steps": 1}, 0.0)
        request = replace(request, settings=replace(request.settings, replay_share=share), plan_only=True)
        return next(event.train_tokens for event in run(request) if isinstance(event, Planned))

    without, half = conversations(0.0), conversations(0.5)
    assert half > 1.5 * without


said = st.lists(st.text("ab ", min_size=1, max_size=30), max_size=20).map(
    lambda lines: [Conversation((Message("user", line), Message("assistant", line))) for line in lines]
)


@given(said, said, st.floats(0, 0.9))
def test_the_share_that_is_practised_is_what_was_asked_for(
    replay: list[Conversation], own: list[Conversation], share: float
) -> None:
    def chars(some: list[Conversation]) -> int:
        return sum(len(message.content) for one in some for message in one.messages)

    taken = mixed_in(replay, own, share)
    wanted = share / (1 - share) * chars(own) if replay else 0
    assert wanted - 1e-6 <= chars(taken) <= wanted + 60


def test_what_is_held_out_is_not_practised() -> None:
    one, other = (Conversation((Message("user", line), Message("assistant", "yes"))) for line in ("Who are you?", "hi"))
    assert set(mixed_in([one, other], [other] * 9, 0.5, {"who are you"})) == {other}
    assert mixed_in([one], [other], 0.5, {"who are you"}) == []


def test_nothing_to_practise_is_no_fault_and_a_broken_file_is(tmp_path: Path) -> None:
    assert load_replay(tmp_path) == []
    for content, problem in ((lzma.compress(b"{"), r"replay\.jsonl\.xz:1"), (b"{", r"cannot read .*replay\.jsonl\.xz")):
        (tmp_path / REPLAY_FILE).write_bytes(content)
        with pytest.raises(CorpusError, match=problem):
            load_replay(tmp_path)


@pytest.mark.parametrize("size", PRESETS)
def test_a_size_is_like_itself_with_any_vocabulary(size: str) -> None:
    assert size_like(PRESETS[size].model(300)) == size
    assert size_like(replace(PRESETS[size].model(50_000), n_layer=PRESETS[size].n_layer + 1)) == size
