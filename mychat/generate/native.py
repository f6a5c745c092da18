"""The decoder's step in C (native.c): a program of its own, where torch is kept busy calling small operations.

Only for weights that bf16 holds exactly, as every saved checkpoint has them, on a CPU; with no compiler on the
machine the decoder does without.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mychat.model.gpt import GPT, Attention, Block, FeedForward

MOST_ROWS = 64
"""New tokens of one call; more are faster as torch's products."""
WIDTH_PER_THREAD = 128
"""Of n_embd: with less to do, a thread costs more than it brings."""
ROOM_STEP = 64
"""A cache's room is a multiple of it: keys are read a whole block at a time."""
MOST_SHARED = 256
"""Heads of queries to one of keys: beyond any real model, and numbers in native.c stay small."""
_WIDEST = 16
"""Numbers in the widest vector; what is read in vectors must be a multiple."""
_SIZES = ("n_layer", "n_embd", "n_head", "n_kv_head", "head_dim", "n_ff", "vocab_size")
_NORMS = ("norm", "qk_norm", "ff_norm")
_MATRICES = ("qkv", "out", "gate", "up", "down")


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in (*_SIZES, "context_length", "most_rows", "threads")),
        ("norm_eps", ctypes.c_float),
    )


class _Layer(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in (*_NORMS, *_MATRICES))


def fits(model: GPT) -> bool:
    """Whether native.c can run it, given a library."""
    config, weight = model.config, model.embed_tokens.weight
    wide = all(width % _WIDEST == 0 for width in (config.n_embd, config.n_ff, config.head_dim))
    return (
        wide and config.n_head // config.n_kv_head <= MOST_SHARED
        and weight.device.type == "cpu" and weight.dtype == torch.float32
        and all(torch.equal(one, one.bfloat16().float()) for one in model.parameters())
    )  # fmt: skip


def _free(library: ctypes.CDLL, handle: ctypes.c_void_p, owner: int) -> None:
    if os.getpid() == owner:  # the threads of a process do not live on in those it forks
        library.mychat_free(handle)


class NativeStep:
    """Runs a GPT over a few new tokens. Not for two threads at once.

    `norms`: of each layer as the decoder holds them, then the last; `rotary`: (context_length, 1, D) each.
    """

    def __init__(
        self, library: ctypes.CDLL, model: GPT, norms: Sequence[Sequence[Tensor]], rotary: tuple[Tensor, Tensor]
    ) -> None:
        config = model.config
        library.mychat_make.restype = ctypes.c_void_p
        self._library, self._block = library, int(library.mychat_block())
        self._kept: list[object] = []
        """What native.c points to."""
        *layers, (last,) = norms
        blocks = [block for block in model.layers if isinstance(block, Block)]
        laid_out = [self._lay_out(block, own) for block, own in zip(blocks, layers, strict=True)]
        threads = max(1, min(torch.get_num_threads(), config.n_embd // WIDTH_PER_THREAD))
        shape = _Shape(
            *(getattr(config, name) for name in _SIZES), config.context_length, MOST_ROWS, threads,
            config.norm_eps,
        )  # fmt: skip
        embedding = model.embed_tokens.weight
        handle = library.mychat_make(
            ctypes.byref(shape), self._keep((_Layer * len(laid_out))(*laid_out)), self._floats(embedding),
            self._packed(embedding), self._floats(last), *(self._floats(table) for table in rotary),
        )  # fmt: skip
        if handle is None:
            raise MemoryError
        self._handle = ctypes.c_void_p(handle)
        weakref.finalize(self, _free, library, self._handle, os.getpid()).atexit = False
        self._width, self._vocab = config.n_embd, config.vocab_size
        self._padded_vocab = -(-config.vocab_size // self._block) * self._block

    def hidden(self, ids: Tensor, start: int, keys: Tensor, values: Tensor) -> Tensor:
        """Run new ids (T) after `start` others, whose cache grows by them: -> (T, C), normalised.

        Keys (layers, K, D, room), values (layers, K, room, D). Raises: IndexError for what is no id, or has no room.
        """
        ids = ids.to(torch.int64).contiguous()
        out = torch.empty(len(ids), self._width, dtype=torch.float32)
        failed = self._library.mychat_hidden(
            self._handle, ctypes.c_void_p(ids.data_ptr()), len(ids), start, ctypes.c_void_p(keys.data_ptr()),
            ctypes.c_void_p(values.data_ptr()), values.shape[-2], ctypes.c_void_p(out.data_ptr()),
        )  # fmt: skip
        if failed:
            raise IndexError(f"{len(ids)} ids after {start}: beyond the vocabulary, or the cache")
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Score every id: (T, C) -> (T, V)."""
        hidden = hidden.contiguous()
        out = torch.empty(len(hidden), self._padded_vocab, dtype=torch.float32)
        self._library.mychat_logits(
            self._handle, ctypes.c_void_p(hidden.data_ptr()), len(hidden), ctypes.c_void_p(out.data_ptr())
        )
        return out[:, : self._vocab]

    # --- weights as native.c reads them

    def _lay_out(self, block: Block, norms: Sequence[Tensor]) -> _Layer:
        attention, ff = block.self_attn, block.mlp
        assert isinstance(attention, Attention)
        assert isinstance(ff, FeedForward)
        qkv = torch.cat([one.weight for one in (attention.q_proj, attention.k_proj, attention.v_proj)])
        matrices = (qkv, attention.o_proj.weight, ff.gate_proj.weight, ff.up_proj.weight, ff.down_proj.weight)
        return _Layer(*map(self._floats, norms), *map(self._packed, matrices))

    def _packed(self, weight: Tensor) -> ctypes.c_void_p:
        """(out, in) -> (out / block, in, block) in bf16, filled up with zeros."""
        out, wide = weight.shape
        blocks = -(-out // self._block)
        whole = torch.zeros(blocks * self._block, wide, dtype=torch.bfloat16)
        whole[:out] = weight.detach()
        bits = whole.view(torch.int16).numpy().reshape(blocks, self._block, wide)
        return self._keep(np.ascontiguousarray(bits.transpose(0, 2, 1)))

    def _floats(self, tensor: Tensor) -> ctypes.c_void_p:
        return self._keep(tensor.detach().contiguous().numpy())

    def _keep(self, found: NDArray[np.generic] | ctypes.Array[_Layer]) -> ctypes.c_void_p:
        self._kept.append(found)
        address = found.ctypes.data if isinstance(found, np.ndarray) else ctypes.addressof(found)
        return ctypes.c_void_p(address)
