"""One reply, or one continuation."""

from __future__ import annotations

from collections.abc import Iterator

from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.errors import ContextError
from mychat.events import ReplyEvent
from mychat.generate.engine import Engine


def sample(
    engine: Engine, prompt: str, options: SamplingOptions, *, system: str | None = None, raw: bool = False
) -> Iterator[ReplyEvent]:
    """Answer a prompt, or continue it. Raises: ContextError when it is empty or does not fit."""
    if raw:
        return engine.complete(clean_argument(prompt), options)
    said = clean_argument(prompt).strip()
    if not said:
        raise ContextError("the prompt is empty; say something")
    before = [Message("system", clean_argument(system))] if system else []
    return engine.reply([*before, Message("user", said)], options)
