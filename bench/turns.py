"""Is turn 200 as quick as turn 2? One long chat: seconds to the first words and for the whole reply, turn by turn.

Usage: python -m bench.turns [CHECKPOINT] [--turns 200] [--context 8192]

`--context` stretches the context window (the replies get worse, the work stays the same); without it old turns leave
the window, which then has to be read anew.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from dataclasses import replace

from bench.memory import TALK
from mychat.chat.session import ChatSession, TurnsDropped
from mychat.events import ReplyDelta
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint
from mychat.model.host import keep_heap
from mychat.model.record import find_checkpoint

AROUND = 5
"""Turns before and after that make up a figure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint", nargs="?", default="milo")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--context", type=int)
    given = parser.parse_args()
    keep_heap()
    checkpoint = load_checkpoint(find_checkpoint(given.checkpoint))
    if given.context:
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, context_length=given.context))
    engine = Engine(checkpoint)
    engine.decoder.settle()
    session = ChatSession(engine, replace(engine.defaults, max_new_tokens=24))
    first: list[float] = []
    whole: list[float] = []
    dropped: set[int] = set()
    for turn, line in enumerate(itertools.islice(itertools.cycle(TALK), given.turns)):
        session.options = replace(session.options, seed=turn)
        started = time.perf_counter()
        waited = None
        for event in session.send(line):
            if isinstance(event, TurnsDropped):
                dropped.add(turn)
            elif isinstance(event, ReplyDelta) and waited is None:
                waited = time.perf_counter() - started
        first.append(waited or time.perf_counter() - started)
        whole.append(time.perf_counter() - started)
    print(f"context {engine.context_length}; old turns left before {len(dropped)} of {given.turns} turns")
    for turn in (2, 20, 50, 100, 150, 200):
        if turn <= given.turns:
            near = slice(max(1, turn - AROUND), turn + AROUND)
            print(f"  turn {turn:3}: first words after {1e3 * statistics.median(first[near]):6.1f} ms,"
                  f" the reply after {1e3 * statistics.median(whole[near]):6.1f} ms")  # fmt: skip
    if dropped:
        costs = [first[turn] for turn in sorted(dropped)]
        print(f"  a turn before which others left: first words after {1e3 * statistics.median(costs):.1f} ms")


if __name__ == "__main__":
    main()
