"""A conversation as a tree: nothing that was said is lost when it is said again in another way.

Every change is a record, and applying a record is the only way to change the tree. So a file of records is the
conversation, whole up to its last line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mychat.corpus.messages import Message
from mychat.errors import SessionError

ROOT = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One message, in its place. `number` counts from 1; `parent` 0 is the beginning."""

    number: int
    parent: int
    role: Literal["user", "assistant"]
    text: str
    cut: bool = False
    """A reply that was stopped before its end."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """How a reply came to be: by whom, seed, ids, options, window (node numbers), system; nothing for what a person
    wrote."""

    def message(self) -> Message:
        """Return it as the engine takes it."""
        return Message(self.role, self.text)


@dataclass(frozen=True, slots=True)
class Turn:
    """A user message with its reply, or a reply alone where somebody else began."""

    nodes: tuple[Node, ...]
    pinned: bool = False

    def messages(self) -> list[Message]:
        """Return them as the engine takes them."""
        return [node.message() for node in self.nodes]


class Tree:
    """Nodes, and the one that was spoken last: the head. The conversation is the path from the beginning to it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.head = ROOT
        self.pinned: set[int] = set()
        self.branches: dict[str, int] = {}
        """Heads by name."""
        self.branch = ""
        """The branch that moves with the head."""

    def node(self, number: int) -> Node:
        """Return a node. Raises: SessionError when there is none of this number."""
        if not 1 <= number <= len(self.nodes):
            raise SessionError(f"no message {number} in this conversation")
        return self.nodes[number - 1]

    def path(self, head: int | None = None) -> list[Node]:
        """Return the messages from the beginning to the head."""
        path: list[Node] = []
        at = self.head if head is None else head
        while at != ROOT:
            path.append(self.node(at))
            at = path[-1].parent
        return path[::-1]

    def turns(self, head: int | None = None) -> list[Turn]:
        """Group the path into turns."""
        groups: list[list[Node]] = []
        for node in self.path(head):
            if node.role == "user" or not groups:
                groups.append([])
            groups[-1].append(node)
        return [Turn(tuple(group), group[0].number in self.pinned) for group in groups]

    # --- records

    def added(self, role: Literal["user", "assistant"], text: str, parent: int, **more: Any) -> dict[str, Any]:
        """Return the record that adds a message after `parent`, and moves the head there."""
        return {"node": len(self.nodes) + 1, "parent": parent, "role": role, "text": text, **more}

    def apply(self, record: Mapping[str, Any]) -> None:
        """Make the change that a record describes; what it does not know it leaves. Raises: SessionError."""
        try:
            self._apply(record)
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(f"{str(dict(record))[:80]}: not a change to a conversation ({error!r})") from None

    def _apply(self, record: Mapping[str, Any]) -> None:
        if "node" in record:
            self._add(record)
        elif "head" in record:
            self._move(int(record["head"]))
        elif "pin" in record:
            number = self.node(int(record["pin"])).number
            (self.pinned.add if record.get("on", True) else self.pinned.discard)(number)
        elif "branch" in record:
            self.branch = str(record["branch"])
            self._move(int(record.get("at", self.head)))

    def _add(self, record: Mapping[str, Any]) -> None:
        parent, role = int(record["parent"]), record["role"]
        if int(record["node"]) != len(self.nodes) + 1 or not ROOT <= parent <= len(self.nodes):
            raise SessionError(f"message {record['node']} does not follow {len(self.nodes)}")
        if role not in ("user", "assistant"):
            raise SessionError(f"message {record['node']}: nobody is called {role!r}")
        self.nodes.append(
            Node(
                len(self.nodes) + 1,
                parent,
                role,
                str(record["text"]),
                bool(record.get("cut")),
                dict(record.get("made", {})),
            )
        )
        self._move(len(self.nodes))

    def _move(self, head: int) -> None:
        if head != ROOT:
            self.node(head)
        self.head = head
        if self.branch:
            self.branches[self.branch] = head
