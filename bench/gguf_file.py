"""A network of ours as a GGUF file, for comparison with llama.cpp (needs the `gguf` package).

Ids only: the vocabulary is a list of signs, so no text goes in or comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import torch
from torch import Tensor

from mychat.config import ModelConfig

TYPES = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16,
         "bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0}  # fmt: skip
NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(config: ModelConfig, weights: Mapping[str, Tensor], path: Path, kind: str) -> None:
    """Write weights (our names) as llama.cpp's qwen3, matrices in `kind`, vectors in fp32."""
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_ff)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"<{id_}>" for id_ in range(config.vocab_size)])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    for name, tensor in weights.items():
        array = tensor.float().numpy()
        if tensor.dim() == 1:
            writer.add_tensor(gguf_name(name), array)
        else:
            packed = gguf.quants.quantize(array, TYPES[kind])
            writer.add_tensor(gguf_name(name), packed, raw_dtype=TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """`layers.0.mlp.up_proj.weight` -> `blk.0.ffn_up.weight`."""
    if name == "embed_tokens.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, *inner, last = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(inner)]}.{last}"


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Draw a network's weights, rounded to bf16 so that every precision starts from the same numbers."""
    from mychat.model.gpt import GPT

    model = GPT(config)
    model.init_weights(torch.Generator().manual_seed(seed))
    return {name: tensor.bfloat16().float() for name, tensor in model.state_dict().items()}
