"""A conversation run again: the same ids come out, or it is told where they part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mychat.chat.session import ChatEngine
from mychat.chat.tree import Node, Tree
from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.errors import SessionError
from mychat.events import ReplyEnd


@dataclass(frozen=True, slots=True)
class Replayed:
    """A reply that was made again. `differs` is the place of the first id that is another, from 1; 0: none is."""

    node: Node
    again: str
    differs: int


def replay(
    engine_of: Callable[[str], tuple[ChatEngine, str]], records: Sequence[Mapping[str, Any]]
) -> Iterator[Replayed | Node]:
    """Make every reply of a conversation again; yield a node as it is where that cannot be done.

    `engine_of` gives a checkpoint's engine and the SHA-256 of its weights. Raises: SessionError when those changed.
    """
    tree = Tree()
    for record in records:
        tree.apply(record)
    for node in tree.nodes:
        if node.role == "user":
            continue
        if not node.made:
            yield node
            continue
        by = node.made["by"]
        engine, sha256 = engine_of(by["checkpoint"])
        if sha256 != by["sha256"]:
            raise SessionError(f"{by['checkpoint']}: is not the model that answered then; train or copy it again")
        yield _again(engine, tree, node)


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
