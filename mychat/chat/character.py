"""Who speaks in a chat: a checkpoint as itself, or somebody who was only described, through the base model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mychat.chat.session import Answerer
from mychat.chat.waiting import ReadingEngine, WaitingEngine
from mychat.config import BASE_CHECKPOINT, DEFAULT_CHECKPOINT, PERSONA_FILE, SAMPLING_NAMES, find_whole, is_path
from mychat.corpus.persona import Persona, load_persona
from mychat.model.record import Place, find_speaker, split_step, weights_sha256


@dataclass(frozen=True, slots=True)
class Character:
    """A checkpoint, and what stands before the conversation."""

    checkpoint: str
    system: str | None = None
    by_default: bool = False
    """Nobody named the checkpoint."""
    persona: Persona | None = None
    """One that was never trained; None: the checkpoint speaks as its own."""

    @property
    def note(self) -> str:
        """What a person should know who may have expected somebody else; mostly nothing."""
        if self.persona:
            return f"{self.persona.name} is not trained yet: {self.checkpoint} speaks, and reads its description"
        return f"{self.checkpoint} speaks, and reads the system text" if self.by_default and self.system else ""


def find_character(name: str | None, system: str | None) -> Character:
    """Find who is meant by a name of a checkpoint or, where there is none, of a persona; None: the default.

    A persona that is not trained yet speaks through the base model, which reads its description. So does a
    `system` text without a name. Raises: ConfigError when the persona's file cannot be read.
    """
    has_base = find_whole("checkpoints", BASE_CHECKPOINT) is not None
    if name is None:
        return Character(BASE_CHECKPOINT if system and has_base else DEFAULT_CHECKPOINT, system, by_default=True)
    if not has_base or find_whole("checkpoints", split_step(name)[0]):
        return Character(name, system)
    folder = find_whole("personas", name)
    if folder is None:
        return Character(name, system)
    persona = load_persona(folder / PERSONA_FILE, SAMPLING_NAMES)
    return Character(BASE_CHECKPOINT, system or " ".join(persona.description) or None, persona=persona)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody to talk to: the engine loads in the background."""

    character: Character
    place: Place
    persona: Persona
    engine: WaitingEngine
    by: Answerer


def open_speaker(name: str | None, system: str | None, load: Callable[[Place], ReadingEngine]) -> Speaker:
    """Find who is meant; the checkpoint loads when the engine is started. Raises: CheckpointError, ConfigError."""
    character = find_character(name, system)
    place = find_speaker(character.checkpoint, chat=True)
    persona = character.persona or load_persona(place[0] / PERSONA_FILE, SAMPLING_NAMES)
    typed, checkpoint = (
        str(Path(one).absolute()) if is_path(one) else one
        for one in (name or character.checkpoint, character.checkpoint)
    )
    by = Answerer(typed, checkpoint, weights_sha256(place))
    return Speaker(character, place, persona, WaitingEngine(lambda: load(place)), by)
