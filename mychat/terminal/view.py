"""A chat as it stands in the terminal: who speaks, the conversation, and how a reply is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from mychat.chat.character import Speaker
from mychat.chat.session import Answer, ChatSession, TurnsDropped
from mychat.corpus.messages import Message
from mychat.errors import ContextError
from mychat.events import ReplyDelta, ReplyEnd
from mychat.terminal.console import Terminal
from mychat.terminal.keys import StopKey, unseen
from mychat.terminal.reply_stream import ReplyStream
from mychat.terminal.sanitise import sanitise


@dataclass(slots=True)
class ChatView:
    """What slash commands work on."""

    terminal: Terminal
    session: ChatSession
    speaker: Speaker
    open: Callable[[str], Speaker]
    """Opens another speaker by name."""
    stop: StopKey
    given: Mapping[str, Any]
    """Options that were asked for when the chat began; they hold for every persona."""
    sign: Callable[[str, str, str], str] = lambda text, _kind, _name: text
    """Gives a sign that stands for a long text in the next line: text, kind, name."""
    begun: str = ""
    """What the next line begins with."""
    speed: float = 0.0
    """Tokens per second of the last reply."""
    _window: tuple[object, str] = field(default=(None, ""))
    """How full the window is, and what that was counted for."""

    @property
    def name(self) -> str:
        """Who speaks."""
        return self.speaker.persona.display_name

    def greet(self) -> None:
        """Say what a person should know, and the greeting."""
        if self.speaker.character.note:
            self.terminal.note(self.speaker.character.note)
        if self.speaker.persona.greeting:
            self.show(Message("assistant", self.speaker.persona.greeting))

    def show(self, message: Message) -> None:
        """Show a message that is whole."""
        if message.role == "assistant":
            stream = self._begin()
        else:
            self.terminal.out.print(Text("you: ", style="bold"), end="")
            stream = ReplyStream(self.terminal.out, indent=5)
        stream.push(message.content)
        stream.finish()

    def call(self, name: str) -> Speaker:
        """Open another speaker, and wait for it. Raises: MychatError when there is none, or it cannot be loaded."""
        speaker = self.open(name)
        speaker.engine.wait()
        return speaker

    def answer(self, answer: Answer, begun: str = "") -> None:
        """Show a reply as it grows, after how it begins, until it ends or Ctrl-C is pressed."""
        self.stop.pressed = False
        stream: ReplyStream | None = None
        why = ""
        with unseen():
            for event in answer:
                if isinstance(event, TurnsDropped):
                    turns = "the oldest turn" if event.turns == 1 else f"the {event.turns} oldest turns"
                    self.terminal.note(f"the context window is full: {turns} left it ({event.in_all} so far)")
                elif isinstance(event, ReplyEnd):
                    self.speed = event.tokens_per_second
                    why = {
                        "length": "[cut at max_new_tokens; /continue goes on]",
                        "context": "[the window is full]",
                    }.get(event.finish_reason, "")
                elif isinstance(event, ReplyDelta):
                    if stream is None:
                        stream = self._begin()
                        stream.push(begun)
                    stream.push(event.text)
                if self.stop.pressed:
                    answer.close()
                    why = "[cut; /continue goes on]"
        if stream is None and begun:  # it ended right there
            stream = self._begin()
            stream.push(begun)
        if stream is not None:
            stream.finish()
        if why:
            self.terminal.note(why)

    def _begin(self) -> ReplyStream:
        label = Text(f"{sanitise(self.name)}: ", style="persona")
        self.terminal.out.print(label, end="")
        return ReplyStream(self.terminal.out, indent=min(label.cell_len, self.terminal.out.width // 3))

    def _fullness(self) -> str:
        session = self.session
        counted = (id(session.engine), session.tree.head, len(session.tree.pinned), session.system, session.options)
        if self._window[0] != counted:
            try:
                text = f"{session.window().tokens:,} of {session.engine.context_length:,} tokens"
            except ContextError:
                text = "the window is full"
            self._window = counted, text
        return self._window[1]

    def status(self) -> str:
        """Say in a line who speaks, how full the window is, and how fast the last reply was."""
        parts = [sanitise(self.name), sanitise(self.speaker.character.checkpoint)]
        if self.speaker.engine.ready and not self.speaker.engine.failed:
            parts.append(self._fullness())
        if self.speed:
            parts.append(f"{self.speed:,.0f} tokens/s")
        if self.session.tree.branch:
            parts.append(f"branch {sanitise(self.session.tree.branch)}")
        return " · ".join(parts)
