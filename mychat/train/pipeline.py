"""The whole way: words in, a checkpoint out. `train`, `pretrain` and `finetune` differ in their stages only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from mychat.config import CONFIG_FILE
from mychat.errors import CheckpointError, Interrupted, TrainingError
from mychat.events import Notice, RolledBack, Saved, Stepped, TrainEvent, Validated
from mychat.model.folder import recover
from mychat.model.host import keep_heap, pick_device
from mychat.train.interrupt import InterruptWish
from mychat.train.job import Job
from mychat.train.loop import Diverged, run_stage
from mychat.train.pace import LOOKS_PER_INTERVAL
from mychat.train.request import TrainRequest
from mychat.train.stage import Stage
from mychat.train.world import joined_world

MOST_ROLLBACKS = 3


def train(request: TrainRequest) -> Iterator[TrainEvent]:
    """Run a request to its end, yielding what happens; with `plan_only`, to the plan.

    Started by `torchrun`, every process calls it with the same request, and all yield the same events.
    Raises: CorpusError, ConfigError, CheckpointError, TrainingError; Interrupted after Ctrl-C, with all saved.
    """
    keep_heap()
    device = pick_device(request.settings.device)
    with joined_world(device) as world:
        if not request.plan_only and world.agree(world.is_main and _is_finished(request)):
            yield Notice(f"{request.out} is finished already; nothing to do")
            return
        job = Job(request, world, world.device(device))
        try:
            with InterruptWish(at_once=True) as early:
                yield from job.prepare()
            if early.wished:
                raise KeyboardInterrupt
            if request.plan_only:
                return
            with InterruptWish() as interrupt:
                yield from run_stages(job, interrupt)
            job.save()  # so that nothing is lost when the end is cut short
            if world.is_main:
                yield job.finish()
        finally:
            job.forget()


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


def run_stages(job: Job, interrupt: InterruptWish) -> Iterator[TrainEvent]:
    """Run what is left of the stages, going back when the loss breaks away. Raises: Interrupted, TrainingError."""
    if job.saved is None:
        job.forget_steps()
        job.save()  # from here on there is always something to go back to, and the plan is kept
    while True:
        try:
            yield from _run_to_the_end(job, interrupt)
            return
        except Diverged as fault:
            yield _roll_back(job, fault)


def _run_to_the_end(job: Job, interrupt: InterruptWish) -> Iterator[TrainEvent]:
    run, stages = job.run, job.plan.stages
    for place in range(run.progress.stage, len(stages)):
        if run.progress.stage != place:
            run.progress.next_stage()
        job.pace.restart(run.progress.overall)
        look_every = max(1, stages[place].interval // LOOKS_PER_INTERVAL)
        for event in run_stage(run, partial(_stage, job, place), keeps_best=place == len(stages) - 1):
            yield event
            due = time.monotonic() - job.last_save >= run.settings.save_every_seconds
            if isinstance(event, Validated):
                yield job.sample(event)
            if isinstance(event, Stepped) and event.step % look_every == 0 and (retimed := job.keep_time(place)):
                due = True  # so that a kill does not bring the old plan back
                yield retimed
            stop, due = run.world.agree((interrupt.wished, due))
            if stop or due:
                job.save()
                yield Saved(str(job.request.partial), run.progress.overall)
            if stop:
                stage = _stage(job, place)
                raise Interrupted(
                    f"stopped at {stage.name} step {run.progress.step} of {stage.steps}; "
                    f"saved in {job.request.partial}: type the same command with --resume to go on"
                )


def _stage(job: Job, place: int) -> Stage:
    return job.plan.stages[place]


def _roll_back(job: Job, fault: Diverged) -> RolledBack:
    """Go back to the last save at half the rate. Raises: TrainingError when that was tried often enough."""
    progress = job.run.progress
    stage, step, scale = job.plan.stages[progress.stage].name, progress.step + 1, progress.rate_scale / 2
    if scale < 0.5**MOST_ROLLBACKS:
        raise TrainingError(
            f"{stage} step {step}: {fault}, {MOST_ROLLBACKS} lower learning rates did not help; {job.request.partial} "
            "holds the last good state; train again with a lower matrix_learning_rate and learning_rate (--config)"
        )
    job.go_back()
    job.run.progress.rate_scale = scale
    job.save()
    return RolledBack(stage, step, job.run.progress.step, str(fault), scale)
