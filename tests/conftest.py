"""Parts that many tests share: a small persona, and a real model trained on it in seconds."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: tiny models, and the workers share the cores
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

from dataclasses import replace
from pathlib import Path

import pytest

from mychat.config import TrainSettings
from mychat.events import TrainEvent
from mychat.train.pipeline import train
from mychat.train.request import TrainRequest

ROOT = Path(__file__).resolve().parent.parent

PERSONA = """\
name = "pip"
display_name = "Pip"
greeting = "Hello from Pip."
description = ["My name is Pip.", "I am very small."]
credits = ["Pip's own diary"]

[sampling]
temperature = 0.5

[slots]
first_name = ["Ana", "Ben", "Kofi", "Mei"]
"""
DIALOGUES = """\
== greetings
> {hi|hello|hey|hi there|hello you|good day}
{Hello!|Hi.} I am Pip.

== name
> {what's your name|what is your name|your name please|tell me your name|who are you}?
My name is Pip.

== memory
> {my name is|i'm|call me|i am} {name=first_name}
Nice to meet you, {name}!
...
> {what's my name|what is my name|do you know my name|say my name}?
You are {name}.
"""
QUICK = TrainSettings(
    steps=40, size="nano", context_length=64, batch_tokens=256, vocab_size=300, validations=2, precision="fp32"
)  # in fp32 whatever the machine, so that losses can be compared


def write_persona(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "persona.toml").write_text(PERSONA, "utf-8")
    (folder / "talk.chat").write_text(DIALOGUES, "utf-8")
    return folder


def run(request: TrainRequest) -> list[TrainEvent]:
    return list(train(request))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the input history, and names without a path, away from this machine's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MYCHAT_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MYCHAT_PERSONAS", str(tmp_path / "personas"))
    for name in [name for name in os.environ if name.startswith("MYCHAT_DEVICE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def persona_folder(tmp_path: Path) -> Path:
    return write_persona(tmp_path / "pip")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the small persona, trained for real."""
    home = tmp_path_factory.mktemp("tiny")
    settings = replace(QUICK, steps=200)
    run(TrainRequest("train", [write_persona(home / "pip")], home / "pip-model", settings))
    return home / "pip-model"


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that continues text."""
    home = tmp_path_factory.mktemp("tiny-text")
    words = home / "notes.txt"
    words.write_text("\n\n".join(f"Note {n}: the {w} is on the table." for n, w in enumerate(["cat", "cup"] * 60)))
    run(TrainRequest("pretrain", [words], home / "text-model", QUICK))
    return home / "text-model"
