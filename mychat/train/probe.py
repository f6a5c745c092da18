"""What a model in training is asked every so often, so that one can watch it learn to speak."""

from __future__ import annotations

from dataclasses import dataclass

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.corpus.split import Side
from mychat.errors import ContextError
from mychat.events import ReplyEnd
from mychat.generate.engine import Engine

OPENING_CHARS = 60
GREEDY = SamplingOptions(temperature=0.0, max_new_tokens=40)


@dataclass(frozen=True, slots=True)
class Probe:
    """A question, or the opening of a text, from the validation side."""

    asked: tuple[Message, ...]
    """Empty for a text."""
    prompt: str

    def ask(self, engine: Engine) -> str:
        """Return the greedy reply."""
        events = engine.reply(self.asked, GREEDY) if self.asked else engine.complete(self.prompt, GREEDY)
        try:
            return next(event.text for event in events if isinstance(event, ReplyEnd))
        except ContextError:
            return ""  # a long question and a short context


def choose_probe(validation: Side, *, chat: bool) -> Probe:
    """Choose the shortest question, or the opening of the first text."""
    if chat:
        asked = [exam.asked for exam in validation.exams]
        asked += [one.messages[: 1 + (one.system is not None)] for one in validation.conversations]
        shortest = min(asked, key=lambda messages: (len(messages), -len(messages[-1].content) % 40))
        return Probe(tuple(shortest), shortest[-1].content)
    text = str(validation.texts[0]) if validation.texts else "Once upon a time"
    return Probe((), text[:OPENING_CHARS].rsplit(" ", 1)[0])
