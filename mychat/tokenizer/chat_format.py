"""The chat format: a conversation becomes ids and a loss mask, here and nowhere else.

    <|bos|> [<|system|> text <|end|>] (<|user|> text <|end|> <|assistant|> text <|end|>)*

Markers are ids; text is encoded as text, so no text can become a marker. The
mask is 1 on what the assistant says and on the <|end|> after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from mychat.corpus.messages import ROLES, Conversation, Message
from mychat.tokenizer.bpe import Tokenizer

CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""The same for Hugging Face's `apply_chat_template` (Jinja)."""


@dataclass(slots=True)
class Rendered:
    """Ids and, for each id, whether the model learns to say it."""

    ids: list[int] = field(default_factory=list)
    loss_mask: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], trained: bool) -> None:
        """Append ids under one mask value."""
        self.ids += ids
        self.loss_mask += [int(trained)] * len(ids)


Said = tuple[Message, list[int]]
TEXTS_KEPT = 2048


def _turns(said: Sequence[Said]) -> Iterator[list[Said]]:
    """Group messages into turns: each user message with what follows it."""
    turn: list[Said] = []
    for one in said:
        if one[0].role == "user" and turn:
            yield turn
            turn = []
        turn.append(one)
    if turn:
        yield turn


class ChatFormat:
    """Renders with one tokenizer; it remembers the ids of the latest texts: a conversation is rendered every turn."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._encode = lru_cache(maxsize=TEXTS_KEPT)(tokenizer.encode)
        self.bos = tokenizer.marker("<|bos|>")
        self.end = tokenizer.marker("<|end|>")
        self.pad = tokenizer.marker("<|pad|>")
        self.role = {role: tokenizer.marker(f"<|{role}|>") for role in ROLES}

    def render(self, messages: Iterable[Message], *, generation_prompt: bool = False) -> Rendered:
        """Render messages; with `generation_prompt`, up to where the assistant speaks next."""
        said = [(message, self._encode(message.content)) for message in messages]
        return self._assemble(said, generation_prompt=generation_prompt)

    def render_windows(
        self, conversations: Sequence[Conversation], limit: int, *, everything: bool = False
    ) -> list[Rendered]:
        """Render conversations so that none is longer than `limit` ids where turns allow it.

        A longer one becomes several, cut between turns; each begins like a
        conversation and repeats the system text. A turn longer than the limit
        stays whole. With `everything` the mask is on what the user says and on
        the markers too, but for messages that are not scored. The encoding
        runs in parallel, once for each text.
        """
        texts = list(dict.fromkeys(one.content for conversation in conversations for one in conversation.messages))
        encoded = dict(zip(texts, self.tokenizer.encode_batch(texts), strict=True))
        windows = []
        for conversation in conversations:
            said = [(message, encoded[message.content]) for message in conversation.messages]
            fixed = said[:1] if conversation.system is not None else []
            window, size = list(fixed), 0
            for turn in _turns(said[len(fixed) :]):
                turn_size = sum(len(ids) + 2 for _, ids in turn)
                if size and 1 + sum(len(ids) + 2 for _, ids in fixed) + size + turn_size > limit:
                    windows.append(self._assemble(window, everything=everything))
                    window, size = list(fixed), 0
                window += turn
                size += turn_size
            if size:
                windows.append(self._assemble(window, everything=everything))
        return windows

    def _assemble(self, said: Sequence[Said], *, generation_prompt: bool = False, everything: bool = False) -> Rendered:
        rendered = Rendered()
        rendered.add([self.bos], False)
        for message, ids in said:
            rendered.add([self.role[message.role]], everything and message.scored)
            rendered.add([*ids, self.end], (everything or message.role == "assistant") and message.scored)
        if generation_prompt:
            rendered.add([self.role["assistant"]], False)
        return rendered

    def render_text(self, text: str) -> Rendered:
        """Render plain text as a document of its own; all of it is learnt, its end included."""
        rendered = Rendered()
        rendered.add([self.bos], False)
        rendered.add([*self.tokenizer.encode_long(text), self.end], True)
        return rendered
