"""What the documents and Milo say exists does exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from typer.main import get_command

from mychat.cli import bench, chat, evaluate, info, persona, replay, sample, tokenizer, train, tune
from mychat.cli.app import app
from mychat.cli.examples import EXAMPLES
from mychat.config import SAMPLING_NAMES, TrainSettings
from mychat.corpus.words import load_words
from mychat.terminal.slash import COMMANDS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def commands() -> set[str]:
    for module in (train, tune, chat, sample, replay, evaluate, info, persona, tokenizer, bench):
        module.register(app)
    found = set()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        found |= {f"{name} {inner}" for inner in getattr(command, "commands", {})} or {name}
    return found


def mentioned(text: str) -> Iterator[str]:
    """Yield `command subcommand` for every `mychat ...` in a text."""
    for first, second in re.findall(r"\bmychat ([a-z]+)(?: ([a-z]+))?", text):
        yield f"{first} {second}".strip()


def known(name: str, commands: set[str]) -> bool:
    """A command, one with arguments after it, or the name of a group."""
    singles = {one for one in commands if " " not in one}
    groups = {one.split()[0] for one in commands if " " in one}
    return name in commands or name.split()[0] in singles or name in groups


def test_every_command_is_in_the_readme(commands: set[str]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in commands:
        group, _, inner = name.partition(" ")
        row = next(
            (line for line in readme.splitlines() if line.startswith("| `mychat") and f"mychat {group}" in line), ""
        )
        assert f"mychat {group}" in row, name
        assert inner in row, name
    chat_page = (ROOT / "docs" / "chat.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"`/{command.name}" in chat_page
    for option in SAMPLING_NAMES:
        assert f"`{option}`" in chat_page


def test_every_command_has_examples_that_can_be_typed(commands: set[str]) -> None:
    for name, rows in EXAMPLES.items():
        assert name in commands
        for example, _ in rows:
            _, *words = shlex.split(example.rpartition("| ")[2])
            command = get_command(app)
            for word in name.split():
                command = command.commands[word]  # type: ignore[attr-defined]
            command.make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize("name", ["README.md", "docs/chat.md", "docs/personas.md", "docs/training.md"])
def test_the_documents_name_no_command_that_is_not_there(name: str, commands: set[str]) -> None:
    for block in re.findall(r"`([^`]+)`", (ROOT / name).read_text("utf-8")):
        for command in mentioned(block):
            assert known(command, commands), f"{name}: mychat {command}"


def test_the_settings_are_in_the_documents() -> None:
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    for name in TrainSettings.__dataclass_fields__:
        assert f"| `{name}` |" in text


def test_milo_names_only_what_exists(commands: set[str]) -> None:
    words = load_words([ROOT / "personas" / "milo"], SAMPLING_NAMES)
    slashes = {command.name for command in COMMANDS}
    for path in words.files:
        text = path.read_text("utf-8")
        for block in re.findall(r"`([^`]+)`", text):
            for command in mentioned(block):
                assert known(command, commands), f"{path.name}: `{block}`"
            if block.startswith("/"):
                assert block[1:].split()[0] in slashes, f"{path.name}: `{block}`"


def test_milo_is_as_large_as_promised() -> None:
    words = load_words([ROOT / "personas" / "milo"], SAMPLING_NAMES)
    assert len({dialogue.topic for dialogue in words.dialogues}) >= 40
