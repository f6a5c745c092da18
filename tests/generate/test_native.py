"""The step in C gives what torch gives, whatever the shape, and a block of tokens exactly what single ones give."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.config import ModelConfig, SamplingOptions
from mychat.generate import build as building
from mychat.generate.batch import generate_batch
from mychat.generate.build import Build, build
from mychat.generate.decoder import Decoder
from mychat.generate.native import MOST_ROWS, NativeStep, fits
from mychat.generate.sampling import Chooser
from mychat.model.gpt import GPT


def made_up(config: ModelConfig, seed: int = 0) -> GPT:
    model = GPT(config)
    generator = torch.Generator().manual_seed(seed)
    model.init_weights(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.1 * torch.randn(parameter.shape, generator=generator)).bfloat16())
    return model


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    build().wait()
    if build().library is None:
        pytest.skip("no C compiler here")


def pair(config: ModelConfig, threads: int, seed: int = 0) -> tuple[Decoder, Decoder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: threads)
        native = Decoder(made_up(config, seed))
    assert isinstance(native._native, NativeStep)
    return native, Decoder(made_up(config, seed), native=False)


CONFIGS = st.builds(
    lambda layers, groups, kv, dim, embd, ff, vocab: ModelConfig(
        vocab_size=vocab, context_length=96, n_layer=layers, n_head=groups * kv, n_kv_head=kv, n_embd=16 * embd,
        n_ff=16 * ff, head_dim=dim,
    ),
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.sampled_from([16, 32, 48, 64, 80]), st.integers(1, 20),
    st.integers(1, 20), st.integers(20, 200),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CONFIGS, st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 99))
def test_the_same_as_torch_in_blocks_of_any_size(
    config: ModelConfig, blocks: list[int], threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    native, plain = pair(config, threads, seed)
    ids = torch.randint(config.vocab_size, (1, min(sum(blocks), config.context_length)))
    ours, theirs, single = (native.make_cache(1, config.context_length) for _ in range(3))
    expected = plain.hidden(ids, theirs)
    parts = [native.hidden(part, ours) for part in ids.split([*_clipped(blocks, ids.shape[1])], dim=1)]
    found = torch.cat(parts, dim=1)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert torch.equal(torch.cat([native.hidden(one, single) for one in ids.split(1, dim=1)], dim=1), found)
    rows = found[0, :MOST_ROWS]
    torch.testing.assert_close(native.logits(rows), plain.logits(rows), rtol=2e-3, atol=2e-3)
    assert torch.equal(torch.cat([native.logits(row) for row in rows.split(1)]), native.logits(rows))


def _clipped(blocks: list[int], most: int) -> list[int]:
    found = []
    for block in blocks:
        if (left := most - sum(found)) > 0:
            found.append(min(block, left))
    return found


MICRO = ModelConfig(vocab_size=300, context_length=256, n_layer=2, n_head=4, n_kv_head=2, n_embd=256, n_ff=704)


def test_what_torch_has_read_it_goes_on_from_and_the_other_way_round() -> None:
    native, plain = pair(MICRO, threads=2)
    ids = torch.randint(300, (1, 200))
    whole = plain.hidden(ids, plain.make_cache(1, 256))
    cache = native.make_cache(1, 256)
    native.hidden(ids[:, :100], cache)  # longer than a call of native.c
    native.hidden(ids[:, 100:130], cache)
    cache.rewind(120)
    native.hidden(ids[:, 120:140], cache)
    end = plain.hidden(ids[:, 140:], cache)
    torch.testing.assert_close(end, whole[:, 140:], rtol=2e-3, atol=2e-3)


def test_what_cannot_be_read_is_an_error() -> None:
    native, _ = pair(MICRO, threads=1)
    cache = native.make_cache(1, 64)
    for ids in ([300], [-1]):
        with pytest.raises(IndexError):
            native.hidden(torch.tensor([ids]), cache)
    native.hidden(torch.zeros(1, 60, dtype=torch.long), cache)
    with pytest.raises(IndexError):
        native.hidden(torch.zeros(1, 5, dtype=torch.long), cache)


def test_only_for_weights_that_lose_nothing() -> None:
    model = made_up(MICRO)
    assert fits(model)
    with torch.no_grad():
        model.norm.weight[0] = 1.0001
    assert not fits(model)
    assert not fits(made_up(MICRO).bfloat16())
    assert not fits(
        made_up(
            ModelConfig(
                vocab_size=30, context_length=64, n_layer=1, n_head=1, n_kv_head=1, n_embd=24, n_ff=32, head_dim=16
            )
        )
    )


@pytest.mark.parametrize("compiler", ["none", "false"])
def test_without_a_compiler_that_works(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(building.platformdirs, "user_cache_dir", lambda _name: str(tmp_path / "mychat"))
    made = Build()
    made.wait()
    assert made.library is None
    assert not list(tmp_path.rglob("*.so"))
    monkeypatch.setattr("mychat.generate.decoder.build", lambda: made)
    assert Decoder(made_up(MICRO))._native is None


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(building.platformdirs, "user_cache_dir", lambda _name: str(tmp_path / "file" / "mychat"))
    made = Build()
    assert made.settled
    assert made.library is None


def test_a_library_that_is_broken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "whole", tmp_path / "broken"]
    monkeypatch.setattr(building.platformdirs, "user_cache_dir", lambda _name: str(folders[0]))
    made = Build()
    made.wait()
    assert made.library
    (path,) = folders[0].iterdir()  # and nothing half made beside it
    folders.pop(0).with_name("broken").mkdir()
    (folders[0] / path.name).write_bytes(b"no library")
    again = Build()
    assert again.settled
    assert again.library is None


def test_nothing_is_loaded_that_others_could_have_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building.platformdirs, "user_cache_dir", lambda _name: str(tmp_path / "open"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert Build().settled
    assert not list((tmp_path / "open").iterdir())


def test_a_compiler_that_never_ends_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "cc"
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    slow.chmod(0o755)
    monkeypatch.setenv("CC", f"{slow} -O0")
    monkeypatch.setattr(building.platformdirs, "user_cache_dir", lambda _name: str(tmp_path / "cache"))
    made = Build()
    monkeypatch.setattr("mychat.generate.decoder.build", lambda: made)
    try:
        decoder = Decoder(made_up(MICRO))
        decoder.hidden(torch.tensor([[1, 2, 3]]), decoder.make_cache(1, 64))
        assert decoder._native is None
        assert not made.settled
    finally:
        assert made._process
        os.killpg(made._process.pid, signal.SIGKILL)
        made._process.wait()


def test_a_batch_is_answered_as_each_alone() -> None:
    """What is left of a batch when the others have ended still has its padding."""
    decoder = Decoder(made_up(MICRO))
    prompts = [list(range(4, 44)), [7, 8, 9]]

    def answer(prompts: list[list[int]], most: list[int]) -> list[list[int]]:
        choosers = [Chooser(SamplingOptions(temperature=0, no_repeat_ngram=0), 0) for _ in prompts]
        return generate_batch(decoder, prompts, choosers, most, end=-1)

    assert answer(prompts, [2, 20]) == [answer(prompts[:1], [2])[0], answer(prompts[1:], [20])[0]]
