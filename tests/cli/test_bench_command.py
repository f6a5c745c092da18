"""`mychat bench` as a person types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mychat.config import PRESETS
from mychat.train.setup import flops_per_token
from tests.cli.test_tune_command import mychat


def test_json_has_every_figure_and_they_agree() -> None:
    out, _ = mychat("bench", "--size", "nano", "--seconds", "0.2", "--device", "cpu", "--json")
    found = json.loads(out)
    assert out.count("\n") == 1
    limits = ("matmul_fp32_flops", "matmul_bf16_flops", "memory_bandwidth_bytes_per_second")
    assert all(found[name] > 1e6 for name in limits)
    assert (found["device"], found["seconds"]) == ("cpu", 0.2)
    (training,), (generation,) = found["training"], found["generation"]
    config = PRESETS["nano"].model(PRESETS["nano"].vocab_size)
    assert training["parameters"] == generation["parameters"] == config.count_parameters()
    assert training["flops_per_token"] == flops_per_token(config)
    assert training["context_length"] == config.context_length
    assert training["compiled"] is False
    speed = training["training_tokens_per_second"]
    assert speed > 0
    peak = found[f"matmul_{training['precision']}_flops"]
    assert training["mfu"] == pytest.approx(speed * training["flops_per_token"] / peak)
    speed = generation["generation_tokens_per_second"]
    assert speed > 0
    weights_bytes = generation["bits_per_weight"] / 8 * config.count_parameters()
    assert generation["mbu"] == pytest.approx(speed * weights_bytes / found[limits[2]])


def test_the_table_has_a_line_a_figure_and_a_missing_compiler_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    out, err = mychat("bench", "--size", "nano", "--seconds", "0.2", "--device", "cpu", "--compile")
    assert re.fullmatch(
        r"cpu, \d+ threads, 0\.2 s a figure.*\n"
        r"matrix products, fp32 +[\d,.]+ [GT]FLOP/s\n"
        r"matrix products, bf16 +[\d,.]+ [GT]FLOP/s\n"
        r"memory, copying +[\d,.]+ GB/s\n"
        r"\nsize +parameters +tokens/s +of the limit\n"
        r"nano +1\.8 M +training, \w+ +[\d,]+ +\d+% MFU\n"
        r"nano +1\.8 M +generation, 16 bits a weight +[\d,]+ +\d+% MBU\n",
        out,
    )
    assert re.search(r"^nano: cannot be compiled here \(\w+\); torch needs a C\+\+ compiler", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--size", "nanno"], "unknown size 'nanno'; did you mean 'nano'?"),
        (["--size", "nano", "--size", "9"], "unknown size '9'"),
        (["--seconds", "0"], "seconds 0 must be above 0"),
        (["--device", "abacus"], "not on this machine"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], problem: str) -> None:
    out, err = mychat("bench", *arguments, code=1)
    assert out == ""
    assert err.startswith("mychat: ")
    assert problem in err
    assert err.count("\n") == 1
