"""Train, validation and test, so that nothing asked in an exam was seen in training.

Conversations and texts are split by source, near-duplicates on one side. A
`.chat` dialogue is a rule rather than a sample, and a persona has only one of
each; so of its user lines some *phrasings* are held out, chosen by hash, and
the exam asks in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from mychat.corpus.augment import Typing
from mychat.corpus.compose import CHAINED, draw_conversations
from mychat.corpus.holdout import Exam, Holder, exam_conversation, line_key, rank, without_held_out, write_exams
from mychat.corpus.messages import Conversation, Message, Role
from mychat.corpus.texts import Text, name_of
from mychat.corpus.words import Words
from mychat.errors import CorpusError

SIDE_SHARE = 0.05
"""Of conversations and texts, for validation and test each."""
SIDE_MOST_CHARS = 300_000
LONG_LINE_CHARS = 40
MANY_TEXTS = 20
"""From here on texts are split by document; fewer are split near their end."""
FEWEST_BLOCK_CHARS, MOST_BLOCK_CHARS = 100, 2000
COMMON_LINE = 20
"""A long line in more conversations than this is boilerplate and groups nothing."""


@dataclass(slots=True)
class Side:
    """What one side of the split holds."""

    conversations: list[Conversation] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    """Those of a file too large to hold are in training only."""
    exams: list[Exam] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Lines asked or scored in validation and test against all of training."""

    candidates: int
    dropped: int
    """Candidates that stood in training too: not asked, not scored."""
    remaining: int
    """Scored lines that stand in training, counted afterwards: 0."""


@dataclass(slots=True)
class Split:
    """The three sides, and the overlap that was measured."""

    train: Side
    validation: Side
    test: Side
    overlap: Overlap

    def held_out_lines(self) -> set[str]:
        """Return the keys of the lines that are asked or answered on the two held-out sides."""
        sides = (self.validation, self.test)
        return {key for side in sides for one in side.conversations for _, keys in _keys(one) for _, key in keys} | {
            line_key(exam.asked[-1].content) for side in sides for exam in side.exams
        }

    def describe(self) -> dict[str, object]:
        """Return the counts, for the checkpoint's record."""
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        counts: dict[str, object] = {
            name: {"conversations": len(side.conversations), "texts": len(side.texts), "exams": len(side.exams)}
            for name, side in sides.items()
        }
        return counts | {"overlap": asdict(self.overlap)}


def split_words(
    words: Words, train_chars: int, seed: int, typing: Typing | None = None, chained: float = CHAINED
) -> Split:
    """Split, draw the training conversations of the dialogues, and remove what overlaps.

    Raises: CorpusError when there is too little to hold anything out.
    """
    train, validation, test = Side(), Side(), Side()
    if words.dialogues:
        holder = Holder(words.dialogues, seed)
        learnt = [without_held_out(dialogue, holder) for dialogue in words.dialogues]
        for which, side in enumerate((validation, test)):
            side.exams = write_exams(words.dialogues, learnt, which, holder)
            side.conversations = [exam_conversation(exam, seed) for exam in side.exams]
        asked = {line_key(exam.asked[-1].content) for side in (validation, test) for exam in side.exams}
        train.conversations = draw_conversations(learnt, words.persona, train_chars, seed, typing, asked, chained)
    drawn = len(train.conversations)
    _split_conversations(words.conversations, train, validation, test, seed)
    _split_texts(words.texts, train, validation, test, seed, required=not words.is_chat)
    overlap = _remove_overlap(train, validation, test, drawn)
    for side in (validation, test):
        if words.is_chat and not any(message.scored for message in _replies(side.conversations)):
            raise CorpusError(
                f"{words.files[0]}: too small to split: nothing is left to validate and test on; "
                "write more dialogues, with at least three alternatives {a|b|c} in the user lines"
            )
        if not words.is_chat and not side.texts:
            raise CorpusError(f"{words.files[0]}: too small to split: every paragraph held out stands in training too")
    return Split(train, validation, test, overlap)


