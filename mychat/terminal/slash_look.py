"""Slash commands that look inside: the window, probabilities, other choices, another model's answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from rich.table import Table
from rich.text import Text

from mychat.config import list_names
from mychat.corpus.origin import Origins, load_lines
from mychat.errors import ConfigError, SessionError
from mychat.events import ReplyEnd, TokenScore
from mychat.model.record import list_steps, split_step
from mychat.terminal.command import SlashCommand, number, replied
from mychat.terminal.sanitise import sanitise
from mychat.terminal.view import ChatView

ALTERNATIVES = 8
SHOWN_UNSURE = 8
LIKELY, POSSIBLE = 0.5, 0.1
"""From these probabilities on a token is drawn as likely, or as possible."""


def _context(view: ChatView, _argument: str) -> str:
    window = view.session.window()
    lines = []
    if window.system:
        fixed = window.tokens - sum(place.tokens for place in window.places if place.inside)
        lines.append(f"   system {fixed:>6,}  {_brief(window.system.content)}")
    for turn, place in enumerate(window.places, 1):
        mark = "pinned" if place.turn.pinned else "" if place.inside else "left"
        lines.append(f"{turn:>9} {place.tokens:>6,}  {mark:6} {_brief(place.turn.nodes[0].text)}")
    length = view.session.engine.context_length
    lines.append(f"{window.tokens:,} tokens of {length:,}; {length - window.limit:,} are kept free for the reply")
    return "\n".join(lines)


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 50 else f"{line[:49]}…"


def _probs(view: ChatView, argument: str) -> str:
    _, scores = view.session.scores(ALTERNATIVES)
    if argument:
        return _alternatives(scores, number(argument, "token"))
    view.terminal.out.print(_coloured(scores))
    unsure = sorted(range(len(scores)), key=lambda at: scores[at].logprob)[:SHOWN_UNSURE]
    lines = [_token(scores, at) for at in sorted(unsure) if math.exp(scores[at].logprob) < LIKELY]
    lines.append(f"{math.exp(-_mean(scores)):.0%} a token on average; /probs N lists the others at token N")
    return "\n".join(lines)


def _coloured(scores: Sequence[TokenScore]) -> Text:
    text = Text()
    for score in scores:
        chance = math.exp(score.logprob)
        style = "prob.high" if chance >= LIKELY else "prob.middle" if chance >= POSSIBLE else "prob.low"
        text.append(sanitise(score.text), style)
    return text


def _token(scores: Sequence[TokenScore], at: int) -> str:
    score = scores[at]
    return f"{at + 1:>5}  {math.exp(score.logprob):>6.1%}  {score.text!r}, best {score.alternatives[0][1]!r}"


def _alternatives(scores: Sequence[TokenScore], place: int) -> str:
    score = _at(scores, place)
    lines = [f"token {place}: {score.text!r} had {math.exp(score.logprob):.1%}"]
    lines += [
        f"{at:>5}  {math.exp(value):>6.1%}  {text!r}" for at, (_, text, value) in enumerate(score.alternatives, 1)
    ]
    return "\n".join([*lines, f"/alt {place} N goes on from another"])


def _at(scores: Sequence[TokenScore], place: int) -> TokenScore:
    if not 1 <= place <= len(scores):
        raise SessionError(f"the reply has {len(scores)} tokens, and none of number {place}")
    return scores[place - 1]


def _alt(view: ChatView, argument: str) -> str:
    place, _, choice = argument.partition(" ")
    at, chosen = number(place, "token"), number(choice.strip(), "choice")
    _, scores = view.session.scores(ALTERNATIVES)
    others = _at(scores, at).alternatives
    if not 1 <= chosen <= len(others):
        raise SessionError(f"token {at} has choices 1 to {len(others)}; /probs {at} lists them")
    id_, text, _ = others[chosen - 1]
    begun = [score.id for score in scores[: at - 1]]
    if not view.session.engine.decode([id_]) and text:  # a marker: the reply would end there
        view.session.say(view.session.engine.decode(begun))
        view.show(view.session.last_reply.message())
    else:
        begun.append(id_)
        view.answer(view.session.take(begun), view.session.engine.decode(begun))
    return ""


def _mean(scores: Sequence[TokenScore]) -> float:
    return -sum(score.logprob for score in scores) / max(1, len(scores))


def _surprise(view: ChatView, _argument: str) -> str:
    parts, _ = view.session.scores(1)
    scores = parts[-1] if parts else []
    if not scores:
        return "there are no words to be surprised at"
    view.terminal.out.print(_coloured(scores))
    bits = sum(-score.logprob for score in scores) / math.log(2)
    said = view.session.tree.node(view.session.last_reply.parent).text
    size = len(said.encode())
    most = max(scores, key=lambda score: -score.logprob)
    return (
        f"{bits / max(1, size):.2f} bits per byte; the least expected was {most.text!r} "
        f"({math.exp(most.logprob):.2%}; {most.alternatives[0][1]!r} would have had "
        f"{math.exp(most.alternatives[0][2]):.0%})"
    )


@lru_cache(maxsize=1)
def _origins(folder: Path) -> Origins:
    return Origins(load_lines(folder))


def _why(view: ChatView, _argument: str) -> str:
    found = _origins(view.speaker.place[0]).closest(view.session.last_reply.text)
    if not found:
        return "no training line shares a word with it"
    lines = [f"{origin.line.where}: {_brief(origin.line.text)}" for origin in found]
    best = found[0]
    return "\n".join([*lines, f"the longest shared stretch, {best.words} words: {best.shared}"])


def _at_step(view: ChatView, argument: str) -> str:
    path, _ = view.speaker.place
    steps = list_steps(path)
    if not argument:
        kept = ", ".join(map(str, steps))
        return (
            f"weights of these steps are kept: {kept}" if kept else "no earlier steps are kept beside this checkpoint"
        )
    return _compare(view, f"{split_step(view.speaker.character.checkpoint)[0]}@{number(argument, 'step')}")


def _steps(view: ChatView, _text: str) -> Iterable[str]:
    return map(str, list_steps(view.speaker.place[0]))


def _compare(view: ChatView, argument: str) -> str:
    if not argument:
        raise ConfigError("compare with whom? /compare CHECKPOINT")
    other = view.call(argument)
    session = view.session
    messages = session.asked_of(other.engine, other.character.system)
    same = session.options.updated({"seed": session.last_reply.made.get("seed", 0)})
    *_, end = other.engine.reply(messages, same)
    assert isinstance(end, ReplyEnd)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    names = (view.speaker.character.checkpoint, argument)
    table.add_row(*(Text(sanitise(name.rpartition("/")[2]), "persona") for name in names))
    table.add_row(Text(sanitise(session.last_reply.text)), Text(sanitise(end.text.strip())))
    view.terminal.out.print(table)
    return ""


def _checkpoints(_view: ChatView, _text: str) -> Iterable[str]:
    return list_names("checkpoints")


COMMANDS = [
    SlashCommand("context", "", "the window: tokens a turn, what is pinned, what left", _context),
    SlashCommand("probs", "[N]", "how probable each token of the reply was; the others at token N", _probs, replied),
    SlashCommand("alt", "N K", "go on from choice K at token N", _alt, replied),
    SlashCommand("surprise", "", "how unlikely each of your words was", _surprise, replied),
    SlashCommand("why", "", "the training lines nearest to the reply, with file and line", _why, replied),
    SlashCommand("at", "[STEP]", "what it said at an earlier step of its training", _at_step, replied, _steps),
    SlashCommand("compare", "CHECKPOINT", "another model's answer beside the last one", _compare, replied,
                 _checkpoints),
]  # fmt: skip
