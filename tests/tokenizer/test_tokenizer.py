from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.corpus.messages import ROLES, Conversation, Message
from mychat.errors import CheckpointError, ConfigError, MychatError
from mychat.tokenizer.bpe import MARKERS, StreamDecoder, Tokenizer, load_tokenizer, train_tokenizer
from mychat.tokenizer.chat_format import ChatFormat
from mychat.tokenizer.train import train_files


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(["Hello there, how are you? <|user|> 你好 naïve 👍🏽\n" * 3, "the cat and the cup"], 400)


def stream(ids: list[int]) -> list[str]:
    decoder = StreamDecoder(tokenizer())
    return [*map(decoder.push, ids), decoder.finish()]


def marker_ids() -> set[int]:
    return {tokenizer().marker(name) for name in MARKERS}


any_text = st.text() | st.lists(st.sampled_from([*MARKERS, "hi", "<|", "|>", " ", "\n", "user", "你"])).map("".join)
messages = st.lists(st.builds(Message, st.sampled_from(ROLES[1:]), any_text, st.booleans()), max_size=5)


@given(any_text)
def test_any_text_round_trips_and_is_never_a_marker(text: str) -> None:
    ids = tokenizer().encode(text)
    assert tokenizer().decode(ids) == text
    assert not set(ids) & marker_ids()
    assert tokenizer().encode_batch([text, "x"])[0] == ids


@given(any_text)
def test_streaming_never_splits_a_character(text: str) -> None:
    deltas = stream(tokenizer().encode(text))
    assert "".join(deltas) == text
    assert all("\ufffd" not in delta for delta in deltas) or "\ufffd" in text


@given(st.lists(st.integers(0, 300)))
def test_streaming_any_ids_equals_decoding_them(ids: list[int]) -> None:
    assert "".join(stream(ids)) == tokenizer().decode(ids)


@given(st.none() | any_text, messages, st.booleans())
def test_a_rendered_conversation(system: str | None, said: list[Message], asking: bool) -> None:
    chat_format = ChatFormat(tokenizer())
    before = [Message("system", system)] if system is not None else []
    rendered = chat_format.render([*before, *said], generation_prompt=asking)
    assert len(rendered.ids) == len(rendered.loss_mask)
    # Markers stand exactly where the format puts them, whatever the texts hold.
    markers = [id_ for id_ in rendered.ids if id_ in marker_ids()]
    expected = [chat_format.bos]
    for message in [*before, *said]:
        expected += [chat_format.role[message.role], chat_format.end]
    assert markers == expected + [chat_format.role["assistant"]] * asking
    # The mask is on the assistant's scored words and their end, nowhere else.
    trained = [id_ for id_, mask in zip(rendered.ids, rendered.loss_mask, strict=True) if mask]
    wanted: list[int] = []
    for message in said:
        if message.role == "assistant" and message.scored:
            wanted += [*tokenizer().encode(message.content), chat_format.end]
    assert trained == wanted


@given(messages, st.integers(20, 80))
def test_windows_hold_every_turn_once_and_repeat_the_system_text(said: list[Message], limit: int) -> None:
    chat_format = ChatFormat(tokenizer())
    conversation = Conversation((Message("system", "be kind"), *said))
    windows = chat_format.render_windows([conversation], limit)
    start = chat_format.render([conversation.messages[0]]).ids
    assert all(window.ids[: len(start)] == start for window in windows)
    rest = [id_ for window in windows for id_ in window.ids[len(start) :]]
    assert rest == chat_format.render(conversation.messages).ids[len(start) :]
    users = chat_format.role["user"]
    for window in windows:
        assert len(window.ids) <= limit or window.ids[len(start) + 1 :].count(users) == 0


def test_a_vocabulary_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="262"):
        train_tokenizer(["a"], 100)
    assert train_tokenizer(["a"], 262).vocab_size == 262


def test_files_to_a_folder_and_back(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 50)
    trained = train_files([tmp_path / "a.txt"], 300, tmp_path / "out")
    loaded = load_tokenizer(tmp_path / "out")
    assert loaded.encode("the cat <|end|>") == trained.tokenizer.encode("the cat <|end|>")
    with pytest.raises(MychatError, match="exists already"):
        train_files([tmp_path / "a.txt"], 300, tmp_path / "out")
    (tmp_path / "out" / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        load_tokenizer(tmp_path / "out")
