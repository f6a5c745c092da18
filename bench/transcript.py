"""Ask a checkpoint a file of questions, and write what it says as Markdown, a box before each reply to be judged.

Usage: python bench/transcript.py CHECKPOINT QUESTIONS.txt OUT.md [ROUNDS]

A blank line begins a new conversation; a line that begins with `@` is its system text. Sampling is the persona's own,
with seeds 0, 1, 2 ... With ROUNDS all is asked so many times, and only the first round is written. A reply runs in
circles when three words in a row come three times in it, or when it never ends.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mychat.chat.session import ChatSession
from mychat.events import ReplyEnd
from mychat.generate.engine import load_engine
from mychat.model.record import find_speaker


def main(checkpoint: str, questions: str, out: str, rounds: str = "1") -> None:
    engine = load_engine(find_speaker(checkpoint, chat=True), "cpu")
    written: list[str] = []
    replies: list[ReplyEnd] = []
    for number in range(int(rounds)):
        for system, lines in conversations(Path(questions).read_text("utf-8")):
            session = ChatSession(engine, engine.defaults, system)
            said = [f"\n*{system}*\n"] if system else []
            for line in lines:
                session.options = replace(engine.defaults, seed=len(replies))
                end = next(event for event in session.send(line) if isinstance(event, ReplyEnd))
                replies.append(end)
                said += [f"- [ ] **{line}**", f"  {end.text.strip()}".replace("\n", "\n  ")]
            written += [] if number else [*said, ""]
    Path(out).write_text("\n".join(written), "utf-8")
    circling = [end.text for end in replies if circles(end)]
    print(f"{len(replies):,} replies, {len(circling)} of them run in circles", *circling[:5], sep="\n")


def conversations(text: str) -> Iterator[tuple[str | None, list[str]]]:
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        system = lines.pop(0)[1:].strip() if lines[0].startswith("@") else None
        yield system, lines


def circles(end: ReplyEnd) -> bool:
    words = end.text.lower().split()
    stretches = Counter(zip(words, words[1:], words[2:], strict=False))
    return end.finish_reason != "stop" or max(stretches.values(), default=0) >= 3


if __name__ == "__main__":
    main(*sys.argv[1:])
