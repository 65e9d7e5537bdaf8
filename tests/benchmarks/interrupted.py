"""Commands that are stopped at random moments, gone on with, and held against one that was not.

    python -m tests.benchmarks.interrupted [--runs 50] [--signal KILL] [--command lpft]

`lpft --preset digits` and `surgical` on the same digits, 2 rates × 2 seeds, a state every half second. Each run is sent
the signal after a random part of the time that the undisturbed one takes, every second one at the next moment after
that in which a file is being written, and is gone on with; then model, predictions and report (but for times) are
compared. Of a signal that can be heard, the exit code and the command to go on with are looked at too.

Every command is a process of its own, forked from one that has imported everything and done nothing.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ftcli.run  # noqa: F401  (before the forks)
from ftcli.cli.main import main as command_line

TIMES = ("created", "argv", "timing", "seconds", "out", "workers", "resume")
COMMON = ["--lr", "1e-3,1e-2", "--seeds", "2", "--epochs", "2", "--save-every", "0.008", "--quiet"]
COMMANDS = {
    "lpft": ["lpft", "--preset", "digits", *COMMON],
    "surgical": [
        "surgical", "--checkpoint", "preset:digits/checkpoint", "--train", "digits:inverted?split=train[:400]",
        "--id-test", "digits:inverted?split=train[1297:]", "--image-size", "32", "--blocks", "first,last",
        "--auto", "rgn", "--threads", "1", *COMMON,
    ],
}  # fmt: skip
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass
class Storm:
    """What was seen: signals that came in time, those during a save, answers as they should be, runs that ended so."""

    sent: int = 0
    in_a_save: int = 0
    answered: int = 0
    finished: int = 0
    same: int = 0

    def say(self, name: str, number: signal.Signals) -> str:
        return (
            f"{name}: {self.sent} times {number.name}, {self.in_a_save} of them during a save, {self.answered} answered"
            f" as they should be; {self.same} of {self.finished} finished runs the same"
        )


class Command:
    """A command line in a process of its own."""

    def __init__(self, words: list[str], out: Path, told: Path | None = None) -> None:
        self.told = told or out.with_suffix(".told")
        self.code: int | None = None
        self.number = os.fork()
        if not self.number:
            sys.argv = ["ftcli", *words, "--out", str(out)]
            file = os.open(self.told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            try:
                command_line()
            except SystemExit as end:
                os._exit(int(end.code or 0))
            finally:
                os._exit(99)

    def ended(self) -> bool:
        """Whether it is through; its exit code is known then, as `subprocess` gives it."""
        if self.code is None:
            number, status = os.waitpid(self.number, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if number else None
        return self.code is not None

    def wait(self, seconds: float = 3600.0) -> int | None:
        """The exit code; None where it is not through by then."""
        deadline = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.code


def lasting(value: Any) -> Any:
    """A report without what may differ between two runs of one command."""
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in TIMES}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def same(one: Path, other: Path) -> bool:
    bytes_alike = all(
        (one / name).read_bytes() == (other / name).read_bytes()
        for name in ("model.safetensors", "config.json", "predictions.parquet")
    )
    reports = [lasting(json.loads((folder / "report.json").read_text())) for folder in (one, other)]
    return bytes_alike and reports[0] == reports[1]


def half_written(out: Path) -> bool:
    return any(out.glob(".*.part")) or any(out.glob("state/.*.part"))


def disturb(command: Command, out: Path, number: signal.Signals, after: float, saving: bool) -> bool:
    """Send the signal, where the command does not end before; tells whether a file was being written."""
    command.wait(after)
    seen = False
    while saving and not command.ended() and not (seen := half_written(out)):
        time.sleep(1e-4)
    if not command.ended():
        os.kill(command.number, number)
    return seen


def storm(words: list[str], root: Path, runs: int, number: signal.Signals, draw: random.Random) -> Storm:
    calm, seen = root / "calm", Storm()
    began = time.monotonic()
    if Command(words, calm).wait():
        sys.exit(f"the undisturbed run failed: {calm.with_suffix('.told').read_text()}")
    whole = time.monotonic() - began
    while seen.finished < runs:
        out = root / "disturbed"
        command = Command(words, out)
        saving = disturb(command, out, number, draw.uniform(0.1, whole), seen.finished % 2 == 1)
        if command.wait() == 0:  # it was through: another one
            shutil.rmtree(out)
            continue
        seen.sent += 1
        seen.in_a_save += saving and (number != signal.SIGKILL or half_written(out))
        heard = number == signal.SIGKILL or "try: " in command.told.read_text()
        seen.answered += command.code == CODES[number] and heard
        last = Command([*words, "--resume"], out)  # it may have been stopped when the report was written already
        seen.finished += 1
        seen.same += last.wait() == 0 and same(out, calm)
        print(seen.say(words[0], number), file=sys.stderr, flush=True)
        shutil.rmtree(out)
    return seen


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=50, help="that are disturbed, of each command (50)")
    arguments.add_argument("--signal", default="KILL", choices=["KILL", "TERM", "INT"], help="which (KILL)")
    arguments.add_argument("--command", choices=list(COMMANDS), help="one of them (both)")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    asked = arguments.parse_args()
    number = signal.Signals[f"SIG{asked.signal}"]
    for name, words in COMMANDS.items():
        if asked.command in (None, name):
            with tempfile.TemporaryDirectory(prefix=f"ftcli-{name}-") as folder:
                print(storm(words, Path(folder), asked.runs, number, random.Random(asked.seed)).say(name, number))


if __name__ == "__main__":
    main()
