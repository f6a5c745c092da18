"""Texts that must not be said, however the tokenizer would cut them."""

from __future__ import annotations

from collections.abc import Sequence

from mychat.tokenizer.bpe import Tokenizer


class BannedTexts:
    """Tells which ids would complete a banned text."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        banned = [text.encode() for text in texts]
        spelled = [tokenizer.token_bytes(id_) for id_ in range(tokenizer.vocab_size)]
        self._always = [id_ for id_, piece in enumerate(spelled) if any(text in piece for text in banned)]
        self._after: dict[bytes, list[int]] = {}
        """The beginning of a banned text -> the ids that begin with its rest."""
        for text in banned:
            for cut in range(1, len(text)):
                ids = [id_ for id_, piece in enumerate(spelled) if piece.startswith(text[cut:])]
                self._after.setdefault(text[:cut], []).extend(ids)
        self._longest = max(map(len, self._after), default=0)

    def ids(self, reply: Sequence[int]) -> list[int]:
        """List the ids that must not follow the reply."""
        end = b""
        for id_ in reversed(reply):
            if len(end) >= self._longest:
                break
            end = self._tokenizer.token_bytes(id_) + end
        return self._always + [id_ for begun, ids in self._after.items() if end.endswith(begun) for id_ in ids]
