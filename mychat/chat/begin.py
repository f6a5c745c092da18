"""How a conversation begins, or goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mychat.chat.character import Speaker
from mychat.chat.session import ChatSession, restore
from mychat.chat.store import find_session, list_sessions, new_session
from mychat.config import SamplingOptions
from mychat.errors import SessionError


def begin_session(
    call: Callable[[str | None], Speaker],
    name: str | None,
    system: str | None,
    options: Mapping[str, Any],
    *,
    resume: str | None = None,
    keep: bool = True,
) -> tuple[Speaker, ChatSession]:
    """Call a speaker by name, and begin a conversation; or go on with the one called `resume`, the latest if empty.

    `system` and `options` are what a person asked for; they win over the persona's and over those of a conversation
    that goes on. Raises: SessionError, CheckpointError, ConfigError.
    """
    if resume is None:
        speaker = call(name)
        sampling = SamplingOptions().updated(speaker.persona.sampling).updated(options)
        session = ChatSession(speaker.engine, sampling, speaker.character.system, by=speaker.by)
        session.file = new_session(speaker.by.checkpoint, session.about()) if keep else None
        _read_ahead(speaker, session)
        return speaker, session
    if not resume:
        kept = list_sessions()
        if not kept:
            raise SessionError("there is no conversation to go on with yet; type: mychat chat")
        resume = kept[0].name
    file = find_session(resume)
    if keep:
        file.claim()
    about, records = file.read()
    speaker = call(name or _last_speaker(records) or str(about.get("speaker")))
    sampling = SamplingOptions().updated(speaker.persona.sampling)
    session = ChatSession(speaker.engine, sampling, about.get("system"), by=speaker.by)
    restore(session, records)
    session.file = file if keep else None
    session.system = system or session.system
    session.options = session.options.updated(options)
    _read_ahead(speaker, session)
    return speaker, session


def _last_speaker(records: list[dict[str, Any]]) -> str | None:
    """Return who made the last reply, if anybody did."""
    made = (record["made"] for record in reversed(records) if isinstance(record.get("made"), dict))
    return next((by["speaker"] for one in made if isinstance(by := one.get("by"), dict)), None)


def _read_ahead(speaker: Speaker, session: ChatSession) -> None:
    """Let the speaker read what was said, unless somebody else has taken over by the time it is there."""
    speaker.engine.read_ahead(lambda: session.window().messages if session.engine is speaker.engine else None)
