"""The whole way: words in, a checkpoint out. `train`, `pretrain` and `finetune` differ in their stages only."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from mychat.config import PRESETS, SAMPLING_NAMES, ModelConfig, SamplingOptions
from mychat.corpus.split import Split, split_words
from mychat.corpus.words import Words, load_words
from mychat.errors import CheckpointError, CorpusError, Interrupted
from mychat.evaluate.sides import all_rows, chat_rows, evaluate_side
from mychat.events import CorpusRead, Finished, Notice, Planned, Saved, Stepped, TrainEvent
from mychat.generate.engine import Engine
from mychat.model.batch import Rows
from mychat.model.checkpoint import CONFIG_FILE, Checkpoint, load_checkpoint, save_checkpoint
from mychat.model.folder import recover
from mychat.model.gpt import GPT
from mychat.model.host import keep_heap, pick_device, pick_precision
from mychat.tokenizer.bpe import Tokenizer, train_tokenizer
from mychat.tokenizer.chat_format import ChatFormat
from mychat.train.interrupt import InterruptWish
from mychat.train.loop import Progress, Run, run_stage
from mychat.train.optimizer import SplitOptimizer
from mychat.train.plan import DEFAULT_MINUTES, Timing, chars_to_draw, pick_size, pick_vocab_size, steps_in, time_steps
from mychat.train.request import TrainRequest
from mychat.train.stage import Stage, make_stages
from mychat.train.state import METRICS_FILE, SavedRun, load_run, metrics_file, run_files

VALIDATION_SHARE = 0.04
"""Of the budget, at most, for all validation passes."""
SECONDS_PER_EXAM = 0.03
SECONDS_TO_FINISH = 2.0


def train(request: TrainRequest) -> Iterator[TrainEvent]:
    """Run a request to its end, yielding what happens.

    Raises: CorpusError, ConfigError, CheckpointError, TrainingError; Interrupted after Ctrl-C, with all saved.
    """
    if _is_finished(request):
        yield Notice(f"{request.out} is finished already; nothing to do")
        return
    job = _Job(request)
    yield from job.prepare()
    with InterruptWish() as interrupt:
        yield from job.run_stages(interrupt)
    job.save()  # so that nothing is lost when the end is cut short
    yield from job.finish()


def _is_finished(request: TrainRequest) -> bool:
    """Check what is in the way. Raises: CheckpointError when the run must not start."""
    recover(request.out)
    recover(request.partial)
    there = (request.out / CONFIG_FILE).is_file()
    if request.out.exists() and not there:
        raise CheckpointError(f"{request.out}: exists and is not a checkpoint; choose another --out")
    if request.resume:
        return there and not request.partial.exists()
    if there and not request.force:
        raise CheckpointError(
            f"{request.out}: holds a checkpoint already; choose another --out, or --force to replace it"
        )
    if request.partial.exists() and not request.force:
        raise CheckpointError(
            f"{request.partial}: a run was stopped there; --resume goes on with it, --force starts over"
        )
    return False


class _Job:
    """One request at work. `prepare` fills in what `run_stages` and `finish` use."""

    words: Words
    split: Split
    tokenizer: Tokenizer
    config: ModelConfig
    run: Run
    stages: list[Stage]
    timing: Timing | None = None

    def __init__(self, request: TrainRequest) -> None:
        self.request = request
        self.settings = request.settings
        if self.settings.minutes is None and self.settings.steps is None:
            self.settings = replace(self.settings, minutes=DEFAULT_MINUTES)
        self.saved: SavedRun | None = None
        self.last_save = time.monotonic()

    # --- from words to a run in memory

    def prepare(self) -> Iterator[TrainEvent]:
        """Read, split, make or take the tokenizer, plan."""
        keep_heap()
        request = self.request
        self.words = load_words(request.sources, SAMPLING_NAMES)
        SamplingOptions().updated(self.words.persona.sampling)  # refused now rather than at the end
        if request.kind == "finetune" and not self.words.is_chat:
            raise CorpusError(f"{request.sources[0]}: plain text only; use `mychat pretrain`, or give it dialogues")
        self.chat = self.words.is_chat and request.kind != "pretrain"
        self.parent = load_checkpoint(request.parent) if request.parent else None
        before: Checkpoint | None = self.parent
        if request.resume and request.partial.exists():
            before = load_checkpoint(request.partial)
            self.saved = load_run(request.partial, before.record)
            self.settings = self.saved.settings
            yield Notice(f"going on with {request.partial}, under the settings it began with")
        self.identity = self._identity()
        self.split = split_words(self.words, int(self.identity["train_chars"]), self.settings.seed)
        yield self._corpus_read()
        self.tokenizer = before.tokenizer if before else self._train_tokenizer()
        self.config = before.config if before else self._shape()
        yield from self._prepare_run()

    def _identity(self) -> dict[str, Any]:
        """Return what a run may be resumed with. Raises: CheckpointError when it is not what it began with."""
        identity: dict[str, Any] = {
            "kind": self.request.kind,
            "fingerprint": self.words.fingerprint(),
            "parent": self.parent.record.get("sha256") if self.parent else None,
        }
        if self.saved:
            for key, what in (("kind", "command"), ("fingerprint", "words"), ("parent", "--from checkpoint")):
                if self.saved.request.get(key) != identity[key]:
                    raise CheckpointError(
                        f"{self.request.partial}: the {what} changed since the run began; "
                        "put the old one back, or start over with --force"
                    )
            return dict(self.saved.request)
        return identity | {"train_chars": chars_to_draw(self.settings)}

    def _train_tokenizer(self) -> Tokenizer:
        side = self.split.train
        texts = [
            message.content for conversation in side.conversations for message in conversation.messages
        ] + side.texts
        return train_tokenizer(texts, pick_vocab_size(self.settings, sum(map(len, texts))))

    def _shape(self) -> ModelConfig:
        preset = PRESETS[pick_size(self.settings)]
        return preset.model(self.tokenizer.vocab_size, self.settings.context_length)

    def _corpus_read(self) -> CorpusRead:
        overlap = self.split.overlap
        return CorpusRead(
            len(self.words.files), len(self.words.dialogues), len(self.split.train.conversations),
            len(self.words.texts), self.words.skipped, overlap.dropped, overlap.remaining,
        )  # fmt: skip

    def _prepare_run(self) -> Iterator[TrainEvent]:
        device = pick_device(self.settings.device)
        precision = self.saved.precision if self.saved else pick_precision(self.settings.precision, device)
        chat_format, length = ChatFormat(self.tokenizer), self.config.context_length
        train: dict[str, Rows] = {"all": all_rows(self.split.train, chat_format, length)}
        if self.chat:
            train["assistant"] = chat_rows(self.split.train, chat_format, length)
        make_rows = chat_rows if self.chat else all_rows
        validation = make_rows(self.split.validation, chat_format, length)
        if self.saved:
            self.stages = self.saved.stages
            validation = validation.head(self.identity["validation_rows"])
        else:
            validation, self.stages = self._plan(train["all"], validation, device, precision)
            self.identity["validation_rows"] = len(validation)
        model = self._build_model(device)
        self.run = Run(model, SplitOptimizer(model, self.settings), self.tokenizer, self.settings, device, precision,
                       train, validation, Progress(), {})  # fmt: skip
        self.run.best_weights = self.run.weights()
        if self.saved:
            self.saved.restore(self.run)
        batch = self.settings.micro_batch * self.settings.grad_accum_steps * length
        yield Planned(
            self.config.count_parameters(), self.config.n_layer, self.config.n_embd, self.config.vocab_size, length,
            train["all"].count_tokens(), batch, {stage.name: stage.steps for stage in self.stages}, precision, device,
            self.timing.step_seconds if self.timing else 0.0,
        )  # fmt: skip

    def _build_model(self, device: str) -> GPT:
        model = GPT(self.config, self.settings.dropout)
        if self.parent:
            model.load_state_dict({name: tensor.float() for name, tensor in self.parent.weights.items()})
        else:
            model.init_weights(torch.Generator().manual_seed(self.settings.seed))
        return model.to(device)

    # --- the budget

    def _stage_kind(self) -> str:
        return "train-text" if self.request.kind == "train" and not self.chat else self.request.kind

    def _stages_of(self, steps: int) -> list[Stage]:
        return make_stages(self._stage_kind(), steps, self.settings, from_parent=self.parent is not None)

    def _plan(self, rows: Rows, validation: Rows, device: str, precision: str) -> tuple[Rows, list[Stage]]:
        """Turn the budget into steps, and choose how much of the validation side to use during the run."""
        if self.settings.steps is not None:
            return validation, self._stages_of(self.settings.steps)
        self.timing = time_steps(self.config, self.settings, rows, validation, self.tokenizer, device, precision)
        left = self._seconds_left()
        passes = len(self._stages_of(100)) * self.settings.validations
        affordable = VALIDATION_SHARE * left / passes
        if self.timing.validation_seconds > affordable:
            kept = max(1, int(len(validation) * affordable / self.timing.validation_seconds))
            self.timing = Timing(self.timing.step_seconds, self.timing.validation_seconds * kept / len(validation))
            validation = validation.head(kept)
        return validation, self._stages_of(steps_in(left, self.timing, passes))

    def _seconds_left(self) -> float:
        """Return the budget that is left for training, with room kept for the end."""
        assert self.settings.minutes is not None
        ending = SECONDS_TO_FINISH + SECONDS_PER_EXAM * len(self.split.test.exams)
        return self.settings.minutes * 60 - ending - (time.monotonic() - self.request.started)

    def _replan(self, place: int) -> None:
        """Fit the last stage to the time that is left, by the speed the run has shown so far."""
        progress = self.run.progress
        if self.timing is None or place == 0 or place < len(self.stages) - 1:
            return
        shown = Timing(progress.trained_seconds / progress.steps_before, self.timing.validation_seconds)
        steps = steps_in(self._seconds_left(), shown, self.settings.validations)
        stage = self.stages[place]
        decay = min(steps, round(stage.decay * steps / stage.steps))
        self.stages[place] = replace(stage, steps=steps, decay=decay)

    # --- the run

    def run_stages(self, interrupt: InterruptWish) -> Iterator[TrainEvent]:
        """Run what is left of the stages. Raises: Interrupted, after saving."""
        progress = self.run.progress
        for place in range(progress.stage, len(self.stages)):
            if progress.stage != place:
                progress.steps_before += self.stages[progress.stage].steps
                progress.stage, progress.step = place, 0
                self._replan(place)
            for event in run_stage(self.run, self.stages[place], keeps_best=place == len(self.stages) - 1):
                yield event
                if interrupt.wished:
                    self.save()
                    raise Interrupted(
                        f"stopped at {self.stages[place].name} step {progress.step} of {self.stages[place].steps}; "
                        f"saved in {self.request.partial}: type the same command with --resume to go on"
                    )
                due = time.monotonic() - self.last_save >= self.settings.save_every_seconds
                if due and isinstance(event, Stepped):
                    self.save()
                    yield Saved(str(self.request.partial), progress.steps_before + progress.step)

    def save(self) -> None:
        """Save the run so that it can go on; the folder opens as a checkpoint with the best weights so far."""
        weights = self.run.best_weights if self.run.progress.best_step else self.run.weights()
        checkpoint = self._checkpoint(weights, {"finished": False})
        checkpoint.training = run_files(self.run, self.stages, self.identity)
        save_checkpoint(self.request.partial, checkpoint, dtype=torch.float32)
        self.last_save = time.monotonic()

    def _checkpoint(self, weights: dict[str, Tensor], record: dict[str, Any]) -> Checkpoint:
        described: dict[str, Any] = {
            "stage": self.stages[-1].name,
            "stages": [asdict(stage) for stage in self.stages],
            "chat": self.chat,
            "parent": self.request.parent.name if self.request.parent else None,
            "data": {
                "name": self.words.persona.name,
                "files": [path.name for path in self.words.files],
                "fingerprint": self.identity["fingerprint"],
                "sources": [source.resolve().name for source in self.request.sources],
                "train_chars": self.identity["train_chars"],
            },
            "split": self.split.describe(),
            "settings": asdict(self.settings),
            "precision": self.run.precision,
        }
        persona = replace(self.words.persona, slots={})
        return Checkpoint(self.config, weights, self.tokenizer, persona, described | record)

    def finish(self) -> Iterator[TrainEvent]:
        """Evaluate the best weights, as they will be stored, on the test side; write the checkpoint."""
        run = self.run
        weights = {name: tensor.to("cpu", torch.bfloat16) for name, tensor in run.best_weights.items()}
        checkpoint = self._checkpoint(weights, {})
        engine = Engine(checkpoint, run.device)
        metrics = evaluate_side(engine, self.split.test, run.precision, chat=self.chat).metrics
        checkpoint.record |= {
            "metrics": metrics,
            "finished": True,
            "trained_seconds": round(run.progress.trained_seconds),
        }
        checkpoint.training = {METRICS_FILE: metrics_file(run.progress)}
        save_checkpoint(self.request.out, checkpoint)
        shutil.rmtree(self.request.partial, ignore_errors=True)
        yield Finished(str(self.request.out), time.monotonic() - self.request.started, self.chat, metrics)
