"""Unicode clean-up: what a person typed, without what their software added.

The same function cleans the corpus and what is typed into the chat, so a
curly apostrophe means the same in both.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mychat.errors import CorpusError

# Control characters but newline and tab, zero-width and bidirectional marks, BOM.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates but for those in which Python keeps bytes that are not UTF-8."""
MOST_PASSES = 8


def clean_text(text: str) -> str:
    """Repair mojibake, straighten quotes, unify line ends, drop invisible marks.

    Zero-width joiners stay: emoji and several scripts need them. What a repair
    uncovers is repaired too.
    """
    for _ in range(MOST_PASSES):
        cleaned = _clean_once(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text or not text.isascii():
        text = _repaired(text)
    return _UNWANTED.sub("", text)


def _repaired(text: str) -> str:
    import ftfy  # takes 30 ms to load, which a chat in ASCII need not wait for
    from ftfy.fixes import remove_terminal_escapes

    text = remove_terminal_escapes(text)
    if text.isascii():
        return text
    settings = ftfy.TextFixerConfig(
        unescape_html=False,
        fix_character_width=False,  # full-width punctuation is right in Chinese
        restore_byte_a0=False,
        normalization="NFC",
        explain=False,
    )
    return ftfy.fix_text(text, settings).replace("\u00a0", " ")


def find_unwanted(text: str) -> str:
    """Return the first character of a line that reading removes, or nothing; a byte order mark may begin it."""
    found = _UNWANTED.search(text.removeprefix("\ufeff").removesuffix("\r"))
    return found.group() if found else ""


def read_text(path: Path) -> str:
    """Read a UTF-8 file, cleaned.

    Raises: CorpusError when it is missing, a folder, unreadable or not UTF-8.
    """
    return clean_text(decode_utf8(read_bytes(path), path))


def read_bytes(path: Path) -> bytes:
    """Read a file whole. Raises: CorpusError when that cannot be done."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder, a file was expected") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None


def decode_utf8(data: bytes, path: Path) -> str:
    """Decode; the error names the line and column of the first bad byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise CorpusError(
            f"{path}:{line}:{column}: not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from None


def clean_argument(text: str) -> str:
    """Clean what was typed; bytes that were not UTF-8, and halves of a character, become U+FFFD."""
    text = _HALF.sub("\ufffd", text)
    return clean_text(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def read_stdin() -> str:
    """Read standard input whole, as UTF-8, cleaned. Raises: CorpusError."""
    return clean_text(decode_utf8(sys.stdin.buffer.read(), Path("<stdin>"))).strip("\n")
