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
    """The plan of a run: what will be done, and what it should take."""

    parameters: int
    n_layer: int
    n_embd: int
    vocab_size: int
    context_length: int
    train_tokens: int
    batch_tokens: int
    """Tokens of one optimizer step, all processes together."""
    steps: dict[str, int]
    """By stage."""
    dropout: float
    weight_decay: float
    precision: str
    device: str
    compiled: bool
    micro_batch: int
    processes: int
    seconds_per_step: float
    """0 when nothing was timed."""
    seconds_left: float
    """Until the command is done, evaluation included; 0 when nothing was timed."""
    peak_flops: float
    """What this machine's matrix products reach, in FLOP/s; 0 when not measured."""
    warnings: tuple[str, ...] = ()
    """What is wrong with the plan, each with a way out."""

    @property
    def epochs(self) -> float:
        """How often the training tokens are seen."""
        return sum(self.steps.values()) * self.batch_tokens / max(1, self.train_tokens)

    def steps_before(self, stage: str) -> int:
        """Count the steps of the stages before one."""
        names = list(self.steps)
        return sum(self.steps[name] for name in names[: names.index(stage)])


@dataclass(frozen=True, slots=True)
class Retimed:
    """The machine turned out faster or slower than it was timed: the steps of the stages, as they are now planned."""

    stage: str
    step: int
    steps: dict[str, int]
    steps_before: int
    """Of all stages, as they were planned."""


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
    mfu: float
    """Share of the machine's measured peak that the model's arithmetic reaches; 0 when not measured."""


@dataclass(frozen=True, slots=True)
class Validated:
    """A validation pass is done. `train_loss` is the mean of the steps since the last one."""

    stage: str
    step: int
    loss: float
    bits_per_byte: float
    train_loss: float
    best: bool


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the model says now to words it has not seen; `prompt` is the user's, or the start of a text."""

    stage: str
    step: int
    prompt: str
    reply: str
    chat: bool


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The loss broke away; the run went back to its last good state, with a lower rate."""

    stage: str
    step: int
    back_to: int
    reason: str
    rate_scale: float
    """Of the planned learning rate, from here on."""


@dataclass(frozen=True, slots=True)
class StoppedEarly:
    """Validation did not improve for as long as `patience` allows."""

    stage: str
    step: int
    best_step: int


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
    best_step: int = 0
    """The step whose weights were kept, counted over all stages."""


TrainEvent = (
    Notice
    | CorpusRead
    | Planned
    | Retimed
    | StageStarted
    | Stepped
    | Validated
    | Sampled
    | RolledBack
    | StoppedEarly
    | Saved
    | Finished
)


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A search begins a run; `settings` are those it tries, empty while mychat's own rules choose them."""

    number: int
    own_rules: bool
    settings: dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class TrialValidated:
    """A run of a search is at `share` of its steps."""

    number: int
    share: float
    bits_per_byte: float


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A run of a search is over. `pruned`: given up, for it was worse than the others at its last validation."""

    number: int
    own_rules: bool
    settings: dict[str, float | int | str]
    bits_per_byte: float | None
    """Of its best validation pass; None when it came to none."""
    pruned: bool
    best: bool
    """Of all until now."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """A search is over; `path` holds the best settings. Both figures are validation bits per byte."""

    path: str
    settings: dict[str, float | int | str]
    best: float
    own_rules: float
    trials: int
    pruned: int
    minutes: float
    """Of the run that comes next: as long as a trial, or as long as a run is by default."""


TuneEvent = Notice | TrialStarted | TrialValidated | TrialEnded | Tuned


@dataclass(frozen=True, slots=True)
class BenchStarted:
    """The machine is about to be measured, `seconds` for each figure."""

    device: str
    threads: int
    """Of the CPU."""
    seconds: float


@dataclass(frozen=True, slots=True)
class LimitMeasured:
    """What this machine reaches at best.

    `matmul_fp32_flops` and `matmul_bf16_flops`: matrix products, in FLOP/s. `memory_bandwidth_bytes_per_second`: large
    copies, what is read and what is written.
    """

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class TrainingMeasured:
    """Optimizer steps of a size were timed."""

    size: str
    parameters: int
    context_length: int
    batch_tokens: int
    precision: str
    compiled: bool
    flops_per_token: float
    """The model's arithmetic, forward and backward; the optimizer's own is not counted."""
    training_tokens_per_second: float
    """By the median step."""
    mfu: float
    """Of the matrix products' peak in this precision."""


@dataclass(frozen=True, slots=True)
class GenerationMeasured:
    """Greedy replies of one stream were timed."""

    size: str
    parameters: int
    bits_per_weight: int
    """As they are read."""
    generation_tokens_per_second: float
    """By the median reply, prompt included."""
    mbu: float
    """Of the memory bandwidth, when every weight is read once a token; above 1 where a cache holds them."""


BenchEvent = Notice | BenchStarted | LimitMeasured | TrainingMeasured | GenerationMeasured


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """Text that a reply grew by."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenScore:
    """What the network thought of one token, before any filter. Natural logarithms."""

    id: int
    text: str
    logprob: float
    entropy: float
    """In nats, of the distribution the token was taken from."""
    alternatives: tuple[tuple[int, str, float], ...]
    """The most likely: id, text, log-probability."""


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """A reply is over. `finish_reason`: `stop` (it said <|end|>, or a stop text), `length` or `context`."""

    text: str
    ids: tuple[int, ...]
    finish_reason: str
    seed: int
    prompt_tokens: int
    seconds: float
    scores: tuple[TokenScore, ...] = ()
    """One for each of `ids`, where they were asked for."""
    prompt_scores: tuple[TokenScore, ...] = ()
    """One for each id of the prompt after the first: how expected was what was said?"""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed, prompt included."""
        return len(self.ids) / self.seconds if self.seconds > 0 else 0.0


ReplyEvent = ReplyDelta | ReplyEnd