def _replies(conversations: Iterable[Conversation]) -> Iterable[Message]:
    return (
        message for conversation in conversations for message in conversation.messages if message.role == "assistant"
    )


# --- conversations: by source, near-duplicates together


def _split_conversations(
    conversations: Sequence[Conversation], train: Side, validation: Side, test: Side, seed: int
) -> None:
    if not conversations:
        return
    groups = _group_duplicates(_cut_long(conversations))
    if len(groups) < 3:
        raise CorpusError(
            f"too small to split: {len(groups)} different conversation(s); "
            "at least 3 are needed (train, validation, test), and hundreds to learn well"
        )
    groups.sort(key=lambda group: rank(repr(group[0]), seed))
    most = min(SIDE_MOST_CHARS, int(SIDE_SHARE * sum(_chars(group) for group in groups)))
    for side in (validation, test):
        room, place, least = most, len(groups), 2 if side is validation else 1
        while room >= 0 and place > 0 and len(groups) > least:
            place -= 1
            size = _chars(groups[place])
            if size <= most:  # a large group of kindred conversations teaches more than it tests
                side.conversations += groups.pop(place)
                room -= max(1, size)
        if not side.conversations:
            side.conversations += groups.pop(min(range(len(groups)), key=lambda one: _chars(groups[one])))
    train.conversations += [conversation for group in groups for conversation in group]


def _chars(conversations: Iterable[Conversation]) -> int:
    return sum(conversation.chars for conversation in conversations)


def _cut_long(conversations: Sequence[Conversation]) -> Sequence[Conversation]:
    """Cut a few very long conversations (a chat export is often one) into stretches of ten turns."""
    if len(conversations) >= 20:
        return conversations
    pieces: list[Conversation] = []
    for conversation in conversations:
        system = conversation.messages[:1] if conversation.system is not None else ()
        spoken = conversation.messages[len(system) :]
        pieces += [Conversation((*system, *spoken[start : start + 20])) for start in range(0, len(spoken), 20)]
    return [piece for piece in pieces if any(message.role == "assistant" for message in piece.messages)]


