"""A conversation run again: the same ids come out, or it is told where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mychat.chat.session import ChatEngine
from mychat.chat.tree import Node, Tree
from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.events import ReplyEnd


@dataclass(frozen=True, slots=True)
class Replayed:
    """A reply that was made again. `differs` is the place of the first id that is another, from 1; 0: none is."""

    node: Node
    again: str
    differs: int


def replay(engine: ChatEngine, records: Sequence[Mapping[str, Any]]) -> Iterator[Replayed | Node]:
    """Make every reply of a conversation again; yield a node as it is where that cannot be done (it was cut)."""
    tree = Tree()
    for record in records:
        tree.apply(record)
    for node in tree.nodes:
        if node.role == "user":
            continue
        yield _again(engine, tree, node) if node.made else node


def _again(engine: ChatEngine, tree: Tree, node: Node) -> Replayed:
    made = node.made
    system = [Message("system", clean_argument(made["system"]))] if made.get("system") else []
    messages = [*system, *(tree.node(number).message() for number in made["window"])]
    options = SamplingOptions().updated(made["options"]).updated({"seed": made["seed"]})
    *_, end = engine.reply(messages, options, made["ids"][: made["begun"]])
    assert isinstance(end, ReplyEnd)
    return Replayed(node, end.text.strip(), _first_difference(made["ids"], end.ids))


def _first_difference(before: Sequence[int], after: Sequence[int]) -> int:
    for place, (one, other) in enumerate(zip(before, after, strict=False), 1):
        if one != other:
            return place
    return 0 if len(before) == len(after) else min(len(before), len(after)) + 1
