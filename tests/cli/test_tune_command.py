"""`mychat tune` as a person types it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mychat.config import TrainSettings
from mychat.corpus.persona import load_toml


def mychat(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-m", "mychat", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(persona_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "my best.toml"
    command = ["tune", persona_folder, "--minutes", "5", "--trial-minutes", "0.05", "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "mychat", *map(str, command), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "TrialEnded":
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("mychat: stopped after 1 trial(s); the best so far")
    assert err.count("\n") == 1
    settings = TrainSettings().updated(load_toml(out))
    assert (settings.size, settings.dropout) == ("nano", 0.0)

    stdout, err = mychat(*command, "--resume", "--trials", "1")  # which are done: the answer stays
    assert stdout == f"{out}\n"
    assert "going on with" in err
    typed = shlex.split(err.splitlines()[-1].removeprefix("now type: "))
    assert typed == ["mychat", "train", str(persona_folder), "--config", str(out), "--minutes", "5"]
    mychat("train", persona_folder, "--config", out, "--steps", "1", "--plan")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["gone", "--minutes", "5"], "gone: no such persona, file or folder"),
        (["milo", "--minutes", "0"], "minutes 0.0 must be above 0"),
        (["milo", "--minutes", "5", "--trials", "0"], "trials 0 must be 1 or more"),
        (["milo", "--minutes", "5", "--trial-minutes", "6"], "within the 5 of --minutes"),
        (["milo", "--minutes", "5", "--out", "."], "--out .: is a folder"),
        (["milo", "--minutes", "5", "--device", "abacus"], "not on this machine"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = mychat("tune", *arguments, code=1)
    assert out == ""
    assert err.startswith("mychat: ")
    assert problem in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mychat.cli.app import main\nsys.argv = ['mychat', 'tune', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('HEAVY', sorted({'torch', 'rich', 'optuna', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--trial-minutes" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"
