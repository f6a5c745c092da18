"""A persona: who speaks. The file is `persona.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mychat.config import PERSONA_FILE
from mychat.corpus.cleaning import clean_text, decode_utf8, read_bytes
from mychat.errors import ConfigError, suggest


@dataclass(frozen=True, slots=True)
class Persona:
    """Facts about a persona, its sampling defaults and its word lists."""

    name: str
    display_name: str
    language: str = "en"
    greeting: str = ""
    description: tuple[str, ...] = ()
    credits: tuple[str, ...] = ()
    """Whose words these are and under which licence, one source each; they go with every checkpoint."""
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises: ConfigError with the place of the mistake."""
    try:
        return tomllib.loads(decode_utf8(read_bytes(path), path).removeprefix("\ufeff").replace("\r\n", "\n"))
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def check_keys(table: Mapping[str, Any], known: list[str], where: str) -> None:
    """Raise ConfigError at the first unknown key, naming the nearest right one."""
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{suggest(key, known) or '; known: ' + ', '.join(known)}")


def load_persona(path: Path, sampling_names: list[str]) -> Persona:
    """Read `persona.toml`; the folder's name stands in for missing names.

    `sampling_names` are the keys that `[sampling]` may hold.
    Raises: ConfigError on a wrong type or an unknown key.
    """
    table = load_toml(path)
    check_keys(table, [field.name for field in fields(Persona)], str(path))

    def text(key: str, default: str) -> str:
        value = table.get(key, default)
        if not isinstance(value, str):
            raise ConfigError(f'{path}: {key} must be a text in quotes, as in {key} = "{default or key}"')
        return " ".join(clean_text(value).split())

    def texts(value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise ConfigError(f'{path}: {where} must be a list of texts, as in ["one", "two"]')
        return tuple(" ".join(clean_text(item).split()) for item in value)

    def subtable(key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key} must be a table, written [{key}]")
        return value

    sampling, slots = subtable("sampling"), subtable("slots")
    check_keys(sampling, sampling_names, f"{path}: [sampling]")
    for key, value in sampling.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{path}: [sampling] {key} must be a number")
    for key, words in slots.items():
        if not words:
            raise ConfigError(f"{path}: slot {key!r} is empty; give it a few words")
    name = text("name", path.parent.name)
    return Persona(
        name=name,
        display_name=text("display_name", name.capitalize()),
        language=text("language", "en"),
        greeting=text("greeting", ""),
        description=texts(table.get("description", []), "description"),
        credits=texts(table.get("credits", []), "credits"),
        sampling=sampling,
        slots={key: texts(words, f"slot {key!r}") for key, words in slots.items()},
    )


def load_personas(folders: list[Path], sampling_names: list[str]) -> list[Persona]:
    """Read the persona of each folder."""
    return [load_persona(folder / PERSONA_FILE, sampling_names) for folder in folders]


def render_persona(persona: Persona) -> str:
    """Write `persona.toml`, as `load_persona` reads it."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    def listed(texts: Iterable[str]) -> str:
        items = "".join(f"    {quoted(text)},\n" for text in texts)
        return f"[\n{items}]" if items else "[]"

    lines = [f"{key} = {quoted(getattr(persona, key))}" for key in ("name", "display_name", "language", "greeting")]
    lines.append(f"description = {listed(persona.description)}")
    if persona.credits:
        lines.append(f"credits = {listed(persona.credits)}")
    if persona.sampling:
        lines += ["", "[sampling]", *(f"{key} = {value}" for key, value in persona.sampling.items())]
    if persona.slots:
        lines += ["", "[slots]", *(f"{key} = {listed(words)}" for key, words in persona.slots.items())]
    return "\n".join(lines) + "\n"
