"""Do drafts change anything but the speed? Replies with and without them, and what is drawn against its distribution.

Usage: python -m bench.speculation [CHECKPOINT] [--replies 500] [--draws 4000]

The questions are those of its persona that training never saw. `--draws` replies to one question, with as many seeds:
after the most frequent beginnings of one to four ids, the ids that came next are held against the network's own
distribution there by a chi-square test (fewer than five expected are one bin).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import torch

from mychat.config import SAMPLING_NAMES, SamplingOptions, find_words
from mychat.corpus.messages import Message
from mychat.corpus.words import load_words
from mychat.evaluate.evaluate import split_as_trained
from mychat.events import ReplyEnd
from mychat.generate.engine import Engine
from mychat.model.checkpoint import Checkpoint, load_checkpoint
from mychat.model.record import find_checkpoint

BEGINNINGS = 4
FEWEST_EXPECTED = 5
DRAWN = SamplingOptions(temperature=2.0, top_p=0.99, no_repeat_ngram=0, max_new_tokens=BEGINNINGS + 4)


def said(engine: Engine, messages: Sequence[Message], options: SamplingOptions) -> tuple[int, ...]:
    *_, end = engine.reply(messages, options)
    assert isinstance(end, ReplyEnd)
    return (*end.ids, engine.format.end) if end.finish_reason == "stop" else end.ids


def p_values(engine: Engine, messages: Sequence[Message], draws: int) -> list[tuple[int, float]]:
    """Draw replies; return how many began most frequently with 0, 1, 2, ... ids, and how probable what followed is."""
    replies = [said(engine, messages, DRAWN.updated({"seed": seed})) for seed in range(draws)]
    found = []
    for length in range(BEGINNINGS + 1):
        longer = [ids for ids in replies if len(ids) > length]
        (beginning, count), *_ = Counter(ids[:length] for ids in longer).most_common(1)
        followers = Counter(ids[length] for ids in longer if ids[:length] == beginning)
        found.append((count, _p_value(_shares(engine, messages, beginning), followers)))
    return found


def _shares(engine: Engine, messages: Sequence[Message], beginning: Sequence[int]) -> torch.Tensor:
    prompt = [*engine.prompt_ids(messages), *beginning]
    hidden = engine.decoder.hidden(torch.tensor([prompt]), engine.decoder.make_cache(1, len(prompt)))[0, -1:]
    logits = engine.decoder.logits(hidden)[0].float().numpy()
    scores = engine._chooser(DRAWN, 0, beginning).scores(logits)
    return torch.from_numpy(scores).double().softmax(-1)


def _p_value(shares: torch.Tensor, followers: Counter[int]) -> float:
    """Pearson's chi-square test: the probability of a fit as bad as this or worse."""
    expected = shares * followers.total()
    counts = torch.zeros_like(expected)
    counts[list(followers)] = torch.tensor([float(count) for count in followers.values()], dtype=counts.dtype)
    large = expected >= FEWEST_EXPECTED
    if counts[shares == 0].any():
        return 0.0  # something impossible was drawn
    pairs = torch.stack((counts, expected))
    bins = torch.cat((pairs[:, large], pairs[:, ~large].sum(1, keepdim=True)), dim=1)
    bins = bins[:, bins[1] > 0]
    if bins.shape[1] < 2:
        return 1.0
    distance = ((bins[0] - bins[1]) ** 2 / bins[1]).sum()
    return float(torch.special.gammaincc(torch.tensor((bins.shape[1] - 1) / 2, dtype=torch.float64), distance / 2))


def held_out_questions(checkpoint: Checkpoint) -> list[list[Message]]:
    """Return what the exam of its persona asks: phrasings that training never saw."""
    sources = [find_words(name) for name in checkpoint.record["data"]["sources"]]
    split = split_as_trained(checkpoint, load_words(sources, SAMPLING_NAMES))
    return [list(exam.asked) for exam in split.test.exams]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint", nargs="?", default="milo")
    parser.add_argument("--replies", type=int, default=500)
    parser.add_argument("--draws", type=int, default=4000)
    given = parser.parse_args()
    checkpoint = load_checkpoint(find_checkpoint(given.checkpoint))
    drafting, plain = (Engine(checkpoint, speculate=speculate) for speculate in (True, False))
    steps: list[int] = []
    feed = drafting.stream.feed
    drafting.stream.feed = lambda ids: steps.append(len(ids)) or feed(ids)  # type: ignore[method-assign,func-returns-value]
    for engine in (drafting, plain):
        engine.decoder.settle()
    questions = held_out_questions(checkpoint)
    for name, options in (("greedy", {"temperature": 0.0}), ("sampled", {"temperature": 0.6, "top_p": 0.9})):
        steps.clear()
        same = ids = 0
        for number in range(given.replies):
            chosen = SamplingOptions(max_new_tokens=80).updated({**options, "seed": number})
            one, other = (said(engine, questions[number % len(questions)], chosen) for engine in (drafting, plain))
            same, ids = same + (one == other), ids + len(one)
        print(f"{name}: {same} of {given.replies} replies the same id for id; {ids / len(steps):.2f} ids a step")
    for count, p in p_values(drafting, questions[0], given.draws):
        print(f"  {count:5,} draws after one beginning: p = {p:.3f}")


if __name__ == "__main__":
    main()
