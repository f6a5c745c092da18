"""Training conversations from dialogues: drawn, chained and interleaved.

People do not stop after one dialogue, so a training conversation is several
dialogues of different topics, one after the other. Where a dialogue says
`...`, others come in between: that is how a model learns to remember.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence

from mychat.corpus.augment import Typing, vary_typing
from mychat.corpus.chatfile import Dialogue
from mychat.corpus.holdout import line_key
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.pattern import Choice, recalls
from mychat.corpus.persona import Persona

CHAINED = 2.0
"""Dialogues that a conversation holds beyond the first, on average, before rounding down."""
MOST_DIALOGUES = 14
SYSTEM_SHARE = 0.05
PHRASINGS_A_COPY = 10
MOST_CONVERSATIONS = 1_000_000
COPIES_OF_RECALLING = 3


def draw_conversations(
    dialogues: Sequence[Dialogue],
    persona: Persona,
    chars: int,
    seed: int,
    typing: Typing | None = None,
    held_out: Collection[str] = (),
    chained: float = CHAINED,
) -> list[Conversation]:
    """Draw conversations until they hold `chars` characters.

    A dialogue comes up in proportion to its phrasings, about; one that says
    back what it was told more often: copying takes more examples than reciting.
    User lines are typed in many ways, as often as `typing` says, but never so that they become one of the keys
    `held_out`.
    """
    rng = random.Random(seed)
    language = persona.language.partition("-")[0]

    def typed(text: str, keep: set[str]) -> str:
        varied = vary_typing(text, rng, keep, typing, language=language)
        return text if line_key(varied) in held_out else varied

    deck = [dialogue for dialogue in dialogues for _ in range(_copies(dialogue))]
    waiting: deque[Dialogue] = deque()
    drawn: list[Conversation] = []
    while chars > 0 and deck and len(drawn) < MOST_CONVERSATIONS:
        dealt = _deal(deck, waiting, rng, chained)
        conversation = _interleave(dealt, _system_text(dealt, persona, rng), rng, typed)
        drawn.append(conversation)
        chars -= conversation.chars
    return drawn


def _copies(dialogue: Dialogue) -> int:
    phrasings = max(
        (len(node.options) for turn in dialogue.turns for node in turn.user if isinstance(node, Choice)), default=1
    )
    copies = max(1, round(phrasings / PHRASINGS_A_COPY))
    return max(copies, COPIES_OF_RECALLING) if any(recalls(turn.reply) for turn in dialogue.turns) else copies


def _deal(deck: list[Dialogue], waiting: deque[Dialogue], rng: random.Random, chained: float) -> list[Dialogue]:
    """Take dialogues of different topics; one with a system text of its own stands alone."""
    wanted = min(MOST_DIALOGUES, 1 + int(rng.expovariate(1 / chained)))
    dealt: list[Dialogue] = []
    topics: set[str] = set()
    passed: list[Dialogue] = []
    for _ in range(3 * wanted):  # bounded: a persona may have fewer topics than wanted
        if not waiting:
            waiting.extend(rng.sample(deck, len(deck)))
        dialogue = waiting.popleft()
        alone = dialogue.system is not None
        if dialogue.topic in topics or (alone and dealt):
            passed.append(dialogue)
            continue
        dealt.append(dialogue)
        topics.add(dialogue.topic)
        if alone or len(dealt) == wanted:
            break
    waiting.extendleft(passed)
    return dealt


def _system_text(chained: Sequence[Dialogue], persona: Persona, rng: random.Random) -> str | None:
    if chained[0].system is not None:
        return chained[0].system
    if not persona.description or rng.random() >= SYSTEM_SHARE:
        return None
    kept = rng.randint(1, len(persona.description))
    return " ".join(persona.description[index] for index in sorted(rng.sample(range(len(persona.description)), kept)))


def _interleave(
    chained: Sequence[Dialogue], system: str | None, rng: random.Random, typed: Callable[[str, set[str]], str]
) -> Conversation:
    """Shuffle the stretches between `...` lines, keeping each dialogue's own order."""
    stretches: list[deque[list[Message]]] = []
    for dialogue in chained:
        conversation, bindings = dialogue.expand(rng)
        spoken = [message for message in conversation.messages if message.role != "system"]
        parts: deque[list[Message]] = deque()
        for index, turn in enumerate(dialogue.turns):
            if turn.later or not parts:
                parts.append([])
            user, reply = spoken[2 * index : 2 * index + 2]
            told = {word for value in bindings[index].values() for word in value.split()}
            parts[-1] += [Message("user", typed(user.content, told)), reply]
        stretches.append(parts)
    order = [index for index, parts in enumerate(stretches) for _ in parts]
    rng.shuffle(order)
    messages = [Message("system", system)] if system is not None else []
    for index in order:
        messages += stretches[index].popleft()
    return Conversation(tuple(messages))
