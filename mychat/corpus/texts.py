"""Plain text that may be too large to hold: read in stretches, each when it is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mychat.corpus.cleaning import clean_text
from mychat.errors import CorpusError

HELD_BYTES = 1 << 26
"""A larger file is left on the disk."""
STRETCH_BYTES = 1 << 18
SAMPLE_CHARS = 100_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole lines of a file, from one byte to before another."""

    path: Path
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(len(self))
        try:
            return clean_text(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{self.path}: not UTF-8 at byte {self.start + error.start:,} (0x{data[error.start]:02x}); "
                "save the file as UTF-8"
            ) from None


Text = str | Stretch
"""`str()` gives its characters, `len()` about how many."""


def name_of(text: Text) -> str:
    """Return what tells a text from others, wherever its file lies."""
    return text if isinstance(text, str) else f"{text.path.name}:{text.start}"


def sample_texts(texts: Sequence[Text]) -> Iterator[str]:
    """Yield every n-th text, so that about `SAMPLE_CHARS` come together: enough to learn a tokenizer from."""
    every = -(-sum(map(len, texts)) // SAMPLE_CHARS)
    return (str(text) for text in texts[:: max(1, every)])


def iter_stretches(path: Path) -> Iterator[Stretch]:
    """Cut a file at line ends into stretches of `STRETCH_BYTES` or a line more; lines without end are cut anywhere.

    Raises: CorpusError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start, size = 0, path.stat().st_size
            while start < size:
                file.seek(min(size, start + STRETCH_BYTES))
                file.readline(STRETCH_BYTES)
                end = file.tell()
                while end < size and _inside_a_character(file.read(1)):
                    end += 1
                yield Stretch(path, start, end)
                start = end
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None


def _inside_a_character(byte: bytes) -> bool:
    """Whether a byte goes on with a UTF-8 character that began before it."""
    return bool(byte) and byte[0] & 0xC0 == 0x80
