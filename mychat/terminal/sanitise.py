"""Text from a model, a file or a person, made safe for a terminal: control characters are shown, not obeyed."""

from __future__ import annotations

_BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}
_SHOWN |= {0x7F: "\u2421"} | dict.fromkeys([*range(0x80, 0xA0), *_BIDI], "\ufffd")


def sanitise(text: str) -> str:
    r"""Replace C0 (but newline and tab), DEL, C1 and bidirectional controls by visible signs.

    `"\x1b[31m"` -> `"␛[31m"`
    """
    return text.translate(_SHOWN)
