"""Model families: how a config and weight names map to Hugging Face's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mychat.config import ModelConfig
from mychat.errors import CheckpointError, ConfigError

WEIGHT_PREFIX = "model."


def config_to_hf(config: ModelConfig, dtype: str, special_ids: Mapping[str, int]) -> dict[str, Any]:
    """Write a config as Qwen3ForCausalLM reads it. `special_ids`: bos, end, pad."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "hidden_size": config.n_embd,
        "head_dim": config.head_dim,
        "intermediate_size": config.n_ff,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,  # read by llama.cpp and transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # transformers 5
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "initializer_range": 0.02,
        "bos_token_id": special_ids["bos"],
        "eos_token_id": special_ids["end"],
        "pad_token_id": special_ids["pad"],
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def config_from_hf(raw: Mapping[str, Any], path: Path) -> ModelConfig:
    """Read a Qwen3 config. Raises: CheckpointError when it is another family or incomplete."""
    if raw.get("model_type") != "qwen3":
        raise CheckpointError(f"{path}: model_type {raw.get('model_type')!r} is not supported; mychat writes 'qwen3'")
    rope = raw.get("rope_parameters") or {}
    try:
        return ModelConfig(
            vocab_size=raw["vocab_size"],
            context_length=raw["max_position_embeddings"],
            n_layer=raw["num_hidden_layers"],
            n_head=raw["num_attention_heads"],
            n_kv_head=raw["num_key_value_heads"],
            n_embd=raw["hidden_size"],
            head_dim=raw["head_dim"],
            n_ff=raw["intermediate_size"],
            rope_theta=rope.get("rope_theta", raw.get("rope_theta", 10_000.0)),
            norm_eps=raw["rms_norm_eps"],
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: key {error} is missing") from None
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: {error}") from None
