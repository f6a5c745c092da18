"""A conversation as a file that people and programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mychat.chat.session import ChatSession
from mychat.corpus.cleaning import decode_utf8, read_bytes
from mychat.corpus.jsonl import iter_jsonl, parse_line
from mychat.corpus.messages import Conversation, Message
from mychat.errors import SessionError, suggest


def _messages(session: ChatSession) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": session.system}] if session.system else []
    return [*system, *({"role": message.role, "content": message.content} for message in session.messages)]


def _markdown(session: ChatSession, name: str) -> str:
    lines = [f"*{session.system}*", ""] if session.system else []
    for message in session.messages:
        speaker = name if message.role == "assistant" else "you"
        lines += [f"**{speaker}:** {message.content}", ""]
    return "\n".join(lines)


def _json(session: ChatSession, name: str) -> str:
    turns = [{"role": node.role, "content": node.text, **({"made": dict(node.made)} if node.made else {})}
             for node in session.tree.path()]  # fmt: skip
    whole = {"persona": name, "system": session.system, "messages": turns}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _jsonl(session: ChatSession, _name: str) -> str:
    return json.dumps({"messages": _messages(session)}, ensure_ascii=False) + "\n"


FORMS: Mapping[str, Callable[[ChatSession, str], str]] = {".md": _markdown, ".json": _json, ".jsonl": _jsonl}
"""By suffix. `.jsonl` is a line to train on, `.json` holds how each reply came to be."""


def render(session: ChatSession, name: str, suffix: str) -> str:
    """Write a conversation in the form of a suffix. Raises: SessionError when there is none for it."""
    if suffix not in FORMS:
        raise SessionError(f"{suffix or 'no suffix'}: unknown form{suggest(suffix, FORMS)}; take {', '.join(FORMS)}")
    return FORMS[suffix](session, name)


def load_messages(path: Path) -> list[Message]:
    """Read a saved conversation, its system text first. Raises: CorpusError, SessionError."""
    if path.suffix == ".json":
        text = decode_utf8(read_bytes(path), path)
        try:
            whole = json.loads(text)
            system = [{"role": "system", "content": whole["system"]}] if whole.get("system") else []
            line = json.dumps({"messages": [*system, *whole["messages"]]})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SessionError(f"{path}: not a conversation as /save writes it") from None
        found: Conversation | str | None = parse_line(line, path)
    else:
        found = next((one for one in iter_jsonl(path) if isinstance(one, Conversation)), None)
    if not isinstance(found, Conversation) or not found.messages:
        raise SessionError(f"{path}: no conversation in it")
    return list(found.messages)
