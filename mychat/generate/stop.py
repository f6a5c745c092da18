"""Text out of ids, up to where a stop string begins."""

from __future__ import annotations

from collections.abc import Sequence

from mychat.tokenizer.bpe import StreamDecoder, Tokenizer


class TextUntil:
    """Decodes ids one by one; holds back what may be the beginning of a stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._decoder = StreamDecoder(tokenizer)
        self._stops = stops
        self._held = ""
        self.stopped = False

    def begin(self, ids: Sequence[int]) -> str:
        """Return the text of what was said before; a stop string in it is none."""
        return "".join(map(self._decoder.push, ids))

    def push(self, id_: int) -> str:
        """Return what is certain to be part of the text now."""
        return self._take(self._decoder.push(id_))

    def finish(self) -> str:
        """Return what was held back."""
        rest = self._take(self._decoder.finish()) + ("" if self.stopped else self._held)
        self._held = ""
        return rest

    def _take(self, text: str) -> str:
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            end = min(places)
        else:
            end = len(self._held) - max((_overlap(self._held, stop) for stop in self._stops), default=0)
        ready, self._held = self._held[:end], "" if self.stopped else self._held[end:]
        return ready


def _overlap(text: str, stop: str) -> int:
    """Count the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
