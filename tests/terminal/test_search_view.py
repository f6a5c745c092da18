"""A search as it is drawn: a line a trial, and in a terminal a table that stays on the screen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pyte
import pytest

from mychat.events import TrialEnded, TrialStarted, TrialValidated, Tuned, TuneEvent
from mychat.terminal.console import Terminal
from mychat.terminal.tune import draw_tuning, report_tuning
from tests.conftest import ROOT

OWN = {"size": "micro", "vocab_size": 2560, "matrix_learning_rate": 0.02, "dropout": 0.0}
OTHER = {"size": "nano", "vocab_size": 1280, "matrix_learning_rate": 0.031, "dropout": 0.1}
DONE = Tuned("milo tuned.toml", OTHER, 0.0412, 0.0437, 3, 1, 5.0)
EVENTS: list[TuneEvent] = [
    TrialStarted(0, True, {}),
    TrialEnded(0, True, OWN, 0.0437, False, True, 61.0),
    TrialStarted(1, False, OTHER),
    TrialValidated(1, 0.5, 0.1),
    TrialEnded(1, False, OTHER, 0.0412, False, True, 60.0),
    TrialStarted(2, False, OTHER),
    TrialEnded(2, False, OTHER | {"size": "mini"}, 0.6, True, False, 33.0),
    TrialStarted(3, False, OTHER | {"vocab_size": 999}),
    TrialValidated(3, 0.25, 0.7777),
]


def test_elsewhere_a_trial_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    assert draw_tuning(terminal, [*EVENTS, DONE], as_json=False) == DONE
    report_tuning(terminal, DONE, "milo")
    out, err = capsys.readouterr()
    assert out == "milo tuned.toml\n"
    assert err.splitlines() == [
        "trial 0, mychat's own rules: 0.0437 bits per byte in 61 s, the best so far "
        "(size micro, vocab_size 2,560, matrix_learning_rate 0.02, dropout 0.0)",
        "trial 1: 0.0412 bits per byte in 60 s, the best so far "
        "(size nano, vocab_size 1,280, matrix_learning_rate 0.031, dropout 0.1)",
        "trial 2: 0.6000 bits per byte in 33 s, given up "
        "(size mini, vocab_size 1,280, matrix_learning_rate 0.031, dropout 0.1)",
        "3 trials, 1 given up early; the best: 0.0412 bits per byte on validation, mychat's own rules: 0.0437",
        "now type: mychat train milo --config 'milo tuned.toml' --minutes 5",
    ]


def draw_in_a_terminal(script: str, rows: int, tmp_path: Path) -> list[str]:
    """Return the lines of the screen after a script that draws."""
    file = tmp_path / "draw.py"
    imports = "from mychat.terminal.console import Terminal\nfrom mychat.terminal.tune import draw_tuning\n"
    file.write_text(imports + "from tests.terminal.test_search_view import *\n" + script, "utf-8")
    screen = pyte.Screen(90, rows)
    env = {
        name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")
    }  # the size is the pty's
    env |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", "TERM": "xterm-256color"}
    child = pexpect.spawn(sys.executable, ["-m", "draw"], env=env, dimensions=(rows, 90), timeout=60)
    pyte.ByteStream(screen).feed(child.read())
    child.close()
    assert child.exitstatus == 0
    return [line.rstrip() for line in screen.display]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_in_a_terminal_one_table_shows_all_and_marks_the_best(tmp_path: Path) -> None:
    lines = draw_in_a_terminal("draw_tuning(Terminal(), EVENTS, as_json=False)\n", 24, tmp_path)
    assert [cells(line) for line in lines if "│" in line] == [
        ["0", "0.0437", "micro", "2,560", "0.02", "0.0", "own rules"],
        ["1", "0.0412", "nano", "1,280", "0.031", "0.1", "the best"],
        ["2", "0.6000", "mini", "1,280", "0.031", "0.1", "given up"],
        ["3", "0.7777", "nano", "999", "0.031", "0.1", "25%"],
    ]
    assert sum("bits per byte" in line for line in lines) == 1  # drawn over, not again below


def test_a_long_search_shows_the_newest_and_the_best(tmp_path: Path) -> None:
    script = (
        "many = [TrialEnded(n, False, OTHER, 1.0 - 0.5 * (n == 3), False, n == 3, 9.0) for n in range(60)]\n"
        "draw_tuning(Terminal(), many, as_json=False)\n"
    )
    lines = draw_in_a_terminal(script, 16, tmp_path)
    shown = [cells(line)[0] for line in lines if "│" in line]
    assert shown == ["3", *map(str, range(50, 60))]
