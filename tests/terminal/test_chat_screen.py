"""What can be done in a chat, typed with real keys into a real terminal, with a real tiny model."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.cli.test_commands import mychat
from tests.terminal.screen import Screen

PASTE = "\x1b[200~{}\x1b[201~"


class Chat(Screen):
    """A chat; `say` types a line and waits for the next prompt."""

    def __init__(self, *arguments: str | Path, columns: int = 80) -> None:
        super().__init__("chat", *arguments, "--temperature", "0", columns=columns)
        self.wait("")

    def wait(self, shown: str) -> str:
        """Wait until the screen says more than it did, and an empty line is asked for; return what is new."""
        for _ in range(100):
            try:
                self.stream.feed(self.child.read_nonblocking(4096, timeout=0.3))
            except pexpect.TIMEOUT:
                now = self.everything().rstrip()
                if now != shown and now.endswith("\nyou:") and now.count("you:") > shown.count("you:"):
                    return now[len(shown) :]
        raise AssertionError(self.everything())

    def everything(self) -> str:
        """All lines, those that scrolled away too."""
        gone = ["".join(row[at].data for at in range(self.screen.columns)) for row in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self.screen.display])

    def say(self, line: str) -> str:
        """Type a line; return what came after it."""
        return self.enter(f"{line}\r")

    def enter(self, keys: str) -> str:
        shown = self.everything().rstrip()
        self.type(keys)
        return self.wait(shown)


@pytest.fixture
def chat(tiny: Path) -> Iterator[Chat]:
    opened = Chat(tiny, columns=200)
    yield opened
    opened.child.close(force=True)


def test_turns_are_a_tree(chat: Chat) -> None:
    first = chat.say("hi")
    assert "I am Pip." in first
    assert "Pip:" in chat.say("/retry")
    assert "You are" not in chat.say("my name is Mei")
    assert "Pip: I am Ana." in chat.say("/say I am Ana.")
    assert "on branch other" in chat.say("/fork other")
    assert "Pip:" in chat.say("/edit 1 hello")
    assert "I am Ana." in chat.say("/switch main")
    assert "* main" in chat.say("/switch")
    chat.type("/undo\r")
    chat.until("is taken back\nyou: my name is Mei")
    chat.enter("\x15\r")
    assert "turn 1 stays" in chat.say("/pin 1")
    window = chat.say("/context")
    assert "pinned hi" in window
    assert "of 64; 16 are kept free for the reply" in window
    assert "turn 9" in chat.say("/pin 9")
    assert "new conversation" in chat.say("/new")
    assert "nothing was said yet" in chat.say("/retry")


def test_looking_inside(chat: Chat, tiny: Path) -> None:
    chat.say("what's your name?")
    shown = chat.say("/probs")
    assert "My name is Pip." in shown
    assert "a token on average" in shown
    others = chat.say("/probs 1")
    assert "/alt 1 N goes on from another" in others
    second = next(line for line in others.splitlines() if line.strip().startswith("2 ")).split()[-1].strip("'")
    assert f"Pip: {second}" in chat.say("/alt 1 2")
    assert "bits per byte; the least expected was" in chat.say("/surprise")
    chat.say("/retry")
    why = chat.say("/why")
    assert "talk.chat:" in why
    assert "4 words: My name is Pip" in why
    assert chat.say(f"/compare {tiny}").count("My name is Pip.") == 2
    assert "choices 1 to" in chat.say("/alt 1 99")
    steps = chat.say("/at").partition("are kept: ")[2].split("\n")[0].split(", ")
    assert len(steps) >= 2
    assert f"@{steps[0]}" in chat.say(f"/at {steps[0]}")
    assert "no weights of step 7777 are kept" in chat.say("/at 7777")


def test_files_and_settings(chat: Chat, tmp_path: Path) -> None:
    chat.say("hi")
    for suffix in ("md", "json", "jsonl"):
        assert "2 messages" in chat.say(f"/save {tmp_path}/talk.{suffix}")
    assert "is there already" in chat.say(f"/save {tmp_path}/talk.md")
    assert "2 messages" in chat.say(f"/save {tmp_path}/talk.md!")
    assert "unknown form" in chat.say(f"/save {tmp_path}/talk.doc")
    assert "**you:** hi" in (tmp_path / "talk.md").read_text()
    chat.say("/new")
    assert "I am Pip." in chat.say(f"/load {tmp_path}/talk.json")
    line = json.loads((tmp_path / "talk.jsonl").read_text())
    assert [one["role"] for one in line["messages"]] == ["user", "assistant"]
    (tmp_path / "note.txt").write_text("what's your\nname?\n")
    chat.type(f"/file {tmp_path}/not\t")  # completes, with a blank after a file's name or without
    chat.until("note.txt")
    chat.type("\r")
    chat.until("you: [file 1: note.txt, ")
    assert "name is Pip." in chat.enter("\r")
    assert "temperature = 0.7" in chat.say("/set temperature 0.7")
    assert "must be 0 (greedy)" in chat.say("/set temperature -1")
    assert "stop = 'x'" in chat.say("/set stop x")
    assert "did you mean '/retry'" in chat.say("/rety")
    assert "bias = 'a=b=-2.5'" in chat.say("/set bias a=b=-2.5")
    assert "bias = off" in chat.say("/set bias off")
    assert "seed = 7" in chat.say("/seed 7")
    assert "another seed" in chat.say("/seed off")
    assert "home directory" in chat.say("/save ~no-such-user/x.md")
    assert "speaks" in chat.say("/persona")
    assert "did you mean" in chat.say("/model tinny") or "no such checkpoint" in chat.everything()


def test_lines_of_any_length(tiny: Path) -> None:
    chat = Chat(tiny, columns=40)
    chat.type("what's your\x1b\rname?")  # Alt-Enter
    chat.until("name?")
    assert "My name is Pip." in chat.enter("\r")
    chat.type(PASTE.format("line\r" * 4_999 + "line"))
    chat.until("[paste 1: 5,000 lines]")
    assert "shorten it by about" in chat.enter("\r")
    chat.type("my name is 小明🙂 and more\x7f\x7f\x7f\x7f\x7f")
    chat.until("小明🙂 and")
    chat.enter("\r")
    chat.type("\x12your")  # Ctrl-R
    chat.until("what's your", 2)
    assert "My name is Pip." in chat.enter("\r\r")
    chat.child.setwinsize(30, 30)
    chat.child.kill(signal.SIGTERM)
    assert chat.rest() == 0


def test_a_conversation_goes_on_after_a_kill(tiny: Path, tmp_path: Path) -> None:
    chat = Chat(tiny)
    chat.say("my name is Mei")
    chat.say("/pin 1")
    chat.child.kill(signal.SIGKILL)
    sessions = tmp_path / "state" / "mychat" / "sessions"
    (kept,) = sessions.glob("*.jsonl")
    again = Chat("--last")
    out, err = mychat("chat", "--last", code=1)
    assert "open in another chat" in err
    assert "2 messages until now" in again.everything()
    assert "you: my name is Mei" in again.everything()
    assert "pinned my name" in again.say("/context")
    again.say("hi")
    again.type("/quit\r")
    assert again.rest() == 0
    out, _ = mychat("replay", kept.stem, "--verify")
    assert out.count("the same") == 2
    picking = Screen("chat", "--resume")
    picking.until("which? 1")
    picking.type("\r")
    picking.until("4 messages until now")
    picking.type("\x04")
    picking.rest()
    kept.write_text(kept.read_text().replace('"ids": [', '"ids": [1, '))
    out, _ = mychat("replay", kept.stem, "--verify", code=1)
    assert "differs from token 1 on" in out


def test_nothing_is_kept_when_nothing_should_be(tiny: Path, tmp_path: Path) -> None:
    chat = Chat(tiny, "--no-history")
    chat.say("hi")
    chat.type("\x04")
    assert chat.rest() == 0
    assert not (tmp_path / "state").exists()
