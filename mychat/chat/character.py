"""Who speaks in a chat: a checkpoint as itself, or somebody who was only described, through the base model."""

from __future__ import annotations

from dataclasses import dataclass

from mychat.config import BASE_CHECKPOINT, DEFAULT_CHECKPOINT, SAMPLING_NAMES, find, list_names
from mychat.corpus.persona import PERSONA_FILE, Persona, load_persona


@dataclass(frozen=True, slots=True)
class Character:
    """A checkpoint, and what stands before the conversation."""

    checkpoint: str
    system: str | None = None
    persona: Persona | None = None
    """One that was never trained; None: the checkpoint speaks as its own."""


def find_character(name: str | None, system: str | None) -> Character:
    """Find who is meant by a name of a checkpoint or, where there is none, of a persona; None: the default.

    A persona that is not trained yet speaks through the base model, which reads its description. So does a
    `system` text without a name. Raises: ConfigError when the persona's file cannot be read.
    """
    checkpoints = list_names("checkpoints")
    has_base = BASE_CHECKPOINT in checkpoints
    if name is None:
        return Character(BASE_CHECKPOINT if system and has_base else DEFAULT_CHECKPOINT, system)
    folder = find("personas", name)
    untrained = name not in checkpoints and folder is not None and (folder / PERSONA_FILE).is_file()
    if not untrained or folder is None or not has_base:
        return Character(name, system)
    persona = load_persona(folder / PERSONA_FILE, SAMPLING_NAMES)
    return Character(BASE_CHECKPOINT, system or " ".join(persona.description) or None, persona)
