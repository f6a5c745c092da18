"""One reply printed: streamed to a terminal, plain into a pipe, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent
from mychat.terminal.console import Terminal
from mychat.terminal.reply_stream import ReplyStream


def print_reply(terminal: Terminal, events: Iterable[ReplyEvent], *, as_json: bool) -> None:
    """Print a reply as it comes; with `as_json`, its record once it is whole."""
    stream = ReplyStream(terminal.out) if sys.stdout.isatty() and not as_json else None
    for event in events:
        if isinstance(event, ReplyDelta) and stream is not None:
            stream.push(event.text)
        elif isinstance(event, ReplyEnd):
            if as_json:
                terminal.json(reply_record(event))
            elif stream is None:
                sys.stdout.write(event.text.strip("\n") + "\n")
                sys.stdout.flush()
            else:
                stream.finish()


def reply_record(end: ReplyEnd) -> dict[str, str | int | float]:
    """Return what `sample --json` prints."""
    return {
        "reply": end.text,
        "tokens": len(end.ids),
        "prompt_tokens": end.prompt_tokens,
        "finish_reason": end.finish_reason,
        "tokens_per_second": round(end.tokens_per_second, 1),
        "seed": end.seed,
    }
