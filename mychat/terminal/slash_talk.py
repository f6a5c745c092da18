"""Slash commands that move about in the conversation."""

from __future__ import annotations

from collections.abc import Iterable

from mychat.errors import ConfigError
from mychat.terminal.command import SlashCommand, number, replied, something_said
from mychat.terminal.view import ChatView


def _new(view: ChatView, _argument: str) -> str:
    view.session.new()
    return "new conversation"


def _retry(view: ChatView, _argument: str) -> str:
    view.answer(view.session.retry())
    return ""


def _continue(view: ChatView, _argument: str) -> str:
    view.answer(view.session.proceed(), begun="…")
    return ""


def _undo(view: ChatView, _argument: str) -> str:
    taken = view.session.undo()
    if taken.role == "user":
        view.begun = taken.text if "\n" not in taken.text else view.sign(taken.text, "paste", "")
    return "the last turn is taken back"


def _edit(view: ChatView, argument: str) -> str:
    place, _, text = argument.partition(" ")
    turn = number(place, "turn")
    if text.strip():
        view.answer(view.session.edit(turn, text))
        return ""
    view.begun = f"/edit {turn} {view.session.turn(turn).nodes[0].text}"
    return "change the message and press Enter"


def _say(view: ChatView, argument: str) -> str:
    if not argument:
        raise ConfigError(f"what should {view.name} have said? /say TEXT")
    view.session.say(argument)
    view.show(view.session.last_reply.message())
    return ""


def _fork(view: ChatView, argument: str) -> str:
    view.session.fork(argument)
    return f"on branch {argument} from here; /switch goes back"


def _switch(view: ChatView, argument: str) -> str:
    if not argument:
        tree = view.session.tree
        lines = [f"{'*' if name == tree.branch else ' '} {name}" for name in tree.branches]
        return "\n".join(lines) or "no branches yet; /fork NAME makes one"
    view.session.switch(argument)
    for message in view.session.messages[-2:]:
        view.show(message)
    return f"on branch {argument}"


def _pin(view: ChatView, argument: str) -> str:
    view.session.pin(number(argument, "turn"))
    return f"turn {argument} stays in the window"


def _unpin(view: ChatView, argument: str) -> str:
    view.session.pin(number(argument, "turn"), on=False)
    return f"turn {argument} may leave the window"


def _branches(view: ChatView, _text: str) -> Iterable[str]:
    return view.session.tree.branches


def _turns(view: ChatView, text: str) -> Iterable[str]:
    return [] if " " in text else [str(place + 1) for place in range(len(view.session.tree.turns()))]


COMMANDS = [
    SlashCommand("new", "", "start a new conversation", _new, something_said),
    SlashCommand("retry", "", "another reply to the last message", _retry, something_said),
    SlashCommand("continue", "", "let the last reply go on", _continue, replied),
    SlashCommand("undo", "", "take the last turn back", _undo, something_said),
    SlashCommand("edit", "N [TEXT]", "say something else in turn N, and go on from there", _edit, something_said,
                 _turns),
    SlashCommand("say", "TEXT", "put words in its mouth, and go on from there", _say, something_said),
    SlashCommand("fork", "NAME", "go on under a name, and keep what is here", _fork, something_said),
    SlashCommand("switch", "[NAME]", "list branches, or go to one", _switch,
                 lambda view: bool(view.session.tree.branches), _branches),
    SlashCommand("pin", "N", "keep turn N in the window", _pin, something_said, _turns),
    SlashCommand("unpin", "N", "let it go again", _unpin, lambda view: bool(view.session.tree.pinned), _turns),
]  # fmt: skip
