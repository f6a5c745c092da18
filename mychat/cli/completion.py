"""Names a shell can complete: checkpoints, personas, conversations. Nothing heavy is imported for them."""

from __future__ import annotations

from collections.abc import Iterable


def _begin_with(names: Iterable[str], begun: str) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def complete_checkpoint(incomplete: str) -> list[str]:
    """List the checkpoints that begin so."""
    from mychat.config import list_names

    return _begin_with(list_names("checkpoints"), incomplete)


def complete_persona(incomplete: str) -> list[str]:
    """List the personas that begin so."""
    from mychat.config import list_names

    return _begin_with(list_names("personas"), incomplete)


def complete_speaker(incomplete: str) -> list[str]:
    """List the checkpoints and personas that begin so."""
    return sorted({*complete_checkpoint(incomplete), *complete_persona(incomplete)})


def complete_session(incomplete: str) -> list[str]:
    """List the kept conversations that begin so."""
    from mychat.chat.store import list_sessions

    return _begin_with((one.name for one in list_sessions()), incomplete)
