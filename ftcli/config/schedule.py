"""The values of `--schedule`: cosine, constant, or steps at given epochs."""

import re
from typing import Any

import typer

from ftcli.errors import RequestError

STEP = "step:"
FORMS = ("cosine", "constant", f"{STEP}E1,E2,…")
EPOCHS = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*", re.ASCII)


def schedule(value: Any) -> str:
    """Parser of a schedule, without spaces."""
    text = "".join(str(value).split())
    if text in FORMS[:2]:
        return text
    if not (text.startswith(STEP) and EPOCHS.fullmatch(text.removeprefix(STEP))):
        raise typer.BadParameter(f"{value!r} is not one of 'cosine', 'constant', 'step:30,60,90' with any epochs.")
    return text


def complete_schedule(incomplete: str) -> list[str]:
    """What a shell may complete the beginning of a schedule to."""
    return [name for name in FORMS[:2] if name.startswith(incomplete)]


def milestones(schedule: str) -> tuple[int, ...]:
    """Numbers of epochs after which the rate falls to a tenth; none of a schedule without steps."""
    return tuple(map(int, schedule.removeprefix(STEP).split(","))) if schedule.startswith(STEP) else ()


def check_schedule(schedule: str, epochs: int, warmup: float) -> None:
    """Raises RequestError for steps that do not rise, never come, or come while the rate is still warming up."""
    steps = milestones(schedule)
    if not steps:
        return
    given = f"--schedule {schedule}"
    if list(steps) != sorted(set(steps)):
        raise RequestError(f"{given}: the epochs do not rise.", "type each once, in order, as in step:30,60,90")
    if steps[0] < max(1, warmup):
        begin = f"--warmup {warmup:g} is not over after epoch {steps[0]}" if steps[0] else "the first epoch is 1"
        raise RequestError(f"{given}: {begin}.", "let the first step come later")
    if steps[-1] >= epochs:
        raise RequestError(
            f"{given}: the step after epoch {steps[-1]} never comes, with --epochs {epochs}.",
            f"--epochs {steps[-1] + 1} or more, earlier steps, or --schedule cosine",
        )
