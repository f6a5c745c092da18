"""The line a person types: history, suggestions, completion, several lines, pastes of any size, an editor."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import AnyFormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import ConditionalKeyBindings, KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.styles import Style

from mychat.terminal.sanitise import sanitise

LONG_PASTE_LINES, LONG_PASTE_CHARS = 6, 1_000
"""From here on a paste is shown as a sign that stands for it."""
_SIGN = re.compile(r"\[(?:paste|file) \d+: [^\]]*\]")
Complete = Callable[[str], Iterable[tuple[str, int]]]
"""What can stand in a line that so far says this: texts, and how many characters each of them replaces."""


class Line:
    """Reads lines in a terminal."""

    def __init__(
        self,
        complete: Complete,
        toolbar: Callable[[], AnyFormattedText],
        shown: Callable[[], None],
        *,
        vi: bool,
        keep: bool,
    ) -> None:
        """`shown` is called whenever the line has been drawn."""
        self._stands_for: dict[str, str] = {}
        completer = _Completer(complete)
        self._prompt: PromptSession[str] = PromptSession(
            history=_history() if keep else InMemoryHistory(),
            completer=completer,
            complete_while_typing=Condition(lambda: self._prompt.default_buffer.text.startswith("/")),
            auto_suggest=AutoSuggestFromHistory(),
            enable_open_in_editor=True,
            vi_mode=vi,
            multiline=True,
            prompt_continuation=lambda width, _line, _wraps: " " * width,
            key_bindings=self._bindings(completer),
            bottom_toolbar=toolbar,
            style=Style.from_dict({"bottom-toolbar": "noreverse dim"}),
            reserve_space_for_menu=4,
        )
        self._prompt.app.after_render += lambda _app: shown()

    def read(self, begun: str = "") -> str:
        """Return a line as it was typed, with its signs. Raises: KeyboardInterrupt, EOFError."""
        return self._prompt.prompt([("bold", "you: ")], default=begun)

    def whole(self, typed: str) -> str:
        """Put what signs stand for in their place."""
        return _SIGN.sub(lambda sign: self._stands_for.get(sign.group(), sign.group()), typed)

    def leave(self) -> None:
        """End the line that is being typed, from wherever this is called."""
        app = self._prompt.app
        if app.is_running and app.loop:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=EOFError))

    def sign(self, text: str, kind: str, name: str = "") -> str:
        """Return a short sign that stands for a long text in the next line."""
        lines = max(1, len(text.splitlines()))
        name = re.sub(r"[\[\]]", "", sanitise(name))
        sign = f"[{kind} {len(self._stands_for) + 1}: {name + ', ' if name else ''}{lines:,} lines]"
        self._stands_for[sign] = text
        return sign

    def _bindings(self, completer: Completer) -> ConditionalKeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _send(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _newline(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("tab")
        def _complete(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            offered = list(completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
            if certain := get_common_complete_suffix(buffer.document, offered):
                buffer.cancel_completion()
                buffer.insert_text(certain)
            elif buffer.complete_state:
                buffer.complete_next()
            elif offered:
                buffer.start_completion(select_first=True)

        @keys.add("c-c", filter=Condition(lambda: bool(self._buffer.text)))
        def _clear(event: KeyPressEvent) -> None:
            event.current_buffer.reset()

        @keys.add(Keys.BracketedPaste)
        def _paste(event: KeyPressEvent) -> None:
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            long = text.count("\n") + 1 >= LONG_PASTE_LINES or len(text) >= LONG_PASTE_CHARS
            event.current_buffer.insert_text(self.sign(text, "paste") if long else text)

        @keys.add("backspace", filter=Condition(lambda: self._sign_before_cursor() > 0))
        def _delete_sign(event: KeyPressEvent) -> None:
            event.current_buffer.delete_before_cursor(self._sign_before_cursor())

        return ConditionalKeyBindings(keys, has_focus(DEFAULT_BUFFER))  # not where one searches

    def _sign_before_cursor(self) -> int:
        before = self._buffer.document.text_before_cursor
        return next((len(sign) for sign in self._stands_for if before.endswith(sign)), 0)

    @property
    def _buffer(self) -> Buffer:
        return self._prompt.default_buffer


class _Completer(Completer):
    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterable[Completion]:
        """Offer what can follow."""
        for text, replaced in self._complete(document.text_before_cursor):
            yield Completion(text, -replaced)


def _history() -> History:
    """Open the input history, readable by its owner only; without a place for it, remember this session only."""
    with contextlib.suppress(OSError):
        folder = Path(platformdirs.user_state_dir("mychat"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "history"
        path.touch(mode=0o600)
        path.chmod(0o600)
        return FileHistory(str(path))
    return InMemoryHistory()
