"""The rules of the house: imports only go down; light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = {
    "cli": 5,
    "terminal": 4,
    "chat": 3,
    "train": 3,
    "evaluate": 3,
    "generate": 3,
    "model": 2,
    "tokenizer": 1,
    "corpus": 1,
    "errors": 0,
    "config": 0,
    "events": 0,
}
SIDEWAYS = {
    ("tokenizer", "corpus"),
    ("train", "generate"),
    ("train", "evaluate"),
    ("evaluate", "generate"),
    ("events", "errors"),
    ("config", "errors"),
}
SOURCES = sorted((ROOT / "mychat").rglob("*.py"))


def room(path: Path) -> str:
    inside = path.relative_to(ROOT / "mychat")
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_rooms(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mychat":
            parts = node.module.split(".")
            found += [(parts[1], node.lineno)] if len(parts) > 1 else [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.Import):
            found += [(a.name.split(".")[1], node.lineno) for a in node.names if a.name.startswith("mychat.")]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    for there, line in imported_rooms(path):
        allowed = there == here or FLOORS[there] < FLOORS[here] or (here, there) in SIDEWAYS
        assert allowed, f"{path.relative_to(ROOT)}:{line}: {here} must not import {there}"


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    source = tmp_path / "wrong.py"
    source.write_text("from mychat.cli.app import main\nimport mychat.train.loop\n")
    assert [found[0] for found in imported_rooms(source)] == ["cli", "train"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["persona", "--help"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom mychat.cli.app import main\n"
        f"sys.argv = ['mychat', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'tokenizers', 'rich', 'prompt_toolkit', 'transformers', 'numpy', 'safetensors'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_the_prompt_waits_for_no_network_and_the_network_for_no_compiler() -> None:
    prompt = "mychat.cli.chat, mychat.chat.waiting, mychat.chat.character, mychat.model.record, mychat.terminal.repl"
    for imports, heavy in ((prompt, {"torch", "numpy", "tokenizers"}), ("mychat.generate.engine", {"torch._dynamo"})):
        code = f"import sys, {imports}\nprint(sorted({heavy!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", done.stdout
