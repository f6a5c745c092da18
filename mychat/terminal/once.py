"""A reply printed: streamed to a terminal, plain into a pipe, as JSON or as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent, TokenScore
from mychat.terminal.console import Terminal
from mychat.terminal.reply_stream import ReplyStream
from mychat.terminal.sanitise import sanitise


def print_reply(terminal: Terminal, events: Iterable[ReplyEvent], form: str, prompt: str, *, first: bool) -> None:
    """Print a reply as it comes; as `json` its record, as `markdown` under the prompt, once it is whole.

    A reply that is not the `first` is set apart from the one before.
    """
    stream = ReplyStream(terminal.out) if sys.stdout.isatty() and form == "text" else None
    if form == "text" and not first:
        sys.stdout.write("\n")
    for event in events:
        if isinstance(event, ReplyDelta) and stream is not None:
            stream.push(event.text)
        elif isinstance(event, ReplyEnd):
            text = event.text.strip("\n")
            if sys.stdout.isatty():
                text = sanitise(text)
            if form == "json":
                terminal.json(reply_record(event))
            elif stream is not None:
                stream.finish()
            else:
                asked = f"**{prompt.strip()}**\n\n" if first else ""
                sys.stdout.write(f"{asked}{text}\n\n" if form == "markdown" else f"{text}\n")
                sys.stdout.flush()


def print_choice(terminal: Terminal, shares: Mapping[str, float], *, as_json: bool) -> None:
    """Print the first of the choices; with `as_json`, all of them with their probabilities."""
    best = next(iter(shares))
    if as_json:
        terminal.json({"reply": best, "choices": shares})
    else:
        terminal.result(best)


def reply_record(end: ReplyEnd) -> dict[str, Any]:
    """Return what `sample --json` prints."""
    record: dict[str, Any] = {
        "reply": end.text,
        "tokens": len(end.ids),
        "prompt_tokens": end.prompt_tokens,
        "finish_reason": end.finish_reason,
        "tokens_per_second": round(end.tokens_per_second, 1),
        "seed": end.seed,
    }
    if end.scores:
        record |= {"prompt_probs": _rounded(end.prompt_scores), "probs": _rounded(end.scores)}
    return record


def _rounded(scores: Iterable[TokenScore]) -> list[dict[str, Any]]:
    return [
        {
            "id": score.id,
            "text": score.text,
            "logprob": round(score.logprob, 4),
            "entropy": round(score.entropy, 4),
            "alternatives": [
                {"id": id_, "text": text, "logprob": round(logprob, 4)} for id_, text, logprob in score.alternatives
            ],
        }
        for score in scores
    ]