def _group_duplicates(conversations: Sequence[Conversation]) -> list[list[Conversation]]:
    """Group conversations that share a long line, or are alike as a whole."""
    keys = []
    for conversation in conversations:
        lines = [line_key(message.content) for message in conversation.messages if message.role != "system"]
        keys.append({line for line in lines if len(line) >= LONG_LINE_CHARS} | {"\n".join(lines)})
    counts = Counter(key for own in keys for key in own)
    parent = list(range(len(conversations)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    holder: dict[str, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            if counts[key] <= COMMON_LINE or "\n" in key:
                parent[root(index)] = root(holder.setdefault(key, index))
    groups: dict[int, list[Conversation]] = {}
    for index, conversation in enumerate(conversations):
        groups.setdefault(root(index), []).append(conversation)
    return list(groups.values())


# --- texts: by document when there are many, else the end of the text


def _split_texts(
    texts: Sequence[Text], train: Side, validation: Side, test: Side, seed: int, *, required: bool
) -> None:
    if not texts:
        return
    many = len(texts) >= MANY_TEXTS
    total = sum(map(len, texts))
    most = min(SIDE_MOST_CHARS, int(SIDE_SHARE * total))
    if many:
        whole = sorted(dict.fromkeys(texts), key=lambda text: rank(name_of(text), seed))
    else:
        finest = max(FEWEST_BLOCK_CHARS, min(MOST_BLOCK_CHARS, most))
        whole = [block for text in texts for block in _blocks(str(text) + "\n\n", finest)]
    most_texts = (
        len(whole) // 10 if many else len(whole)
    )  # one large document must not make room for all the small ones
    for side in (test, validation):
        room = most
        place = len(whole) - 1
        while len(whole) > 1 and place >= 0 and room > 0 and len(side.texts) < most_texts:
            if len(whole[place]) / 2 <= room:
                side.texts.insert(0, str(whole.pop(place)))
                room -= len(side.texts[0])
            elif not many:
                break  # the end of a text stays in one piece
            place -= 1
        if required and not side.texts:
            raise CorpusError(
                f"too small to split: {total} characters of text; at least a few pages are needed to hold some out"
            )
    train.texts = whole
    if not many:
        for side in (train, validation, test):
            side.texts = ["".join(map(str, side.texts))] if side.texts else []


def _blocks(text: str, most_chars: int = MOST_BLOCK_CHARS) -> list[str]:
    """Cut after blank lines, and within blocks of more than `most_chars`; joined they are the text again."""
    blocks: list[str] = []
    for block in re.findall(r".+?(?:\n\s*\n|\Z)", text, re.DOTALL):
        while len(block) > most_chars:
            cut = max(block.rfind("\n", 0, most_chars), block.rfind(" ", 0, most_chars)) + 1
            blocks.append(block[: cut or most_chars])
            block = block[cut or most_chars :]
        blocks.append(block)
    return blocks


# --- overlap: a line of validation or test that stands in training is neither asked nor scored

Key = tuple[Role, str]


def _keys(conversation: Conversation) -> list[tuple[int, set[Key]]]:
    """List each reply's index with the keys of the reply and of what is asked before it."""
    keyed = []
    for index, message in enumerate(conversation.messages):
        if message.role == "assistant":
            pair = conversation.messages[max(0, index - 1) : index + 1]
            keyed.append((index, {(said.role, line_key(said.content)) for said in pair}))
    return keyed


def _known_keys(train: Side, drawn: int) -> set[Key]:
    """Collect training's lines; the replies of a persona's dialogues are its rules, not samples, and do not count."""
    return {
        (message.role, line_key(message.content))
        for number, conversation in enumerate(train.conversations)
        for message in conversation.messages
        if message.role == "user" or (message.role == "assistant" and number >= drawn)
    }


def _remove_overlap(train: Side, validation: Side, test: Side, drawn: int) -> Overlap:
    known = _known_keys(train, drawn)
    held_out = {key for side in (validation, test) for key in _block_keys(side)}
    known_blocks = {key for key in _block_keys(train) if key in held_out}  # all of training's may be too many
    candidates = dropped = 0
    for side in (validation, test):
        before = len(side.exams)
        side.exams = [exam for exam in side.exams if ("user", line_key(exam.asked[-1].content)) not in known]
        candidates, dropped = candidates + before, dropped + before - len(side.exams)
        for seen, gone in (_unscore(side, known), _drop_blocks(side, known_blocks)):
            candidates, dropped = candidates + seen, dropped + gone
    remaining = sum(
        bool(keys & known)
        for side in (validation, test)
        for conversation in side.conversations
        for index, keys in _keys(conversation)
        if conversation.messages[index].scored
    ) + sum(key in known_blocks for side in (validation, test) for key in _block_keys(side))
    return Overlap(candidates, dropped, remaining)


def _unscore(side: Side, known: set[Key]) -> tuple[int, int]:
    """Keep known exchanges as context only; drop conversations with nothing left to score."""
    kept, seen, unscored = [], 0, 0
    for conversation in side.conversations:
        messages = list(conversation.messages)
        for index, keys in _keys(conversation):
            if messages[index].scored:
                seen += 1
                if keys & known:
                    unscored += 1
                    for place in range(max(0, index - 1), index + 1):
                        messages[place] = replace(messages[place], scored=False)
        if any(message.scored for message in messages if message.role == "assistant"):
            kept.append(Conversation(tuple(messages)))
    side.conversations = kept
    return seen, unscored


def _block_keys(side: Side) -> Iterator[str]:
    return (line_key(block) for text in side.texts for block in _blocks(str(text)))


def _drop_blocks(side: Side, known: set[str]) -> tuple[int, int]:
    """Drop paragraphs that training holds too."""
    texts: list[Text] = []
    seen = dropped = 0
    for text in side.texts:
        blocks = _blocks(str(text))
        kept = [block for block in blocks if line_key(block) not in known]
        seen, dropped = seen + len(blocks), dropped + len(blocks) - len(kept)
        texts += ["".join(kept)] if kept else []
    side.texts = texts
    return seen, dropped
