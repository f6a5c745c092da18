"""A conversation going on. It is handed an engine; it draws nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from mychat.chat.context import Window, fit_turns
from mychat.chat.store import SessionFile, new_session
from mychat.chat.tree import ROOT, Node, Tree, Turn
from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.errors import SessionError, suggest
from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent, TokenScore

REPLY_ROOM_SHARE = 0.25
"""Of the context window, at most, kept free for the reply."""


class ChatEngine(Protocol):
    """What a session asks of an engine."""

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and reply together."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of the rendered prompt."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        ...

    def score(
        self, messages: Sequence[Message], reply: Sequence[int], alternatives: int
    ) -> tuple[list[list[TokenScore]], list[TokenScore]]:
        """Score the tokens of each message, and those of a reply after them, with so many alternatives each."""
        ...

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end; with `begun`, how it goes on after these ids."""
        ...


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The window was full: this many turns more than before were left out."""

    turns: int
    in_all: int


ChatEvent = ReplyEvent | TurnsDropped
Answer = Generator[ChatEvent, None, None]


@dataclass(frozen=True, slots=True)
class Answerer:
    """Whose replies they are: what was typed to call them, the checkpoint, and the SHA-256 of its weights."""

    speaker: str
    checkpoint: str
    sha256: str = ""


class ChatSession:
    """The tree of what was said, options, and the engine that answers. With a file, all of it is kept as it happens."""

    def __init__(
        self,
        engine: ChatEngine,
        options: SamplingOptions,
        system: str | None = None,
        file: SessionFile | None = None,
        by: Answerer | None = None,
    ) -> None:
        self.engine, self.options, self.system, self.file = engine, options, system, file
        self.by = by or Answerer("", "")
        self.tree = Tree()
        self.dropped = 0
        self._sizes: dict[str, int] = {}

    # --- what there is

    @property
    def messages(self) -> list[Message]:
        """What was said, from the beginning to now."""
        return [node.message() for node in self.tree.path()]

    @property
    def last_reply(self) -> Node:
        """The reply that was given last. Raises: SessionError when there is none."""
        path = self.tree.path()
        if not path or path[-1].role != "assistant":
            raise SessionError(
                "there is no reply yet" if not path else "the last message has no reply yet; /retry asks"
            )
        return path[-1]

    def window(self, turns: Sequence[Turn] | None = None, begun: int = 0) -> Window:
        """Say what the engine reads of these turns, with so many ids of a reply begun; without turns, of all so far.

        Raises: ContextError.
        """
        said = self.tree.turns() if turns is None else turns
        newest_stays = turns is not None or bool(said and said[-1].nodes[-1].role == "user")
        limit = self._limit(self.engine) - begun
        return fit_turns(self._system_message(), said, self._count_tokens, limit, newest_stays=newest_stays)

    def _limit(self, engine: ChatEngine) -> int:
        room = min(self.options.max_new_tokens, int(REPLY_ROOM_SHARE * engine.context_length))
        return engine.context_length - max(1, room)

    def _system_message(self) -> Message | None:
        return Message("system", clean_argument(self.system)) if self.system else None

    def _count_tokens(self, messages: Sequence[Message]) -> int:
        """Count as the engine does, but each text once."""
        engine, sizes = self.engine, self._sizes  # another thread may look while these are exchanged
        markers = engine.count_tokens([])
        for message in messages:
            if message.content not in sizes:
                sizes[message.content] = engine.count_tokens([message]) - markers
        return markers + sum(sizes[message.content] for message in messages)

    def use(self, engine: ChatEngine, by: Answerer) -> None:
        """Go on with another engine."""
        self.engine, self.by, self._sizes = engine, by, {}

    def asked_of(self, engine: ChatEngine, system: str | None) -> list[Message]:
        """Return what another engine would read before the last reply. Raises: SessionError, ContextError."""
        before = Message("system", clean_argument(system)) if system else self._system_message()
        turns = self.tree.turns(self._asked(self.last_reply).number)
        return fit_turns(before, turns, engine.count_tokens, self._limit(engine)).messages

    def scores(self, alternatives: int = 0) -> tuple[list[list[TokenScore]], list[TokenScore]]:
        """Score what was read for the last reply, message by message, and the reply. Raises: SessionError."""
        reply = self.last_reply
        asked = self._asked(reply)
        made = reply.made
        if made:
            before = [Message("system", clean_argument(made["system"]))] if made.get("system") else []
            messages = [*before, *(self.tree.node(number).message() for number in made["window"])]
        else:
            messages = self.window(self.tree.turns(asked.number)).messages
        return self.engine.score(messages, self._ids_of(reply), alternatives)

    def _ids_of(self, reply: Node) -> Sequence[int]:
        """Return a reply's ids: those that were said, if this checkpoint said them."""
        made = reply.made
        same = made and made.get("by") == asdict(self.by)
        return made["ids"] if same else self.engine.encode(reply.text)

    def turn(self, number: int) -> Turn:
        """Return a turn by its place, from 1. Raises: SessionError."""
        turns = self.tree.turns()
        if not 1 <= number <= len(turns):
            many = f"1 to {len(turns)}" if turns else "none yet"
            raise SessionError(f"no turn {number}; there are {many}")
        return turns[number - 1]

    # --- what is said

    def send(self, text: str) -> Answer:
        """Say something; yield what was dropped, the reply as it grows, and its end.

        What was said is kept also when the caller stops listening in the middle.
        Raises: ContextError when the message alone does not fit; it is then not part of the conversation.
        """
        path = self.tree.path()
        unanswered = path and path[-1].role == "user"  # it was cut off; what is said now stands in its place
        yield from self._ask(text, path[-1].parent if unanswered else self.tree.head)

    def edit(self, number: int, text: str) -> Answer:
        """Say something else in a turn, and go on from there; what followed stays in the tree."""
        first = self.turn(number).nodes[0]
        if first.role != "user":
            raise SessionError(f"turn {number} has no message of yours")
        yield from self._ask(text, first.parent)

    def retry(self) -> Answer:
        """Ask for another reply to the last message."""
        path = self.tree.path()
        if not path:
            raise SessionError("nothing was said yet")
        yield from self._answer(path[-1] if path[-1].role == "user" else self._asked(path[-1]))

    def proceed(self) -> Answer:
        """Let the last reply go on where it ended."""
        reply = self.last_reply
        yield from self._answer(self._asked(reply), self._ids_of(reply), reply.text)

    def take(self, begun: Sequence[int]) -> Answer:
        """Answer the last message again, with a reply that begins with these ids."""
        yield from self._answer(self._asked(self.last_reply), begun, self.engine.decode(begun))

    def say(self, text: str) -> None:
        """Put a text in the place of the last reply, or behind a message that has none."""
        path = self.tree.path()
        if not path:
            raise SessionError("nothing was said yet that could be answered")
        parent = path[-1] if path[-1].role == "user" else self._asked(path[-1])
        self._add("assistant", clean_argument(text).strip(), parent.number)

    def _ask(self, text: str, parent: int) -> Answer:
        text = clean_argument(text).strip()
        node = Node(len(self.tree.nodes) + 1, parent, "user", text)
        self.window([*self.tree.turns(parent), Turn((node,))])  # refused before it is part of the conversation
        yield from self._answer(self._add("user", text, parent))

    def _asked(self, reply: Node) -> Node:
        if reply.parent == ROOT:
            raise SessionError("nobody asked for that reply")
        return self.tree.node(reply.parent)

    def _answer(self, asked: Node, begun: Sequence[int] = (), text: str = "") -> Answer:
        window = self.window(self.tree.turns(asked.number), len(begun))
        said = [text]
        made: dict[str, Any] = {}
        cut = True
        try:
            if window.dropped > self.dropped:
                yield TurnsDropped(window.dropped - self.dropped, window.dropped)
            self.dropped = window.dropped
            for event in self.engine.reply(window.messages, self.options, begun):
                if isinstance(event, ReplyDelta):
                    said.append(event.text)
                elif isinstance(event, ReplyEnd):
                    said, cut = [event.text], event.finish_reason != "stop"
                    made = self._made(window, event, len(begun))
                yield event
        finally:
            if made or len(said) > 1:  # else nothing was said: the message waits for its reply
                self._add("assistant", "".join(said).strip(), asked.number, cut=cut, made=made)

    def _made(self, window: Window, end: ReplyEnd, begun: int) -> dict[str, Any]:
        inside = [node.number for place in window.places if place.inside for node in place.turn.nodes]
        options = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self.options).items()
            if name != "seed"
        }
        return {
            "seed": end.seed, "ids": list(end.ids), "begun": begun, "finish_reason": end.finish_reason,
            "options": options, "system": self.system, "window": inside, "by": asdict(self.by),
        }  # fmt: skip

    def take_over(self, messages: Sequence[Message]) -> None:
        """Begin another conversation with what was said elsewhere."""
        self.system = None
        self.new()
        for message in messages:
            if message.role == "system":
                self.system = message.content
            else:
                self._add(message.role, clean_argument(message.content).strip(), self.tree.head)

    # --- moving about in the tree

    def new(self) -> None:
        """Begin another conversation, in a file of its own."""
        self.tree, self.dropped = Tree(), 0
        if self.file:
            self.file.close()
            self.file = new_session(self.by.checkpoint, self.about())

    def about(self) -> dict[str, Any]:
        """Return what a conversation's file says of it first."""
        return {**asdict(self.by), "system": self.system}

    def undo(self) -> Node:
        """Take the last turn back; return the message that began it. Raises: SessionError."""
        turns = self.tree.turns()
        if not turns:
            raise SessionError("nothing was said yet")
        first = turns[-1].nodes[0]
        self._move(first.parent)
        return first

    def fork(self, name: str) -> None:
        """Call what was said until now by a name, and go on under it. Raises: SessionError when the name is taken."""
        if not name or name in self.tree.branches:
            raise SessionError(f"there is a branch {name!r} already; /switch {name} goes there" if name else "name it")
        if not self.tree.branch and not self.tree.branches:
            self._apply({"branch": "main", "at": self.tree.head})
        self._apply({"branch": name, "at": self.tree.head})

    def switch(self, name: str) -> None:
        """Go to where a branch was left. Raises: SessionError when there is none of that name."""
        if name not in self.tree.branches:
            known = ", ".join(self.tree.branches) or "none yet; /fork NAME makes one"
            raise SessionError(f"no branch {name!r}{suggest(name, self.tree.branches) or '; branches: ' + known}")
        self._apply({"branch": name, "at": self.tree.branches[name]})
        self.dropped = 0

    def pin(self, number: int, *, on: bool = True) -> None:
        """Keep a turn in the window whatever comes, or let it go again. Raises: SessionError."""
        self._apply({"pin": self.turn(number).nodes[0].number, "on": on})

    def _move(self, head: int) -> None:
        self._apply({"head": head})
        self.dropped = 0

    def _add(self, role: Literal["user", "assistant"], text: str, parent: int, **more: Any) -> Node:
        self._apply(self.tree.added(role, text, parent, **more))
        return self.tree.nodes[-1]

    def _apply(self, record: dict[str, Any]) -> None:
        self.tree.apply(record)
        if self.file:
            self.file.append(record)


def restore(session: ChatSession, records: Sequence[dict[str, Any]]) -> None:
    """Bring a conversation back from its records, with the system text and the options of its last reply.

    Raises: SessionError when they do not fit together; ConfigError.
    """
    for record in records:
        session.tree.apply(record)
    for node in reversed(session.tree.path()):
        if node.made:
            session.system = node.made.get("system")
            session.options = session.options.updated(node.made.get("options", {}))
            break
