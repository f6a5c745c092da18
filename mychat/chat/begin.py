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
    options: Mapping[str, Any],
    *,
    resume: str | None = None,
    keep: bool = True,
) -> tuple[Speaker, ChatSession]:
    """Call a speaker by name, and begin a conversation; or go on with the one called `resume`, the latest if empty.

    `options` are what a person asked for; they win over the persona's and over those of a conversation that goes on.
    Raises: SessionError, CheckpointError, ConfigError.
    """
    if resume is None:
        speaker = call(name)
        file = new_session(speaker.character.checkpoint, _about(speaker)) if keep else None
        sampling = SamplingOptions().updated(speaker.persona.sampling).updated(options)
        return speaker, ChatSession(speaker.engine, sampling, speaker.character.system, file)
    if not resume:
        kept = list_sessions()
        if not kept:
            raise SessionError("there is no conversation to go on with yet; type: mychat chat")
        resume = kept[0].name
    file = find_session(resume)
    about, records = file.read()
    speaker = call(name or str(about.get("speaker") or about.get("checkpoint")))
    sampling = SamplingOptions().updated(speaker.persona.sampling)
    session = ChatSession(speaker.engine, sampling, about.get("system"), file if keep else None)
    restore(session, records)
    session.options = session.options.updated(options)
    return speaker, session


def _about(speaker: Speaker) -> dict[str, Any]:
    return {
        "checkpoint": speaker.character.checkpoint,
        "speaker": speaker.persona.name if speaker.character.persona else speaker.character.checkpoint,
        "system": speaker.character.system,
    }
