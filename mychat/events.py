"""What long work yields while it goes on: the terminal draws it, `--json` prints it, tests collect it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth one line."""

    text: str


@dataclass(frozen=True, slots=True)
class CorpusRead:
    """The words are read and split."""

    files: int
    dialogues: int
    conversations: int
    texts: int
    skipped: int
    overlap_dropped: int
    overlap_remaining: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a run."""

    parameters: int
    n_layer: int
    n_embd: int
    vocab_size: int
    context_length: int
    train_tokens: int
    batch_tokens: int
    steps: dict[str, int]
    precision: str
    device: str
    seconds_per_step: float


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins (or goes on, at `step`)."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """One optimizer step is done. `loss` is in nats per token."""

    stage: str
    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation pass is done."""

    stage: str
    step: int
    loss: float
    bits_per_byte: float
    best: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """The state of the run is on disk."""

    path: str
    step: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A run is over; `metrics` as `eval` gives them on the test side."""

    path: str
    seconds: float
    chat: bool
    metrics: dict[str, float] = field(default_factory=dict)


TrainEvent = Notice | CorpusRead | Planned | StageStarted | Stepped | Validated | Saved | Finished


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """Text that a reply grew by."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """A reply is over. `finish_reason`: `stop` (it said <|end|>), `length` or `context`."""

    text: str
    ids: tuple[int, ...]
    finish_reason: str
    seed: int
    prompt_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed, prompt included."""
        return len(self.ids) / self.seconds if self.seconds > 0 else 0.0


ReplyEvent = ReplyDelta | ReplyEnd
