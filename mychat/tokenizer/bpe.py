"""Byte-level BPE: train, load, save, encode, decode, stream.

The vocabulary starts from the 256 bytes, so any text has an encoding. The
splitting rule is the one llama.cpp calls `qwen2`, without a normaliser.
Source: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019 (byte level).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from mychat.errors import CheckpointError, ConfigError

TOKENIZER_FILE = "tokenizer.json"
MARKERS = ("<|bos|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
FEWEST_TOKENS = 256 + len(MARKERS)

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


_LINE_END = re.compile(r"[\r\n](?=\S)")
"""Where a text can be cut without changing its encoding: the splitting rule never looks across."""
_PART_CHARS = 1 << 15


def _byte_of_character() -> dict[str, int]:
    """Map each character of the byte-level alphabet to its byte (the GPT-2 table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}


class Tokenizer:
    """Text to ids and back. A marker's id comes only from `marker`, never from text."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self.inner = inner
        self.inner.encode_special_tokens = True  # "<|user|>" in a text is text
        missing = [marker for marker in MARKERS if inner.token_to_id(marker) is None]
        if missing:
            raise CheckpointError(f"the tokenizer lacks the marker {missing[0]}; it was not made by mychat")

    @property
    def vocab_size(self) -> int:
        """Count all ids, markers included."""
        return int(self.inner.get_vocab_size())

    def marker(self, text: str) -> int:
        """Return the id of a marker such as `<|user|>`."""
        id_ = self.inner.token_to_id(text)
        if id_ is None:
            raise KeyError(text)
        return int(id_)

    def encode(self, text: str) -> list[int]:
        """Encode as ordinary text; a marker's name in it becomes ordinary ids."""
        return list(self.inner.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts, in parallel."""
        return [list(encoding.ids) for encoding in self.inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_long(self, text: str) -> list[int]:
        """Encode as `encode` does, cut at line ends and in parallel."""
        parts, start = [], 0
        for end in _LINE_END.finditer(text):
            if end.end() - start >= _PART_CHARS:
                parts.append(text[start : end.end()])
                start = end.end()
        parts.append(text[start:])
        return [id_ for ids in self.encode_batch(parts) for id_ in ids]

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        table = _byte_of_character()
        markers = {self.marker(name) for name in MARKERS}
        tokens = [self.inner.id_to_token(id_) or "" for id_ in range(self.vocab_size)]
        return [b"" if id_ in markers else bytes(table[char] for char in token) for id_, token in enumerate(tokens)]

    def token_bytes(self, id_: int) -> bytes:
        """Return the bytes a token stands for; none for a marker."""
        return self._token_bytes[id_]

    def decode(self, ids: Iterable[int]) -> str:
        """Decode; markers vanish, bytes that are no character become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def name(self, id_: int) -> str:
        """Return the text of an id alone; a marker's is its name."""
        return self.decode([id_]) or str(self.inner.id_to_token(id_))

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        path.write_text(self.inner.to_str(pretty=True), "utf-8")


class StreamDecoder:
    """Decodes ids one by one and never splits a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id_: int) -> str:
        """Return what this id completes."""
        return self._decoder.decode(self._tokenizer.token_bytes(id_))

    def finish(self) -> str:
        """Return what was left incomplete, as U+FFFD."""
        return self._decoder.decode(b"", final=True)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn merges from texts. The vocabulary is smaller when the texts hold no more pairs.

    Raises: ConfigError when `vocab_size` cannot hold the bytes and the markers.
    """
    if vocab_size < FEWEST_TOKENS:
        raise ConfigError(
            f"vocab_size {vocab_size} is too small: 256 bytes and {len(MARKERS)} markers need {FEWEST_TOKENS}"
        )
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKERS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(_byte_of_character()),
    )
    inner.train_from_iterator(texts, trainer)
    inner.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in MARKERS])
    return Tokenizer(inner)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json` from a folder. Raises: CheckpointError."""
    path = folder / TOKENIZER_FILE
    try:
        text = path.read_text("utf-8")
        json.loads(text)
        inner = tokenizers.Tokenizer.from_str(text)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; is this a checkpoint folder?") from None
    except Exception as error:  # tokenizers raises bare Exception on a malformed file
        raise CheckpointError(f"{path}: not a tokenizer ({error})") from None
    return Tokenizer(inner)
