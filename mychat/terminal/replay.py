"""A kept conversation on the screen, and what came of running it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mychat.chat.replay import Replayed
from mychat.chat.tree import Node, Tree
from mychat.terminal.console import Terminal


def print_conversation(
    terminal: Terminal, about: Mapping[str, Any], records: Sequence[Mapping[str, Any]], *, as_json: bool
) -> None:
    """Print the conversation as it was left."""
    tree = Tree()
    for record in records:
        tree.apply(record)
    name = str(about.get("speaker") or about.get("checkpoint"))
    if as_json:
        terminal.json({**about, "messages": [{"role": node.role, "content": node.text} for node in tree.path()]})
        return
    for node in tree.path():
        terminal.result(f"{name if node.role == 'assistant' else 'you'}: {node.text}")


def print_replayed(terminal: Terminal, replies: Iterable[Replayed | Node], *, as_json: bool) -> bool:
    """Print a line for each reply; return whether all are the same."""
    same = True
    for reply in replies:
        if isinstance(reply, Node):
            why = "cut" if reply.cut else "written by hand"
            record: dict[str, Any] = {"message": reply.number, "verdict": why}
            line = f"message {reply.number}: was {why}, cannot be compared"
        elif reply.differs:
            same = False
            record = {"message": reply.node.number, "verdict": "differs", "token": reply.differs, "again": reply.again}
            line = f"message {reply.node.number}: differs from token {reply.differs} on: {reply.again}"
        else:
            record = {"message": reply.node.number, "verdict": "same"}
            line = f"message {reply.node.number}: the same {len(reply.node.made['ids'])} tokens"
        if as_json:
            terminal.json(record)
        else:
            terminal.result(line)
    return same
