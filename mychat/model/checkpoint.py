"""The checkpoint folder: its one reader and writer. Layout: docs/design.md, section 3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

import mychat
from mychat.config import CONFIG_FILE, PERSONA_FILE, SAMPLING_NAMES, ModelConfig, SamplingOptions
from mychat.corpus.persona import Persona, load_persona, render_persona
from mychat.errors import CheckpointError
from mychat.model.card import render_card
from mychat.model.families import WEIGHT_PREFIX, config_from_hf, config_to_hf
from mychat.model.folder import recover, replacing, sha256_of
from mychat.model.gpt import GPT
from mychat.model.ngram import NGRAMS_FILE, NGramModel, load_ngrams
from mychat.model.record import (
    FORMAT_VERSION,
    RECORD_FILE,
    STEPS_FOLDER,
    TRAINING_FOLDER,
    WEIGHTS_FILE,
    can_chat,
    list_steps,
    read_json,
    read_record,
)
from mychat.tokenizer.bpe import TOKENIZER_FILE, Tokenizer, load_tokenizer
from mychat.tokenizer.train import tokenizer_config

_VERIFIED = (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, "tokenizer_config.json", "generation_config.json", PERSONA_FILE)


@dataclass(slots=True)
class Checkpoint:
    """A model with all it needs: shape, weights, tokenizer, persona, and how it came to be."""

    config: ModelConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer
    persona: Persona
    record: dict[str, Any] = field(default_factory=dict)
    """Stage, parent, data, settings, metrics; the writer adds versions and hashes."""
    ngrams: NGramModel | None = None
    """Of the training rows; drafts for the generation."""
    training: dict[str, bytes | dict[str, Tensor]] = field(default_factory=dict)
    """Files under `training/`: bytes as they are, tensors as safetensors. Only written."""

    def build(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> GPT:
        """Build the network with these weights, ready to evaluate."""
        with torch.device("meta"):
            model = GPT(self.config)
        weights = {name: tensor.to(device, dtype) for name, tensor in self.weights.items()}
        model.load_state_dict(weights, assign=True)
        return model.eval()

    @property
    def sampling(self) -> SamplingOptions:
        """The persona's own sampling options over the defaults."""
        return SamplingOptions().updated(self.persona.sampling)

    @property
    def is_chat(self) -> bool:
        """Whether it answers; otherwise it continues text."""
        return can_chat(self.record)


def load_checkpoint(path: Path, step: int | None = None) -> Checkpoint:
    """Read a folder and check every file against its recorded SHA-256; with `step`, with the weights it had then.

    Raises: CheckpointError when a file is missing, truncated, edited or not understood.
    """
    recover(path)
    record = read_record(path)
    optional = (NGRAMS_FILE,) if NGRAMS_FILE in record.get("sha256", {}) else ()
    earlier = () if step is None else (_step_file(path, step),)
    verify_files(path, record, (*_VERIFIED, *optional, *earlier))
    config = config_from_hf(read_json(path / CONFIG_FILE), path / CONFIG_FILE)
    weights = load_tensors(path / (earlier[0] if earlier else WEIGHTS_FILE))
    weights = {name.removeprefix(WEIGHT_PREFIX): tensor for name, tensor in weights.items()}
    _check_shapes(config, weights, path / WEIGHTS_FILE)
    tokenizer = load_tokenizer(path)
    if tokenizer.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids, the model {config.vocab_size}; "
            "they do not belong together"
        )
    persona = load_persona(path / PERSONA_FILE, SAMPLING_NAMES)
    return Checkpoint(config, weights, tokenizer, persona, record, load_ngrams(path) if optional else None)


def _step_file(path: Path, step: int) -> str:
    name = f"{TRAINING_FOLDER}/{STEPS_FOLDER}/{step}.safetensors"
    if not (path / name).is_file():
        known = ", ".join(map(str, list_steps(path))) or "none"
        raise CheckpointError(f"{path}: no weights of step {step} are kept; there are: {known}")
    return name


def verify_files(path: Path, record: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Compare files with the record's hashes. Raises: CheckpointError at the first that differs."""
    for name in names:
        expected = record.get("sha256", {}).get(name)
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name}: missing; copy the checkpoint again, or train it again")
        if sha256_of(path / name) != expected:
            raise CheckpointError(
                f"{path / name}: damaged or edited (its SHA-256 is not the one in {RECORD_FILE}); "
                "copy the checkpoint again, or train it again"
            )


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises: CheckpointError."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); copy the checkpoint again") from None


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the folder, whole or not at all. Raises: CheckpointError when the disk refuses."""
    tokenizer = checkpoint.tokenizer
    special = {name: tokenizer.marker(f"<|{name}|>") for name in ("bos", "end", "pad")}
    with replacing(path) as folder:
        dtype_name = str(dtype).removeprefix("torch.")
        _write_json(folder / CONFIG_FILE, config_to_hf(checkpoint.config, dtype_name, special))
        weights = {
            WEIGHT_PREFIX + name: tensor.to("cpu", dtype).contiguous() for name, tensor in checkpoint.weights.items()
        }
        (folder / WEIGHTS_FILE).write_bytes(serialise(weights, metadata={"format": "pt"}))
        tokenizer.save(folder / TOKENIZER_FILE)
        _write_json(folder / "tokenizer_config.json", tokenizer_config(checkpoint.config.context_length))
        _write_json(folder / "generation_config.json", _generation_config(checkpoint.sampling, special))
        (folder / PERSONA_FILE).write_text(render_persona(checkpoint.persona), "utf-8")
        if checkpoint.ngrams:
            (folder / NGRAMS_FILE).write_bytes(checkpoint.ngrams.tensors())
        for name, content in checkpoint.training.items():
            target = folder / TRAINING_FOLDER / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.write_bytes(serialise(content))
        record = {"format_version": FORMAT_VERSION, "mychat_version": mychat.__version__, **checkpoint.record}
        record["parameters"] = checkpoint.config.count_parameters()
        (folder / "README.md").write_text(render_card(checkpoint.persona, record), "utf-8")
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        record["sha256"] = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
        _write_json(folder / RECORD_FILE, record)


def _check_shapes(config: ModelConfig, weights: Mapping[str, Tensor], path: Path) -> None:
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in GPT(config).state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"{path}: {name} is {_shape(found.get(name))}, config.json wants {_shape(wanted.get(name))}"
            )


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape))


def _generation_config(sampling: SamplingOptions, special: Mapping[str, int]) -> dict[str, Any]:
    filters = {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    return {
        "bos_token_id": special["bos"],
        "eos_token_id": special["end"],
        "pad_token_id": special["pad"],
        "max_new_tokens": sampling.max_new_tokens,
        "repetition_penalty": sampling.repetition_penalty,
        "do_sample": sampling.temperature > 0,
        **(filters if sampling.temperature > 0 else {}),
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
