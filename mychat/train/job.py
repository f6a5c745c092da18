"""One request at work: from words to a run in memory, and from the run to the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from mychat.config import SAMPLING_NAMES, ModelConfig, SamplingOptions
from mychat.corpus.augment import Typing
from mychat.corpus.compose import CHAINED
from mychat.corpus.origin import LINES_FILE, list_lines, write_lines
from mychat.corpus.replay import REPLAY_FILE, load_replay, mixed_in
from mychat.corpus.split import Split, split_words
from mychat.corpus.texts import sample_texts
from mychat.corpus.words import Words, load_words
from mychat.errors import CheckpointError, ConfigError, CorpusError
from mychat.evaluate.sides import all_rows, chat_rows, evaluate_side
from mychat.events import CorpusRead, Finished, Notice, Retimed, Sampled, TrainEvent, Validated
from mychat.generate.engine import Engine
from mychat.model.batch import Rows, map_rows
from mychat.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mychat.model.folder import sha256_of
from mychat.model.gpt import GPT
from mychat.model.host import matmul_flops, pick_precision
from mychat.model.ngram import count_ngrams
from mychat.tokenizer.bpe import Tokenizer, train_tokenizer
from mychat.tokenizer.chat_format import ChatFormat
from mychat.train.calibrate import calibrate, compile_if_possible, fit_micro_batch, needs_sharding, use_threads
from mychat.train.loop import Run
from mychat.train.network import ScoredGPT, compile_layers, full_weights, spread
from mychat.train.optimizer import SplitOptimizer
from mychat.train.pace import Pace
from mychat.train.plan import FEWEST_STEPS, OFF_SHARE, SAMPLES_PER_EXAM, SECONDS_TO_FINISH, Plan, make_plan
from mychat.train.probe import Probe, choose_probe
from mychat.train.recipe import CHAINED_FROM_BASE, DEFAULT_MINUTES, Recipe, chars_to_draw, choose_recipe
from mychat.train.request import TrainRequest
from mychat.train.setup import Setup
from mychat.train.snapshots import fits, keep_step, kept_steps
from mychat.train.start import misfit, shape_conflict, tokens_per_word
from mychat.train.state import METRICS_FILE, SavedRun, load_run, metrics_file, run_files
from mychat.train.world import World


class Job:
    """`prepare` fills in what the rest uses."""

    words: Words
    split: Split
    tokenizer: Tokenizer
    config: ModelConfig
    plan: Plan
    run: Run
    probe: Probe

    def __init__(self, request: TrainRequest, world: World, device: str) -> None:
        self.request, self.world, self.device = request, world, device
        self.settings = request.settings
        if self.settings.minutes is None and self.settings.steps is None:
            self.settings = replace(self.settings, minutes=DEFAULT_MINUTES)
        self.saved: SavedRun | None = None
        self.last_save = time.monotonic()
        self.pace = Pace()

    # --- from words to a run in memory

    def prepare(self) -> Iterator[TrainEvent]:
        """Read, split, make or take the tokenizer, plan."""
        request = self.request
        self.words = load_words(request.sources, SAMPLING_NAMES)
        SamplingOptions().updated(self.words.persona.sampling)  # refused now rather than at the end
        if request.kind == "finetune" and not self.words.is_chat:
            raise CorpusError(f"{request.sources[0]}: plain text only; use `mychat pretrain`, or give it dialogues")
        self.chat = self.words.is_chat and request.kind != "pretrain"
        partial = load_checkpoint(request.partial) if request.resume and request.partial.exists() else None
        if partial:
            self.saved = load_run(request.partial, partial.record)
            self.settings = self.saved.settings
            yield Notice(f"going on with {request.partial}, under the plan it began with")
        yield from self._choose_parent()
        before = partial or self.parent
        self.identity = self._identity()
        typing = Typing.of(asdict(self.settings))
        train_chars, chained = int(self.identity["train_chars"]), float(self.identity.get("chained", CHAINED))
        self.split = split_words(self.words, train_chars, self.settings.seed, typing, chained)
        yield self._corpus_read()
        side = self.split.train
        held_out = self.split.held_out_lines()
        side.conversations += mixed_in(self.replay, side.conversations, self.settings.replay_share, held_out)
        said = [message.content for conversation in side.conversations for message in conversation.messages]
        chars = sum(map(len, said)) + sum(map(len, side.texts))
        self.precision = self.world.agree(pick_precision(self.settings.precision, self.device))
        self.peak_flops = self.world.agree(matmul_flops(self.device, self.precision, 1024))
        peak = self.peak_flops * self.world.size
        drawn = bool(self.words.dialogues)
        like = self.parent.config if self.parent else None
        recipe = (
            self.saved.plan.recipe
            if self.saved
            else choose_recipe(self.settings, chars, peak, drawn=drawn, like=like, replays=bool(self.replay))
        )
        self.tokenizer = (
            before.tokenizer if before else train_tokenizer([*said, *sample_texts(side.texts)], recipe.vocab_size)
        )
        self.tokens_per_word = round(tokens_per_word(self.tokenizer, self.words), 3)
        self.config = before.config if before else recipe.shape(self.tokenizer.vocab_size)
        self._prepare_run(replace(recipe, context_length=self.config.context_length))
        ends = time.monotonic() + self._seconds_left() if self.settings.steps is None and not self.saved else 0.0
        train_tokens = self.run.train["all"].count_tokens()
        yield self.plan.described(self.config, train_tokens, self.device, self.world.size, ends)

    def _choose_parent(self) -> Iterator[Notice]:
        """Take the model to start from, or none when nobody asked for it and it does not fit. Raises: ConfigError."""
        request = self.request
        self.parent = load_checkpoint(request.parent) if request.parent else None
        if self.parent and request.parent_by_default:
            reason = "" if self.saved else misfit(self.parent, self.words, self.settings)
            if reason or (self.saved and self.saved.request.get("parent") is None):
                self.parent = None
            if not self.saved:
                where = f"scratch: {reason}" if reason else f"{request.parent}; --from scratch does without"
                yield Notice(f"starting from {where}")
        elif self.parent and not self.saved and (conflict := shape_conflict(self.parent, self.settings)):
            raise ConfigError(f"{request.parent}: {conflict}; leave it out, or take --from scratch")
        self.replay = load_replay(request.parent) if self.parent and request.parent else []

    def _identity(self) -> dict[str, Any]:
        """Return what a run may be resumed with. Raises: CheckpointError when it is not what it began with."""
        identity: dict[str, Any] = {
            "kind": self.request.kind,
            "fingerprint": self.words.fingerprint(),
            "parent": self.parent.record.get("sha256") if self.parent else None,
            "replay": sha256_of(self.request.parent / REPLAY_FILE) if self.replay and self.request.parent else None,
        }
        if self.saved:
            for key, what in (
                ("kind", "command"), ("fingerprint", "words"), ("parent", "--from checkpoint"), ("replay", REPLAY_FILE),
            ):  # fmt: skip
                if self.saved.request.get(key) != identity[key]:
                    raise CheckpointError(
                        f"{self.request.partial}: the {what} changed since the run began; "
                        "put the old one back, or start over with --force"
                    )
            return dict(self.saved.request)
        chained = CHAINED_FROM_BASE if self.replay else CHAINED
        return identity | {"train_chars": chars_to_draw(self.settings), "chained": chained}

    def _corpus_read(self) -> CorpusRead:
        overlap = self.split.overlap
        return CorpusRead(
            len(self.words.files), len(self.words.dialogues), len(self.split.train.conversations),
            len(self.words.texts), self.words.skipped, overlap.dropped, overlap.remaining,
        )  # fmt: skip

    def _prepare_run(self, recipe: Recipe) -> None:
        """Render the words, set the network up, and make the plan, or take the saved one."""
        train, validation = self._rows()
        self.probe = choose_probe(self.split.validation, chat=self.chat)
        setup = self.saved.plan.setup if self.saved else self._first_setup(recipe)
        gpt = GPT(self.config, recipe.dropout)
        self._draw_weights(gpt)
        if not setup.sharded:  # else each part goes to the device on its own
            gpt.to(self.device)
        network = spread(ScoredGPT(gpt), self.world, self.device, sharded=setup.sharded)
        optimizer = SplitOptimizer(network, recipe, setup.precision, self.world)
        self.run = Run(network, optimizer, self.config, self.tokenizer, self.settings, recipe, setup, self.device,
                       self.world, train, validation)  # fmt: skip
        if self.saved:
            self.plan = self.saved.plan
            self.run.setup = replace(setup, micro_batch=min(setup.micro_batch, self._rows_a_process(recipe)))
            if setup.compiled:
                compile_layers(gpt)
        else:
            self.run.setup = fit_micro_batch(self.run)
            self.plan = self._make_plan()
            self.run.setup = self.plan.setup
        use_threads(self.run.setup)
        self.run.validation = validation.head(self.plan.validation_rows)
        if self.saved:
            self.saved.restore(self.run)
        else:
            self.run.best_weights = full_weights(network)

    def _rows(self) -> tuple[dict[str, Rows], Rows]:
        """Render both sides; the training side goes to files, which rank 0 writes and all map.

        A plan alone leaves the disk as it is: a run may be at work there.
        """
        chat_format, length = ChatFormat(self.tokenizer), self.config.context_length
        kinds = {"all": all_rows} | ({"assistant": chat_rows} if self.chat else {})
        train = {}
        for name, make_rows in kinds.items():
            file = None if self.request.plan_only else self.request.rows_folder / name
            if self.world.is_main or file is None:
                train[name] = make_rows(self.split.train, chat_format, length, file)
            self.world.agree(None)
            if not self.world.is_main and file is not None:
                train[name] = map_rows(file)
        make_rows = chat_rows if self.chat else all_rows
        return train, make_rows(self.split.validation, chat_format, length)

    def _first_setup(self, recipe: Recipe) -> Setup:
        """Set out from what the machine is best at; calibration goes on from there."""
        settings, world = self.settings, self.world
        rows = self._rows_a_process(recipe)
        sharded = world.size > 1 and world.agree(
            settings.sharding == "fsdp" or (settings.sharding == "auto" and needs_sharding(self.config, self.device))
        )
        return Setup(
            precision=self.precision,
            threads=settings.threads,
            micro_batch=min(settings.micro_batch or rows, rows),
            sharded=sharded,
            peak_flops=self.peak_flops,
        )

    def _rows_a_process(self, recipe: Recipe) -> int:
        """Share the rows of a step out. Raises: ConfigError when there are more processes than rows."""
        rows = max(1, recipe.batch_tokens // recipe.context_length)
        if rows < self.world.size:
            raise ConfigError(
                f"{self.world.size} processes for steps of {rows} row(s) of {recipe.context_length} tokens; "
                "start fewer, or give a larger batch_tokens (--config)"
            )
        return -(-rows // self.world.size)

    def _draw_weights(self, gpt: GPT) -> None:
        if self.parent:
            gpt.load_state_dict({name: tensor.float() for name, tensor in self.parent.weights.items()})
        else:
            gpt.init_weights(torch.Generator().manual_seed(self.settings.seed))

    # --- the budget

    def _make_plan(self) -> Plan:
        kind = "train-text" if self.request.kind == "train" and not self.chat else self.request.kind
        run, seconds = self.run, 0.0
        if self.settings.steps is None:
            seconds = self.world.agree(self._seconds_left())
            run.setup = calibrate(run, seconds)
            started = time.monotonic()
            self.sample(Validated("", 0, 0.0, 0.0, 0.0, best=False))
            run.setup = replace(run.setup, sample_seconds=self.world.agree(time.monotonic() - started))
            seconds = self.world.agree(self._seconds_left())
        elif self.settings.compile == "on":
            run.setup = replace(compile_if_possible(run, run.setup), step_seconds=0.0)
        return make_plan(
            run.recipe, run.setup, self.settings, self.config, stage_kind=kind, from_parent=self.parent is not None,
            has_texts=bool(self.words.texts),
            train_tokens=run.train["all"].count_tokens(), validation_rows=len(run.validation), seconds=seconds,
        )  # fmt: skip

    def _seconds_left(self) -> float:
        """Return the budget that is left for training, with room kept for the end."""
        minutes = self.settings.minutes or DEFAULT_MINUTES
        an_exam = SAMPLES_PER_EXAM * self.run.setup.sample_seconds
        ending = SECONDS_TO_FINISH + an_exam * len(self.split.test.exams)
        return minutes * 60 - ending - (time.monotonic() - self.request.started)

    def keep_time(self, place: int) -> Retimed | None:
        """Fit the steps that are left to the time that is, where the machine is not as fast as it was timed.

        Stage number `place` is running. A plan made from steps stays as it is, and so does that of a resumed run.
        """
        if self.settings.steps is not None or self.saved or not self.request.follows_clock:
            return None
        progress, before = self.run.progress, self.plan
        a_step, left = self.pace.look(progress.overall), before.steps_left(place, progress.step)
        if a_step is None or left <= 0 or before.steps <= FEWEST_STEPS:
            return None
        needed, given = left * a_step, max(0.0, self._seconds_left())
        off = abs(needed - given) / (60 * (self.settings.minutes or DEFAULT_MINUTES)) > OFF_SHARE
        factor = self.world.agree(given / needed if off else 1.0)
        if factor == 1.0:
            return None
        self.plan = before.refitted(place, progress.step, factor, self.settings.final_rate_share)
        steps = {stage.name: stage.steps for stage in self.plan.stages}
        return Retimed(self.plan.stages[place].name, progress.step, steps, before.steps)

    # --- while it runs

    def sample(self, at: Validated) -> Sampled:
        """Let the model say something, as it stands."""
        weights = full_weights(self.run.network)
        reply = ""
        if self.world.is_main:
            engine = Engine(Checkpoint(self.config, weights, self.tokenizer, self.words.persona), self.device)
            reply = self.probe.ask(engine)
            if at.stage and fits(self.config.count_parameters(), self.settings.validations):
                keep_step(self.request.steps_folder, self.run.progress.overall, weights)
        return Sampled(at.stage, at.step, self.probe.prompt, reply, self.chat)

    def save(self) -> None:
        """Save the run so that it can go on; the folder opens as a checkpoint with the best weights so far."""
        run = self.run
        files = run_files(run, self.plan, self.identity)  # every process has a part in these two
        weights = run.best_weights if run.progress.best_step else full_weights(run.network)
        if self.world.is_main:
            checkpoint = self._checkpoint(weights, {"finished": False})
            checkpoint.training = files
            save_checkpoint(self.request.partial, checkpoint, dtype=torch.float32)
        self.last_save = time.monotonic()

    def go_back(self) -> None:
        """Put the run, and its plan, where the last save left them."""
        saved = load_run(self.request.partial, load_checkpoint(self.request.partial).record)
        saved.restore(self.run)
        self.plan = saved.plan

    def _checkpoint(self, weights: dict[str, Tensor], record: dict[str, Any]) -> Checkpoint:
        described: dict[str, Any] = {
            "stage": self.plan.stages[-1].name,
            "stages": [asdict(stage) for stage in self.plan.stages],
            "chat": self.chat,
            "parent": self.request.parent.name if self.parent and self.request.parent else None,
            "data": {
                "name": self.words.persona.name,
                "files": [path.name for path in self.words.files],
                "fingerprint": self.identity["fingerprint"],
                "sources": [source.resolve().name for source in self.request.sources],
                "train_chars": self.identity["train_chars"],
                "chained": self.identity.get("chained", CHAINED),
                "tokens_per_word": self.tokens_per_word,
            },
            "credits": list(dict.fromkeys([*self.words.persona.credits, *self._inherited_credits()])),
            "split": self.split.describe(),
            "settings": asdict(self.settings),
            "recipe": asdict(self.plan.recipe),
            "setup": asdict(self.run.setup),
        }
        persona = replace(self.words.persona, slots={})
        return Checkpoint(self.config, weights, self.tokenizer, persona, described | record)

    def _inherited_credits(self) -> list[str]:
        return self.parent.record.get("credits", []) if self.parent else []

    def finish(self) -> Finished:
        """Evaluate the best weights, as they will be stored, on the test side; write the checkpoint."""
        run = self.run
        weights = {name: tensor.to("cpu", torch.bfloat16) for name, tensor in run.best_weights.items()}
        checkpoint = self._checkpoint(weights, {})
        engine = Engine(checkpoint, run.device)
        metrics = evaluate_side(engine, self.split.test, run.setup.precision, chat=self.chat).metrics
        checkpoint.record |= {
            "metrics": metrics,
            "finished": True,
            "trained_seconds": round(run.progress.trained_seconds),
            "best_step": run.progress.best_step,
        }
        checkpoint.ngrams = count_ngrams(run.train["assistant" if self.chat else "all"], self.config.vocab_size)
        lines = list_lines(self.words.dialogues, self.split.train.conversations, self.split.train.texts)
        checkpoint.training = {METRICS_FILE: metrics_file(run.progress), LINES_FILE: write_lines(lines)}
        checkpoint.training |= kept_steps(self.request.steps_folder)
        save_checkpoint(self.request.out, checkpoint)
        for left in (self.request.partial, self.request.steps_folder):
            shutil.rmtree(left, ignore_errors=True)
        seconds = time.monotonic() - self.request.started
        return Finished(str(self.request.out), seconds, self.chat, metrics, run.progress.best_step)

    def forget_steps(self) -> None:
        """Remove what another run under this name kept of its earlier steps."""
        if self.world.is_main:
            shutil.rmtree(self.request.steps_folder, ignore_errors=True)

    def forget(self) -> None:
        """Remove the rows on disk: a resumed run makes them again."""
        if self.world.is_main and not self.request.plan_only:
            shutil.rmtree(self.request.rows_folder, ignore_errors=True)
