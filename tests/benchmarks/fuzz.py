"""Hostile files by the hundred: no command may run, write, hang, swell, paint or fall over because of them.

    python -m tests.benchmarks.fuzz [--cases 400] [--seed 0] [--kind safetensors,image]

So many cases of each kind asked for, together; seeds go up from `--seed`. A case that fails is printed with its kind
and seed: `--kind KIND --case SEED` runs that one alone, keeps its files and shows what the command said.
"""

import shlex
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.mutations import KINDS, OUT, hostile
from tests.helpers.sandbox import GB, Outcome, watched

LIMIT = 10.0  # seconds


@dataclass
class Tally:
    """What the cases of one kind came to."""

    codes: dict[int | None, int] = field(default_factory=dict)
    slowest: float = 0.0
    peak: int = 0
    failed: int = 0

    def count(self, outcome: Outcome, faults: list[str]) -> None:
        self.codes[outcome.code] = self.codes.get(outcome.code, 0) + 1
        self.slowest, self.peak = max(self.slowest, outcome.seconds), max(self.peak, outcome.peak)
        self.failed += bool(faults)

    def line(self, kind: str) -> str:
        ended = ", ".join(f"{count} ended {code}" for code, count in sorted(self.codes.items(), key=str))
        cases = sum(self.codes.values())
        return (
            f"{kind:12} {cases:4} cases: {ended}; at most {self.slowest:.1f} s and {self.peak / GB:.2f} GB; "
            f"{self.failed} failed"
        )


def run(kind: str, seed: int, folder: Path) -> tuple[Outcome, list[str], str]:
    """One case: how it ended, what is wrong with that, and the command line. A hostile file is never our failure."""
    words = hostile(kind, seed, folder)
    outcome = watched(words, [folder / OUT], LIMIT)
    return outcome, outcome.faults([0, 2]), shlex.join(map(str, ["ftcli", *words]))


def one(kind: str, seed: int) -> int:
    """A single case, with everything that it said."""
    folder = Path(tempfile.mkdtemp(prefix=f"ftcli-{kind}-{seed}-"))
    outcome, faults, line = run(kind, seed, folder)
    print(line, f"exit {outcome.code}", ascii(outcome.stdout[-3000:]), ascii(outcome.stderr[-3000:]), sep="\n")
    print(f"{outcome.seconds:.1f} s, {outcome.peak / GB:.2f} GB; {faults or 'as it should be'}")
    return int(bool(faults))


def many(kinds: list[str], cases: int, first: int) -> int:
    """So many cases, the kinds in turn; gives how many failed."""
    tallies = {kind: Tally() for kind in kinds}
    for number in range(cases):
        kind, seed = kinds[number % len(kinds)], first + number // len(kinds)
        with tempfile.TemporaryDirectory(prefix="ftcli-fuzz-") as folder:
            outcome, faults, line = run(kind, seed, Path(folder))
        tallies[kind].count(outcome, faults)
        if faults:
            said = ascii(outcome.stderr.strip()[-400:])
            print(f"FAILED --kind {kind} --case {seed}: {'; '.join(faults)}\n  {line}\n  {said}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {cases}", end="", file=sys.stderr, flush=True)
    for kind, tally in tallies.items():
        print(tally.line(kind))
    return sum(tally.failed for tally in tallies.values())


def asked() -> Namespace:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", type=int, default=400, help="of all kinds together (400)")
    arguments.add_argument("--seed", type=int, default=0, help="of the first case of each kind (0)")
    arguments.add_argument("--kind", default=",".join(KINDS), help=f"which, with commas: {', '.join(KINDS)}")
    arguments.add_argument("--case", type=int, help="only the case with this seed")
    return arguments.parse_args()


def main() -> None:
    options = asked()
    kinds = options.kind.split(",")
    if unknown := set(kinds) - set(KINDS):
        sys.exit(f"no such kind: {', '.join(sorted(unknown))}")
    if options.case is not None:
        sys.exit(max(one(kind, options.case) for kind in kinds))
    sys.exit(int(many(kinds, options.cases, options.seed) > 0))


if __name__ == "__main__":
    main()
