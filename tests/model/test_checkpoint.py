from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import CheckpointError
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint, save_checkpoint
from mychat.model.folder import recover, sha256_of
from mychat.model.record import find_checkpoint
from mychat.tokenizer.chat_format import ChatFormat
from tests.conftest import ROOT

TALK = [
    Message("system", "Be kind."),
    Message("user", "hi"),
    Message("assistant", "Hello!"),
    Message("user", "who are you?"),
]


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.mark.parametrize("which", ["tiny", "shipped"])
def test_transformers_opens_the_folder_as_it_stands(tiny: Path, which: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny if which == "tiny" else ROOT / "checkpoints" / "milo"
    checkpoint = load_checkpoint(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        their_tokenizer = AutoTokenizer.from_pretrained(folder)
    engine = Engine(checkpoint)
    ids = engine.prompt_ids(TALK)

    turns = [{"role": message.role, "content": message.content} for message in TALK]
    rendered = their_tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert list(rendered) == ids
    text = "Naïve cats, 你好 👍🏽\n\n  two  spaces it's 2026"
    assert their_tokenizer.encode(text, add_special_tokens=False) == checkpoint.tokenizer.encode(text)
    assert their_tokenizer.decode(checkpoint.tokenizer.encode(text)) == text

    with torch.inference_mode():
        prompt = torch.tensor([ids])
        assert (theirs(prompt).logits - engine.model(prompt)).abs().max() < 1e-4
        options = SamplingOptions(temperature=0, max_new_tokens=20)
        *_, end = engine.reply(TALK, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = theirs.generate(
                prompt,
                max_new_tokens=20,
                do_sample=False,
                repetition_penalty=1.0,
                attention_mask=torch.ones_like(prompt),
            )
    new = said[0, len(ids) :].tolist()
    end_id = ChatFormat(checkpoint.tokenizer).end
    assert list(end.ids) == (new[: new.index(end_id)] if end_id in new else new)


def test_saved_and_loaded_is_the_same(tiny: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    save_checkpoint(tmp_path / "again", checkpoint)
    again = load_checkpoint(tmp_path / "again")
    assert again.config == checkpoint.config
    assert again.persona == checkpoint.persona
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in checkpoint.weights.items())


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "tokenizer.json", "persona.toml", "generation_config.json", "mychat.json"],
)
def test_a_missing_truncated_or_edited_file_is_named(copied: Path, name: str) -> None:
    whole = (copied / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole.replace(b"0", b"1", 1) if name != "mychat.json" else b"[]"):
        (copied / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=name) as caught:
            load_checkpoint(copied)
        assert "\n" not in str(caught.value)
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}: missing"):
        load_checkpoint(copied)


def edit_and_sign(folder: Path, name: str, content: str) -> None:
    """Change a file and record its new SHA-256, so that only its meaning is wrong."""
    (folder / name).write_text(content)
    record = json.loads((folder / "mychat.json").read_text())
    record["sha256"][name] = sha256_of(folder / name)
    (folder / "mychat.json").write_text(json.dumps(record))


def test_parts_of_two_checkpoints_do_not_mix(copied: Path, tiny_text: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    assert load_checkpoint(tiny_text).config.vocab_size != config["vocab_size"]
    tokenizer = (copied / "tokenizer.json").read_text()
    edit_and_sign(copied, "tokenizer.json", (tiny_text / "tokenizer.json").read_text())
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_checkpoint(copied)
    edit_and_sign(copied, "tokenizer.json", tokenizer)
    assert load_checkpoint(copied).config.n_layer == config["num_hidden_layers"]
    config["num_hidden_layers"] += 1
    edit_and_sign(copied, "config.json", json.dumps(config))
    with pytest.raises(CheckpointError, match=r"layers\.\d\.\S+ is absent"):
        load_checkpoint(copied)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'milo'"):
        find_checkpoint("mild")
    with pytest.raises(CheckpointError, match=r"not a checkpoint \(no config.json in it\)"):
        find_checkpoint(str(ROOT / "docs"))


def test_a_replacement_that_fails_leaves_the_old_one(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = load_checkpoint(copied)
    before = (copied / "mychat.json").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(copied, checkpoint)
    assert (copied / "mychat.json").read_bytes() == before
    assert [child.name for child in copied.parent.iterdir()] == ["copy"]


def test_a_replacement_cut_between_its_renames_is_finished(copied: Path) -> None:
    copied.rename(copied.with_name(".copy.old"))
    recover(copied)
    assert load_checkpoint(copied).config
