"""Every setting, each with its default in one place.

A setting is resolved as default < `--config FILE.toml` < environment (`MYCHAT_*`: places and device) < flag.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from mychat.errors import ConfigError, CorpusError, suggest


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a GPT. Names as in docs/design.md, section 2."""

    vocab_size: int
    context_length: int = 512
    n_layer: int = 4
    n_head: int = 4
    n_kv_head: int = 2
    n_embd: int = 256
    head_dim: int = 64
    n_ff: int = 704
    """Width of the SwiGLU feed-forward."""
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "n_ff"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1")
        _require(
            self.n_head % self.n_kv_head == 0, f"n_head {self.n_head} is no multiple of n_kv_head {self.n_kv_head}"
        )
        _require(self.head_dim % 2 == 0, f"head_dim {self.head_dim} must be even (rotary embedding turns pairs)")

    def count_parameters(self) -> int:
        """Count the weights; the tied embedding counts once."""
        attention = self.n_embd * self.head_dim * (2 * self.n_head + 2 * self.n_kv_head) + 2 * self.head_dim
        layer = attention + 3 * self.n_embd * self.n_ff + 2 * self.n_embd
        return self.n_layer * layer + self.n_embd + self.vocab_size * self.n_embd


@dataclass(frozen=True, slots=True)
class Preset:
    """A model size people can name, and the vocabulary it can afford."""

    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    n_ff: int
    vocab_size: int
    """At most; a small corpus has fewer pairs to merge."""
    context_length: int = 512

    def model(self, vocab_size: int, context_length: int | None = None) -> ModelConfig:
        """Return the shape for a tokenizer's vocabulary."""
        return ModelConfig(
            vocab_size=vocab_size,
            context_length=context_length or self.context_length,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_kv_head=self.n_kv_head,
            n_embd=self.n_embd,
            n_ff=self.n_ff,
        )


