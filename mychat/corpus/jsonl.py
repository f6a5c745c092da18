"""Conversations and texts from JSON lines, in the forms data sets come in.

OpenAI messages  {"messages": [{"role": "user", "content": "hi"}, ...]}
ShareGPT         {"conversations": [{"from": "human", "value": "hi"}, ...]}
Alpaca           {"instruction": "...", "input": "...", "output": "..."}
plain text       {"text": "..."}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mychat.corpus.cleaning import clean_text, decode_utf8, read_bytes
from mychat.corpus.messages import Conversation, Message, Role
from mychat.errors import SyntaxFault

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_FORMS = '{"messages": ...}, {"conversations": ...}, {"instruction", "output"} or {"text": ...}'


def iter_jsonl(path: Path) -> Iterator[Conversation | str]:
    """Read a file's conversations and texts in order; empty lines are skipped.

    Raises: SyntaxFault at the first broken line; CorpusError when the file cannot be read.
    """
    text = decode_utf8(read_bytes(path), path).removeprefix("\ufeff")
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 may stand inside a string
        if line.strip():
            yield parse_line(line, path, number)


def parse_line(line: str, path: Path, number: int = 1) -> Conversation | str:
    """Read one line of a file. Raises: SyntaxFault when it is broken."""
    item = _Line(path, number, line).read()
    return item if isinstance(item, str) else replace(item, where=f"{path}:{number}")


class _Line:
    def __init__(self, path: Path, number: int, line: str) -> None:
        self.path, self.number, self.line = path, number, line

    def fault(self, problem: str, column: int = 1) -> SyntaxFault:
        return SyntaxFault(self.path, self.number, column, problem, self.line)

    def read(self) -> Conversation | str:
        try:
            record = json.loads(self.line)
        except json.JSONDecodeError as error:
            raise self.fault(f"not valid JSON ({error.msg})", error.colno) from None
        except RecursionError:
            raise self.fault("JSON nested too deeply") from None
        except ValueError as error:
            raise self.fault(f"not valid JSON ({error})") from None
        if not isinstance(record, dict):
            raise self.fault(f"one JSON object a line was expected: {_FORMS}")
        if "messages" in record:
            return self.conversation(record["messages"], "messages", "role", "content")
        if "conversations" in record:
            return self.conversation(record["conversations"], "conversations", "from", "value")
        if "instruction" in record and "output" in record:
            return self.alpaca(record)
        if "text" in record:
            return self.text(record["text"], "text")
        raise self.fault(f"none of the known forms: {_FORMS}")

    def text(self, value: object, where: str) -> str:
        """Clean a text; parts as OpenAI writes them are joined."""
        if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
            value = "".join(str(part.get("text", "")) for part in value)
        if not isinstance(value, str):
            raise self.fault(f"{where} must be a text")
        return clean_text(value.encode("utf-8", "replace").decode("utf-8")).strip()  # lone surrogates become '?'

    def conversation(self, value: object, key: str, role_key: str, text_key: str) -> Conversation:
        if not isinstance(value, list):
            raise self.fault(f"{key!r} must be a list")
        messages: list[Message] = []
        for index, item in enumerate(value):
            where = f"{key}[{index}]"
            if not isinstance(item, dict):
                raise self.fault(f"{where} must be an object")
            # Either spelling of the keys occurs under either name.
            name = item.get(role_key, item.get("role", item.get("from")))
            role = _ROLES.get(name.lower()) if isinstance(name, str) else None
            if role is None:
                raise self.fault(f"{where}: unknown role {name!r}; known: {', '.join(sorted(_ROLES))}")
            content = self.text(item.get(text_key, item.get("content", item.get("value"))), f"{where}.{text_key}")
            if content:
                messages.append(Message(role, content))
        return join_speakers(messages)

    def alpaca(self, record: dict[str, Any]) -> Conversation:
        asked = [self.text(record[key], key) for key in ("instruction", "input") if record.get(key)]
        messages = [Message("user", "\n".join(part for part in asked if part))]
        if record.get("system"):
            messages.insert(0, Message("system", self.text(record["system"], "system")))
        return join_speakers([*messages, Message("assistant", self.text(record["output"], "output"))])


def join_speakers(messages: list[Message]) -> Conversation:
    """Join consecutive messages of one speaker; move the system text to the front; drop what nobody answers."""
    system = "\n".join(message.content for message in messages if message.role == "system")
    joined: list[Message] = []
    for message in messages:
        if message.role == "system" or not message.content:
            continue
        if joined and joined[-1].role == message.role:
            joined[-1] = Message(message.role, f"{joined[-1].content}\n{message.content}")
        else:
            joined.append(message)
    while joined and joined[-1].role == "user":
        joined.pop()
    return Conversation(tuple(([Message("system", system)] if system and joined else []) + joined))
