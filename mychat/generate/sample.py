"""One reply, one continuation, or one choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.errors import ConfigError, ContextError
from mychat.events import ReplyEvent
from mychat.generate.engine import Engine


def sample(
    engine: Engine,
    prompt: str,
    options: SamplingOptions,
    *,
    system: str | None = None,
    raw: bool = False,
    alternatives: int | None = None,
) -> Iterator[ReplyEvent]:
    """Answer a prompt, or continue it. Raises: ContextError when it is empty or does not fit."""
    if raw:
        return engine.complete(clean_argument(prompt), options, alternatives=alternatives)
    return engine.reply(_asked(prompt, system), options, alternatives=alternatives)


def choose(engine: Engine, prompt: str, texts: Sequence[str], *, system: str | None = None) -> dict[str, float]:
    """Return how probable each text is as the whole reply, among them, the most probable first.

    Raises: ConfigError when there is nothing to choose from; ContextError.
    """
    texts = list(dict.fromkeys(text for text in map(str.strip, map(clean_argument, texts)) if text))
    if len(texts) < 2:
        raise ConfigError("nothing to choose from; name two or more: --choices yes,no")
    shares = engine.choices(_asked(prompt, system), texts)
    return dict(sorted(zip(texts, shares, strict=True), key=lambda pair: -pair[1]))


def _asked(prompt: str, system: str | None) -> list[Message]:
    said = clean_argument(prompt).strip()
    if not said:
        raise ContextError("the prompt is empty; say something")
    before = [Message("system", clean_argument(system))] if system else []
    return [*before, Message("user", said)]