PRESETS: Mapping[str, Preset] = {
    "nano": Preset(4, 2, 1, 128, 384, vocab_size=8192, context_length=256),  # 2 M
    "micro": Preset(4, 4, 2, 256, 704, vocab_size=8192, context_length=256),  # 5 M
    "mini": Preset(6, 6, 2, 384, 1024, vocab_size=4096),  # 11 M
    "small": Preset(8, 8, 4, 512, 1408, vocab_size=8192),  # 28 M
    "base": Preset(12, 12, 4, 768, 2304, vocab_size=32768, context_length=1024),  # 108 M
}


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the next token is chosen.

    The order of the filters: bias and ban, penalties, no-repeat, temperature, top-k, top-p, min-p, typical.
    """

    temperature: float = 0.7
    """0 takes the most likely token (greedy)."""
    top_k: int = 0
    """Keep the k most likely; 0 keeps all."""
    top_p: float = 1.0
    """Keep the most likely tokens that together reach this probability."""
    min_p: float = 0.0
    """Keep tokens at least this probable relative to the most likely."""
    typical_p: float = 1.0
    """Keep the tokens whose surprise is nearest to what is expected, until they reach this probability."""
    repetition_penalty: float = 1.0
    """Divide (multiply) positive (negative) logits of tokens in the reply by this."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for each time the reply holds it."""
    presence_penalty: float = 0.0
    """Taken from a token's logit once the reply holds it."""
    no_repeat_ngram: int = 8
    """No stretch of so many tokens comes twice in a reply, so it cannot run in circles; 0 allows all."""
    beams: int = 1
    """Above 1: beam search, the likeliest of so many replies kept abreast; nothing is drawn."""
    length_penalty: float = 1.0
    """A beam's log-probability is divided by its length to this power; above 1 favours long replies."""
    best_of: int = 1
    """Draw so many replies and keep the one with the best log-probability per token."""
    max_new_tokens: int = 200
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these texts."""
    ban: tuple[str, ...] = ()
    """Texts that must not be said, not within a word either."""
    bias: tuple[str, ...] = ()
    """`TEXT=NUMBER`: what is added to the logit of the text's last token where it would complete the text."""
    seed: int | None = None
    """None draws a fresh one, which the reply reports."""

    def __post_init__(self) -> None:
        _require(
            self.temperature == 0 or 0.01 <= self.temperature <= 100,
            f"temperature {self.temperature} must be 0 (greedy), or from 0.01 to 100",
        )
        for name in ("top_p", "typical_p"):
            _require(0 < getattr(self, name) <= 1, f"{name} {getattr(self, name)} must be above 0 and at most 1")
        for name in ("top_k", "no_repeat_ngram"):
            _require(getattr(self, name) >= 0, f"{name} {getattr(self, name)} must be 0 (off) or more")
        for name in ("beams", "best_of"):
            _require(1 <= getattr(self, name) <= 64, f"{name} {getattr(self, name)} must be from 1 to 64")
        _require(self.max_new_tokens >= 1, f"max_new_tokens {self.max_new_tokens} must be 1 or more")
        for name in ("frequency_penalty", "presence_penalty", "length_penalty"):
            _require(-10 <= getattr(self, name) <= 10, f"{name} {getattr(self, name)} must be from -10 to 10")
        _require(0 <= self.min_p <= 1, f"min_p {self.min_p} must be from 0 to 1")
        _require(
            0.1 <= self.repetition_penalty <= 10, f"repetition_penalty {self.repetition_penalty} must be from 0.1 to 10"
        )
        _require(self.beams == 1 or self.best_of == 1, "beams and best_of exclude each other")
        _require(all(self.stop) and all(self.ban), "stop and ban want texts that are not empty")
        self.biases()
        _require(self.seed is None or 0 <= self.seed < 2**63, f"seed {self.seed} must be from 0 to 2^63 - 1")

    def biases(self) -> dict[str, float]:
        """Return what is added to which text. Raises: ConfigError."""
        found = {}
        for entry in self.bias:
            text, _, number = entry.rpartition("=")
            try:
                found[text] = float(number)
            except ValueError:
                text = ""
            _require(
                bool(text) and abs(found[text]) <= 1000,
                f"bias {entry!r} must be TEXT=NUMBER, from -1000 to 1000, such as sea=-2.5",
            )
        return found

    def updated(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with these values; None means not given."""
        return dataclasses.replace(self, **_typed_values(self, values, "sampling option"))


SAMPLING_NAMES = [field.name for field in fields(SamplingOptions)]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a training run can be told. None: the plan decides."""

    minutes: float | None = None
    """The whole command's budget, start-up and evaluation included."""
    steps: int | None = None
    """Optimizer steps of all stages together; wins over minutes."""
    size: str | None = None
    vocab_size: int | None = None
    context_length: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    """`bf16`, `fp32`, or `auto`: the faster."""
    compile: str = "auto"
    """`on`, `off`, or `auto`: when the run is long enough to repay it and there is a C++ compiler."""
    threads: int | None = None
    """Of the CPU; None: as many as are fastest."""
    sharding: str = "auto"
    """Among several processes. `ddp`: each holds the model; `fsdp`: each holds a part; `auto`: what memory allows."""
    batch_tokens: int | None = None
    """Of one optimizer step, all processes together."""
    micro_batch: int | None = None
    """Rows of `context_length` tokens in one forward pass; None: what is fast and fits in memory."""
    pretrain_share: float = 0.15
    """Of the steps of a chat model, those with loss on every token."""
    matrix_learning_rate: float | None = None
    """Muon, on the matrices."""
    learning_rate: float | None = None
    """AdamW, on embeddings and norms."""
    weight_decay: float | None = None
    dropout: float | None = None
    warmup_share: float = 0.04
    decay_share: float = 0.6
    """The last part of a stage's steps, over which the rate falls to `final_rate_share`."""
    final_rate_share: float = 0.02
    clip_norm: float = 1.0
    validations: int = 8
    """Validation passes of a run, about; each stage ends with one."""
    patience: int = 0
    """Stop after so many validation passes without a better one; 0 never stops early."""
    save_every_seconds: float = 60.0
    replay_share: float = 0.2
    """Of the words of a model that starts from the base model, those that the base model learnt from."""
    vary_drop: float | None = None
    """Shares of a persona's user lines that are typed in another way, each: a word left out; None: mychat's own."""
    vary_synonym: float | None = None
    vary_contraction: float | None = None
    vary_typo: float | None = None
    vary_case: float | None = None
    vary_end: float | None = None

    def __post_init__(self) -> None:
        _require(self.minutes is None or self.minutes > 0, f"minutes {self.minutes} must be above 0")
        _require(self.steps is None or self.steps >= 1, f"steps {self.steps} must be 1 or more")
        known = ", ".join(PRESETS)
        _require(
            self.size is None or self.size in PRESETS,
            f"unknown size {self.size!r}{suggest(self.size or '', PRESETS)}; known: {known}",
        )
        _require(self.precision in ("auto", "bf16", "fp32"), f"precision {self.precision!r} must be auto, bf16 or fp32")
        _require(self.compile in ("auto", "on", "off"), f"compile {self.compile!r} must be auto, on or off")
        _require(self.sharding in ("auto", "ddp", "fsdp"), f"sharding {self.sharding!r} must be auto, ddp or fsdp")
        _require(self.context_length is None or self.context_length >= 16, "context_length must be 16 or more")
        for name in ("threads", "batch_tokens", "micro_batch", "validations"):
            _require((getattr(self, name) or 1) >= 1 and getattr(self, name) != 0, f"{name} must be 1 or more")
        _require(0 <= self.replay_share < 1, "replay_share must be from 0 to below 1")
        _require(self.patience >= 0, "patience must be 0 (never stops early) or more")
        for name in ("pretrain_share", "warmup_share", "decay_share", "final_rate_share"):
            _require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1")
        for name in ("matrix_learning_rate", "learning_rate", "clip_norm"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"{name} must be above 0")
        for name in ("vary_drop", "vary_synonym", "vary_contraction", "vary_typo", "vary_case", "vary_end"):
            _require(0 <= (getattr(self, name) or 0) <= 1, f"{name} must be from 0 to 1")
        _require(self.dropout is None or 0 <= self.dropout < 1, f"dropout {self.dropout} must be from 0 to below 1")
        _require(self.weight_decay is None or self.weight_decay >= 0, "weight_decay must be 0 or more")
        _require(0 <= self.seed < 2**63, f"seed {self.seed} must be from 0 to 2^63 - 1")

    def updated(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with these values; None means not given."""
        return dataclasses.replace(self, **_typed_values(self, values, "training setting"))


def _typed_values(options: Any, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    known = {field.name: field for field in fields(options)}
    given = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"unknown {what} {name!r}{suggest(name, known) or '; known: ' + ', '.join(known)}")
        if value is not None:
            given[name] = _typed(name, value, str(known[name].type))
    return given


def _typed(name: str, value: Any, annotation: str) -> Any:
    """Convert a value from text or TOML to the field's type. Raises: ConfigError."""
    kind = annotation.split(" | ")[0]
    try:
        if kind == "str":
            if isinstance(value, str):
                return value
        elif kind.startswith("tuple"):
            if value == "off":
                return ()
            texts = (value,) if isinstance(value, str) else tuple(value)
            if all(isinstance(text, str) for text in texts):
                "".join(texts).encode()  # what is not UTF-8 is a ValueError
                return texts
        elif not isinstance(value, bool):
            if kind == "float":
                number = float(value)
                if number == number and abs(number) != float("inf"):
                    return number
            elif isinstance(value, str) or int(value) == value:
                return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    wanted = {"int": "a whole number", "float": "a number", "str": "a text"}.get(kind, "a text or a list of texts")
    raise ConfigError(f"{name} must be {wanted}, not {value!r}")


# --- places

BASE_CHECKPOINT = "base-en"
"""What a persona starts from when nothing else is said."""
DEFAULT_CHECKPOINT = "milo"
CONFIG_FILE, PERSONA_FILE = "config.json", "persona.toml"
_MARKERS = {"checkpoints": CONFIG_FILE, "personas": PERSONA_FILE}


def _shipped(kind: str) -> list[Path]:
    """Where the installed package keeps its own; the repository root in a checkout."""
    package = Path(__file__).resolve().parent
    return [package.parent / kind, package / "_shipped" / kind]


def checkpoints_folder() -> Path:
    """Where new checkpoints go: `MYCHAT_CHECKPOINTS`, or `checkpoints/` here."""
    return Path(os.environ.get("MYCHAT_CHECKPOINTS", "checkpoints"))


def personas_folder() -> Path:
    """Where new personas go: `MYCHAT_PERSONAS`, or `personas/` here."""
    return Path(os.environ.get("MYCHAT_PERSONAS", "personas"))


def is_path(name: str) -> bool:
    """Tell a path from a name: it has a separator, or stands for a folder."""
    return name in (".", "..") or os.sep in name or "/" in name


def search_places(kind: str) -> list[Path]:
    """List the folders in which a name of a kind (`checkpoints`, `personas`) is looked up, first wins."""
    own = checkpoints_folder() if kind == "checkpoints" else personas_folder()
    return [own, *_shipped(kind)]


def find(kind: str, name: str) -> Path | None:
    """Find a checkpoint or persona by name or path; None when there is none."""
    candidates = [] if is_path(name) else [place / name for place in search_places(kind)]
    try:
        found = next((path for path in candidates if path.is_dir()), None)
        return found or (Path(name) if Path(name).exists() else None)
    except (OSError, ValueError):  # no file can be called so, or be seen
        return None


def find_whole(kind: str, name: str) -> Path | None:
    """Find what `find` does, if the file that makes it one is there."""
    path = find(kind, name)
    return path if path and (path / _MARKERS[kind]).is_file() else None


def list_names(kind: str) -> list[str]:
    """List the names that `find` knows of a kind, sorted."""
    marker, names = _MARKERS[kind], set()
    for place in search_places(kind):
        if place.is_dir():
            names |= {
                child.name for child in place.iterdir() if not child.name.startswith(".") and (child / marker).is_file()
            }
    return sorted(names)


def find_words(source: str) -> Path:
    """Find a persona by name, or a file or folder by path. Raises: CorpusError."""
    path = find("personas", source)
    if path is None:
        known = list_names("personas")
        hint = (
            "check the path"
            if is_path(source) or Path(source).suffix
            else f"personas: {', '.join(known)}{suggest(source, known)}"
        )
        raise CorpusError(f"{source}: no such persona, file or folder; {hint}")
    return path
