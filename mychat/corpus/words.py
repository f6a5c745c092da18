"""Whatever somebody gives as words, found and read: a persona, dialogues, conversations, texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from mychat.config import PERSONA_FILE
from mychat.corpus.chatfile import Dialogue, load_chat_file
from mychat.corpus.cleaning import read_text
from mychat.corpus.jsonl import iter_jsonl
from mychat.corpus.messages import Conversation
from mychat.corpus.persona import Persona, load_persona
from mychat.corpus.texts import HELD_BYTES, Text, iter_stretches
from mychat.errors import CorpusError

SUFFIXES = (".chat", ".jsonl", ".txt")


@dataclass(slots=True)
class Words:
    """All that was read, in a stable order."""

    persona: Persona
    dialogues: list[Dialogue] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    skipped: int = 0
    """Conversations in which nobody answers."""

    @property
    def is_chat(self) -> bool:
        """Whether there is anything to answer."""
        return bool(self.dialogues or self.conversations)

    def fingerprint(self) -> str:
        """SHA-256 over the names and bytes of the files."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while data := file.read(HELD_BYTES):
                    digest.update(data)
        return digest.hexdigest()


def load_words(paths: list[Path], sampling_names: list[str]) -> Words:
    """Read folders (a persona each) and files.

    Raises: CorpusError when something is missing, of an unknown kind, broken, or when there are no words at all.
    """
    persona: Persona | None = None
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CorpusError(f"{path}: no such file or folder; check the path")
        if path.is_dir():
            inside = list_data_files(path)
            if not inside:
                raise CorpusError(f"{path}: no .chat, .jsonl or .txt file in this folder")
            files += inside
            if (path / PERSONA_FILE).is_file():
                persona = persona or load_persona(path / PERSONA_FILE, sampling_names)
        elif path.suffix == ".chat" and (path.parent / PERSONA_FILE).is_file():
            persona = persona or load_persona(path.parent / PERSONA_FILE, sampling_names)
            files.append(path)
        else:
            files.append(path)
    name = paths[0].resolve().stem
    words = Words(persona or Persona(name=name, display_name=name.replace("_", " ").replace("-", " ").title()))
    for path in files:
        _read_file(path, words)
    if not (words.dialogues or words.conversations or words.texts):
        raise CorpusError(f"{', '.join(map(str, paths))}: no words in it; nothing to learn from")
    folders = dict.fromkeys(
        path if path.is_dir() else path.parent for path in paths if path.is_dir() or path.suffix == ".chat"
    )
    words.files = files + [folder / PERSONA_FILE for folder in folders if (folder / PERSONA_FILE).is_file()]
    return words


def list_data_files(folder: Path) -> list[Path]:
    """List the files with words in a folder, sorted. Raises: CorpusError when it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if child.suffix in SUFFIXES and child.is_file())
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read ({error.strerror})") from None


def _read_file(path: Path, words: Words) -> None:
    if path.suffix == ".chat":
        words.dialogues += load_chat_file(path, words.persona.slots)
    elif path.suffix == ".jsonl":
        for item in iter_jsonl(path):
            if isinstance(item, str):
                words.texts += [item] if item else []
            elif item.messages:
                words.conversations.append(item)
            else:
                words.skipped += 1
    elif path.suffix == ".txt" and path.is_file() and path.stat().st_size > HELD_BYTES:
        words.texts += iter_stretches(path)
    elif path.suffix == ".txt":
        text = read_text(path).strip("\n")
        words.texts += [text] if text.strip() else []
    else:
        raise CorpusError(f"{path}: unknown kind of file; known: {', '.join(SUFFIXES)}")
