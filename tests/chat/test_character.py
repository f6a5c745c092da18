"""Who is meant by a name, or by a description alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mychat.chat.character import find_character
from mychat.config import checkpoints_folder, personas_folder
from mychat.corpus.starter import Sketch, new_persona


@pytest.fixture
def base(tiny: Path) -> Path:
    folder = checkpoints_folder() / "base-en"
    shutil.copytree(tiny, folder)
    return folder


def test_a_persona_without_a_checkpoint_speaks_through_the_base_model(base: Path) -> None:
    new_persona(personas_folder(), "luna", Sketch("Luna", "a keeper", "on the moon"))
    luna = find_character("luna", None)
    assert luna.checkpoint == "base-en"
    assert luna.persona is not None
    assert luna.persona.display_name == "Luna"
    assert luna.system == "My name is Luna. I am a keeper. I live on the moon."
    assert find_character("luna", "I am tired.").system == "I am tired."
    shutil.copytree(base, checkpoints_folder() / "luna")
    trained = find_character("luna", None)
    assert (trained.checkpoint, trained.system, trained.persona) == ("luna", None, None)


def test_a_description_alone_is_for_the_base_model(base: Path) -> None:
    assert find_character(None, "I am a baker.").checkpoint == "base-en"
    assert find_character(None, None).checkpoint == "milo"
    assert find_character("nobody", None).checkpoint == "nobody"
    assert "base-en speaks" in find_character(None, "I am a baker.").note
    assert find_character(None, None).note == ""


def test_a_checkpoint_given_by_path_speaks_for_itself(base: Path, tiny: Path, tmp_path: Path) -> None:
    """Every checkpoint holds a persona.toml; that makes it no persona to be described."""
    for name in (str(tiny), str(checkpoints_folder() / "base-en")):
        found = find_character(name, None)
        assert (found.checkpoint, found.persona, found.note) == (name, None, "")
    new_persona(tmp_path / "mine", "luna", Sketch("Luna"))
    assert find_character(str(tmp_path / "mine" / "luna"), None).checkpoint == "base-en"
