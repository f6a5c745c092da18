"""Every command as a person types it, in a process of its own; and what they get for wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def mychat(*arguments: str | Path, stdin: str | bytes = b"", code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mychat", *map(str, arguments)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=120,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, (out, err)
    assert "Traceback" not in err
    return out, err


def test_sample_answers_on_stdout_alone(tiny: Path) -> None:
    out, err = mychat("sample", "hi", "-c", tiny, "--temperature", "0")
    assert out.strip() in ("Hello! I am Pip.", "Hi. I am Pip.")
    assert err == ""
    piped, _ = mychat("sample", "-c", tiny, "--temperature", "0", stdin="hi\n")
    dashed, _ = mychat("sample", "-", "-c", tiny, "--temperature", "0", stdin="hi")
    assert piped == dashed == out


def test_sample_json(tiny: Path) -> None:
    first, second = (json.loads(mychat("sample", "hi", "-c", tiny, "--json", "--seed", "4")[0]) for _ in range(2))
    assert set(first) == {"reply", "tokens", "prompt_tokens", "finish_reason", "tokens_per_second", "seed"}
    assert (first["reply"], first["seed"], first["finish_reason"]) == (second["reply"], 4, "stop")


def test_sample_tells_what_it_weighed(tiny: Path) -> None:
    told = json.loads(mychat("sample", "hi", "-c", tiny, "--json", "--probs", "2", "--temperature", "0")[0])
    assert "".join(token["text"] for token in told["probs"]) == told["reply"]
    assert [len(token["alternatives"]) for token in told["probs"]] == [2] * told["tokens"]
    assert "".join(token["text"] for token in told["prompt_probs"]) == "<|user|>hi<|end|><|assistant|>"
    _, err = mychat("sample", "hi", "-c", tiny, "--probs", "2", code=2)
    assert "--json" in err


def test_sample_chooses_among_texts(tiny: Path) -> None:
    texts = "Hello! I am Pip.,My name is Pip."
    out, _ = mychat("sample", "what's your name?", "-c", tiny, "--choices", texts)
    assert out.strip() == "My name is Pip."
    shares = json.loads(mychat("sample", "hi", "-c", tiny, "--choices", texts, "--json")[0])["choices"]
    assert next(iter(shares)) == "Hello! I am Pip."
    assert abs(sum(shares.values()) - 1) < 1e-6
    _, err = mychat("sample", "hi", "-c", tiny, "--choices", "yes", code=1)
    assert "two or more" in err


def test_sample_searches_and_stops(tiny: Path) -> None:
    out, _ = mychat("sample", "hi", "-c", tiny, "--beams", "3", "--stop", "Pip", "--stop", "zzz")
    assert out.strip() in ("Hello! I am", "Hi. I am")
    out, _ = mychat("sample", "hi", "-c", tiny, "--best-of", "4", "--ban", "Pip", "--seed", "1")
    assert "Pip" not in out


def test_raw_continues_text(tiny_text: Path, tiny: Path) -> None:
    out, _ = mychat("sample", "--raw", "-c", tiny_text, "--temperature", "0", "Note 3: the")
    assert "on the table" in out
    mychat("sample", "--raw", "-c", tiny, "hi")
    _, err = mychat("sample", "hi", "-c", tiny_text, code=1)
    assert "continues text" in err


def test_eval_measures_the_test_side_again(tiny: Path, tmp_path: Path) -> None:
    stored = json.loads(mychat("info", tiny, "--json")[0])["metrics"]
    persona = tiny.parent / "pip"
    again = json.loads(mychat("eval", tiny, "--data", persona, "--json")[0])
    assert again == pytest.approx(stored, rel=0.02)
    other = tmp_path / "other.jsonl"
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello! I am Pip."}]
    other.write_text(json.dumps({"messages": turns}))
    assert json.loads(mychat("eval", tiny, "--data", other, "--json")[0])["bits_per_byte"] < 2
    shown, _ = mychat("eval", tiny, "--data", persona, "--show-wrong", "2")
    assert "persona accuracy" in shown
    _, err = mychat("eval", tiny, code=1)
    assert "name them with --data" in err


def test_info_persona_and_tokenizer(tiny: Path, tmp_path: Path) -> None:
    out, _ = mychat("info", tiny)
    assert "Pip" in out
    assert "trained from scratch" in out
    assert "milo" in mychat("persona", "list")[0]
    assert {"name": "milo", "display_name": "Milo", "language": "en"} in json.loads(
        mychat("persona", "list", "--json")[0]
    )
    shown = json.loads(mychat("persona", "show", "milo", "--json", "--examples", "2")[0])
    assert shown["topics"] >= 40
    assert len(shown["examples"]) == 2
    tokens = json.loads(mychat("tokenizer", "show", tiny, "hi <|user|>", "--json")[0])
    assert b"".join(bytes.fromhex(token["bytes"]) for token in tokens) == b"hi <|user|>"
    (tmp_path / "a.txt").write_text("the cat sat on the mat " * 40)
    out, _ = mychat("tokenizer", "train", tmp_path / "a.txt", "--vocab-size", "280", "--out", tmp_path / "tok")
    assert out.strip() == str(tmp_path / "tok")
    assert "·the" in mychat("tokenizer", "show", tmp_path / "tok", "on the mat")[0]


def test_a_new_persona_trains_and_chats(tmp_path: Path) -> None:
    out, err = mychat("persona", "new", "luna")
    assert out.strip() == str(tmp_path / "personas" / "luna")
    assert "mychat train luna" in err
    _, err = mychat("train", "luna", "--steps", "10", "--size", "nano")
    assert "mychat chat luna" in err
    out, _ = mychat("chat", "luna", stdin="hello\n/quit\n")
    assert "Luna: " in out


def test_train_json_is_json_alone(tmp_path: Path) -> None:
    out, err = mychat("train", "captain", "--from", "scratch", "--steps", "1", "--size", "nano", "--out", "x", "--json")
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[0] == "CorpusRead"
    assert events[-1] == "Finished"
    assert err == ""
    assert (tmp_path / "checkpoints" / "x" / "config.json").exists()


BAD = {
    "missing file": (["train", "gone.txt"], "gone.txt: no such persona, file or folder"),
    "a folder for a file": (["tokenizer", "train", "folder", "-o", "x"], "no .chat, .jsonl or .txt file"),
    "empty corpus": (["train", "empty.txt"], "no words in it"),
    "too small": (["train", "small.jsonl", "--from", "scratch"], "too small to split"),
    "not UTF-8": (["train", "latin.txt"], "latin.txt:2:4: not UTF-8"),
    "broken JSONL": (["train", "broken.jsonl"], "broken.jsonl:2:"),
    "broken .chat": (["train", "broken.chat"], "broken.chat:2:7: an unclosed '{'"),
    "unknown TOML key": (["train", "bad"], "did you mean 'language'?"),
    "unknown setting": (["train", "small.jsonl", "--config", "bad.toml"], "did you mean 'micro_batch'?"),
    "config is a folder": (["train", "small.jsonl", "--config", "folder"], "is a folder"),
    "unknown size": (["train", "small.jsonl", "--size", "tiny"], "known: nano"),
    "no checkpoint": (["chat", "gone"], "no such checkpoint"),
    "not a checkpoint": (["info", "folder"], "not a checkpoint"),
    "no parent": (["finetune", "small.jsonl", "--from", "gone"], "no such checkpoint"),
    "unknown persona": (["persona", "show", "gone"], "no such persona"),
    "small vocabulary": (
        ["tokenizer", "train", "long.txt", "--vocab-size", "9", "-o", "x"],
        "vocab_size 9 is too small",
    ),
    "option out of range": (["sample", "hi", "--temperature", "-1"], "temperature -1.0 must be 0"),
    "no device": (["sample", "hi", "--device", "abacus"], "not on this machine"),
    "stdin is not UTF-8": (["sample", "-"], "<stdin>:1:1: not UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for folder in ("folder", "bad"):
        (tmp_path / folder).mkdir()
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "long.txt").write_text("words and words\n" * 9)
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9")
    (tmp_path / "small.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    )
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "broken.chat").write_text("> hi\nHello {there\n")
    (tmp_path / "bad" / "persona.toml").write_text("langage = 'en'")
    (tmp_path / "bad" / "talk.chat").write_text("> hi\nHello\n")
    (tmp_path / "bad.toml").write_text("micro_bach = 3")
    before = sorted(tmp_path.rglob("*"))
    arguments, problem = BAD[name]
    out, err = mychat(*arguments, stdin=b"\xff" if "stdin" in name else b"", code=1)
    assert out == ""
    assert problem in err
    assert err.startswith("mychat: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train", "--stepz", "3"], ["train", "--steps", "x"], ["tokenizer", "show"], ["persona", "new"]],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    _, err = mychat(*arguments, code=2)
    assert "Error" in err


def test_a_damaged_checkpoint_is_refused(tiny: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:-100])
    _, err = mychat("sample", "hi", "-c", copy, code=1)
    assert "model.safetensors: damaged or edited" in err
    _, err = mychat("sample", "word " * 300, "-c", tiny, code=1)
    assert "shorten it by" in err


def test_a_closed_pipe_is_quiet(tiny: Path) -> None:
    command = f"{sys.executable} -m mychat persona show milo --examples 500 | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "pretrain", "finetune", "chat", "sample", "eval", "info"])
def test_every_command_helps(command: str) -> None:
    out, _ = mychat(command, "--help")
    assert "Usage: mychat " + command in out
