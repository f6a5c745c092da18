"""What somebody sees of a training run: the curve, the dashboard, the log."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Iterator

import pexpect
import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.theme import Theme

from mychat.events import (
    CorpusRead,
    Finished,
    Notice,
    Planned,
    RolledBack,
    Sampled,
    StageStarted,
    Stepped,
    StoppedEarly,
    TrainEvent,
    Validated,
)
from mychat.terminal.console import Terminal
from mychat.terminal.dashboard import Dashboard, duration
from mychat.terminal.loss_curve import LABEL_WIDTH, MOST_POINTS, LossCurve, Series
from mychat.terminal.progress import describe_plan, draw_training

PLAN = Planned(
    3_600_000, 4, 256, 2560, 256, 100_000, 2048, {"pretrain": 10, "finetune": 90}, 0.1, 0.02, "fp32", "cpu",
    True, 8, 1, 0.3, 60.0, 2.7e11, ("10 tokens are few: add more words",),
)  # fmt: skip


def story() -> Iterator[TrainEvent]:
    yield CorpusRead(1, 3, 40, 0, 0, 0, 0)
    yield PLAN
    for stage, steps in PLAN.steps.items():
        yield StageStarted(stage, 0, steps)
        for step in range(1, steps + 1):
            loss = 4.0 if stage == "pretrain" else 3.0 - step / 45
            yield Stepped(stage, step, steps, loss, 0.02, 6100.4, 1.0, 0.62)
    yield Validated("finetune", 90, 1.25, 0.3, 1.0, True)
    yield Sampled("finetune", 90, "who are you?", "I am \x1b[31mPip.\nReally.", True)
    yield RolledBack("finetune", 50, 40, "the loss is no longer a number", 0.5)
    yield StoppedEarly("finetune", 90, 80)
    yield Finished("checkpoints/pip", 61.0, True, {"bits_per_byte": 0.3}, 90)


def drawn(renderable: object, width: int, height: int = 30, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    theme = Theme({"muted": "dim", "persona": "cyan", "curve.training": "cyan", "curve.validation": "magenta"})
    console = Console(file=file, width=width, height=height, theme=theme, force_terminal=False, legacy_windows=False)
    console.print(renderable, soft_wrap=True)  # as Terminal does
    file.seek(0)
    return file.read().splitlines()


def test_a_falling_curve_starts_top_left_and_ends_bottom_right() -> None:
    curve = LossCurve(100)
    for step in range(101):
        curve.training.add(step, 5.0 - step / 25)
    curve.validation.add(100, 1.0)
    lines = drawn(curve, 60)
    assert lines[0].startswith("  5.00 ⠉")
    assert lines[7].startswith("  1.00 ")
    assert lines[7].rstrip().endswith("●")
    assert len(lines[7].rstrip()) == 60
    assert "training" in lines[8]
    assert "● validation" in lines[8]
    assert lines[8].endswith("step 100")
    plots = [line[LABEL_WIDTH + 1 :] for line in lines[:8]]
    starts = [len(plot) - len(plot.lstrip()) for plot in plots]
    assert starts == sorted(starts)


def test_a_terminal_that_has_no_braille_gets_dots() -> None:
    curve = LossCurve(10)
    curve.training.add(1, 2.0)
    curve.validation.add(5, 1.0)
    text = "\n".join(drawn(curve, 50, encoding="ascii"))
    assert text.isascii()
    assert "." in text
    assert "o validation" in text


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.floats(allow_nan=True, allow_infinity=True)), max_size=40),
    st.integers(20, 200),
    st.integers(1, 10**7),
)
def test_no_curve_is_wider_than_its_room(points: list[tuple[int, float]], width: int, steps: int) -> None:
    curve = LossCurve(steps)
    for x, y in sorted(points, key=lambda point: point[0]):
        curve.training.add(x, y % 100 if math.isfinite(y) else y)
        curve.validation.add(x, y % 50 if math.isfinite(y) else y)
    lines = drawn(curve, width)
    assert len(lines) == 9
    assert all(len(line) <= width for line in lines)


def test_a_long_run_is_kept_at_half_the_resolution() -> None:
    series = Series()
    for step in range(3 * MOST_POINTS):
        series.add(step, float(step))
    assert len(series.points) <= MOST_POINTS
    assert all(x == y for x, y in series.points)


@pytest.mark.parametrize(("width", "height"), [(100, 40), (60, 20), (39, 40), (80, 10), (44, 8)])
def test_the_dashboard_says_where_the_run_stands(width: int, height: int) -> None:
    dashboard = Dashboard()
    for event in story():
        dashboard.take(event)
    lines = drawn(dashboard, width, height)
    text = "\n".join(lines)
    assert all(len(line) <= width for line in lines)
    assert "100/100" in text
    assert "loss 1." in text
    assert "6,100 tokens/s" in text
    assert "rate 0.02" in text
    has_curve = width >= 40 and height >= 14
    assert ("● validation" in text) == has_curve
    assert ("> who are you?" in text) == has_curve
    assert "\x1b" not in text
    if width == 100:
        assert "finetune (2 of 2)" in text
        assert "validation 1.250 (0.300 bits per byte)" in text
        assert "6,100 tokens/s  62% of peak" in text


def test_the_log_reads_as_a_log() -> None:
    code = (
        "from tests.terminal.test_dashboard import story\n"
        "from mychat.terminal.console import Terminal\nfrom mychat.terminal.progress import draw_training\n"
        "draw_training(Terminal(), story(), as_json=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "corpus: 1 file(s), 3 dialogues, 40 conversations to train on; train/validation overlap 0"
    assert lines[1:4] == describe_plan(PLAN)
    assert lines[4:] == [
        "warning: 10 tokens are few: add more words",
        "pretrain: 10 steps",
        "pretrain step 1/10  loss 4.000  6,100 tokens/s  62% of peak  1 min 00 s left",
        "finetune: 90 steps",
        "finetune step 90: validation 1.250 (0.300 bits per byte), training 1.000, the best so far",
        "finetune step 90: > who are you? -> I am ␛[31mPip. Really.",
        "finetune step 50: the loss is no longer a number; back to step 40, with 0.5 of the learning rate",
        "finetune step 90: no better since step 80; stopped early",
    ]
    assert not any(character in done.stderr for character in "\x1b\r")


def test_the_plan_is_said_in_lines() -> None:
    lines = describe_plan(PLAN)
    assert lines[0] == "plan: 3.6 M parameters, 4 layers of 256, vocabulary 2,560, context 256"
    assert "2.0 epochs of 0.10 M tokens: pretrain 10 steps, finetune 90 steps, 2,048 tokens a step" in lines[1]
    assert lines[2].strip().startswith("fp32, compiled, 8 rows at a time on cpu; done at about ")


def test_a_real_terminal_shows_the_dashboard_and_is_left_clean() -> None:
    code = (
        "import time\nfrom tests.terminal.test_dashboard import story\n"
        "from mychat.terminal.console import Terminal\nfrom mychat.terminal.progress import draw_training\n"
        "def slow():\n    for event in story():\n        time.sleep(0.005)\n        yield event\n"
        "draw_training(Terminal(), slow(), as_json=False)\nprint('afterwards')"
    )
    screen = pyte.Screen(100, 40)
    stream = pyte.Stream(screen)
    child = pexpect.spawn(sys.executable, ["-c", code], dimensions=(40, 100), encoding="utf-8", timeout=60)
    stream.feed(child.read())
    child.close()
    assert child.exitstatus == 0
    shown = "\n".join(screen.display)
    assert "finetune (2 of 2)" in shown
    assert shown.count("● validation") == 1  # drawn in place
    assert shown.index("back to step 40") < shown.index("finetune (2 of 2)") < shown.index("afterwards")
    assert not screen.cursor.hidden


def test_an_error_in_the_run_leaves_the_terminal_clean() -> None:
    def broken() -> Iterator[TrainEvent]:
        yield Notice("begun")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_training(Terminal(), broken(), as_json=False)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (190, "3 min 10 s"), (7384, "2 h 03 min")]
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said
