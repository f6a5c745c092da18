"""Train a tokenizer on files and write its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mychat.config import SAMPLING_NAMES
from mychat.corpus.compose import draw_conversations
from mychat.corpus.texts import sample_texts
from mychat.corpus.words import load_words
from mychat.errors import CorpusError
from mychat.tokenizer.bpe import TOKENIZER_FILE, Tokenizer, train_tokenizer
from mychat.tokenizer.chat_format import CHAT_TEMPLATE

DRAWN_CHARS = 1_000_000
"""Of a persona's expansions."""


@dataclass(frozen=True, slots=True)
class TrainedTokenizer:
    """The tokenizer and what it was measured on: its own training text."""

    tokenizer: Tokenizer
    text_bytes: int
    tokens: int


def train_files(paths: list[Path], vocab_size: int, out: Path, *, replace: bool = False) -> TrainedTokenizer:
    """Learn from words of any kind and write `tokenizer.json` and its config.

    Raises: CorpusError, ConfigError; nothing is written then.
    """
    if (out / TOKENIZER_FILE).exists() and not replace:
        raise CorpusError(f"{out / TOKENIZER_FILE}: exists already; choose another --out, or --force to replace it")
    words = load_words(paths, SAMPLING_NAMES)
    conversations = draw_conversations(words.dialogues, words.persona, DRAWN_CHARS, 0) if words.dialogues else []
    conversations += words.conversations
    said = [message.content for conversation in conversations for message in conversation.messages]
    texts = said + list(sample_texts(words.texts))
    tokenizer = train_tokenizer(texts, vocab_size)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(None), indent=2) + "\n", "utf-8")
        tokenizer.save(out / TOKENIZER_FILE)
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror})") from None
    tokens = sum(map(len, tokenizer.encode_batch(texts)))
    return TrainedTokenizer(tokenizer, sum(len(text.encode()) for text in texts), tokens)


def tokenizer_config(context_length: int | None) -> dict[str, Any]:
    """Return `tokenizer_config.json` for transformers."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
        **({"model_max_length": context_length} if context_length else {}),
    }
