"""Messages and conversations: the one form every kind of words becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing one speaker said.

    `scored` is False for an assistant message that is context only: no loss
    is taken on it, in training or in evaluation.
    """

    role: Role
    content: str
    scored: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in order. A system message, if any, is the first."""

    messages: tuple[Message, ...]
    where: str = field(default="", compare=False, repr=False)
    """`file:line` it was read from; nothing when it was made."""

    @property
    def chars(self) -> int:
        """Characters of all messages."""
        return sum(len(message.content) for message in self.messages)

    @property
    def system(self) -> str | None:
        """The system text, if there is one."""
        first = self.messages[0] if self.messages else None
        return first.content if first is not None and first.role == "system" else None
