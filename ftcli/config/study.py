"""Options of `ftcli study`: its own, and those that the training commands share, which it passes on to every cell."""

from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import typer

from ftcli.config.declare import DATA, MACHINE, OUTPUT, TRAINING, Numbers, Words, flag, numbers, option, words
from ftcli.config.loop import rates
from ftcli.config.shared import Common
from ftcli.config.slurm import sbatch_options
from ftcli.config.training import Training
from ftcli.errors import RequestError
from ftcli.limits import MAX_JOBS, MAX_SEEDS

TABLES = ("published", "feature-quality", "early-stopping", "pretraining", "surgical-tasks", "robustness")
DEFAULT_METHODS = ("probe", "finetune", "lpft")
# What a study decides for each of its cells, or says in another way.
NOT_PASSED_ON = (
    "preset", "config", "out", "overwrite", "resume", "seed", "seeds", "dry_run", "json", "quiet", "debug",
)  # fmt: skip
PASSED_ON = tuple(one.name for one in fields(Training) if one.name not in NOT_PASSED_ON)


def _shared_options() -> type[Common]:
    """The options of every training command without their defaults: None is what the method or the preset says."""
    hints = get_type_hints(Training, include_extras=True)
    hints["lr"] = Annotated[Numbers, rates((), "the method's")]  # each has a grid of its own
    made: Any = make_dataclass(
        "Shared", [(name, hints[name], field(default=None)) for name in PASSED_ON], bases=(Common,), kw_only=True,
        frozen=True, repr=False, eq=False, namespace={"__module__": __name__},
    )  # fmt: skip
    return made


Shared: Any = _shared_options()


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Study(Shared):  # type: ignore[misc]
    """Options of `ftcli study`."""

    defaults_for_cells: ClassVar[bool] = True

    config: Annotated[
        Path | None,
        typer.Argument(help="TOML file with options of the study.", metavar="FILE.toml", show_default="none"),
    ] = None
    recipe: Annotated[
        str | None,
        option("Options from a recipe that comes with the package.", panel=DATA, default="none", metavar="NAME"),
    ] = None
    preset: Annotated[
        Words | None,
        option(
            "Named benchmarks, each with every method; other options override theirs.", panel=DATA, default="none",
            metavar="A,B,…", parser=words(),
        ),
    ] = None  # fmt: skip
    methods: Annotated[
        Words | None,
        option(
            "Training commands to compare.", panel=TRAINING, default="probe,finetune,lpft without --method",
            metavar="A,B,…", parser=words(),
        ),
    ] = None  # fmt: skip
    method: Annotated[
        list[str] | None,
        option(
            "A training command with options of its own; repeatable.", panel=TRAINING, default="none",
            metavar="'COMMAND OPTIONS'",
        ),
    ] = None  # fmt: skip
    set: Annotated[
        list[str] | None,
        option(
            "Values of an option, a cell for each; of an option that takes a list, parted by ';'. Repeatable.",
            panel=TRAINING, default="none", metavar="OPTION=A,B",
        ),
    ] = None  # fmt: skip
    seeds: Annotated[
        int | None,
        option(
            "Number of seeds, 0 to N-1; a cell for each.", panel=TRAINING, default="1", min=1, max=MAX_SEEDS,
            metavar="N",
        ),
    ] = None  # fmt: skip
    seed: Annotated[
        Numbers | None,
        option(
            "Comma-separated seeds, instead of --seeds.", panel=TRAINING, default="0", metavar="A,B,…",
            parser=numbers(int, 0, 2**63),
        ),
    ] = None  # fmt: skip
    rule: Annotated[
        Literal["best", "se"],
        option(
            "Row that is picked among the values of a strength in --set (ldifs, l1_sp, l2_sp, project): the best on "
            "ID-val, or the strongest within one standard error of it (se); a note then has both.",
            panel=TRAINING,
        ),
    ] = "best"
    tables: Annotated[
        Words | None,
        option(
            f"Tables to add to the answer: {', '.join(TABLES)}.", panel=OUTPUT, default="none",
            metavar="A,B,…", parser=words(TABLES),
        ),
    ] = None  # fmt: skip
    jobs: Annotated[
        int,
        option("Cells that run at the same time on this machine.", panel=MACHINE, min=1, max=MAX_JOBS, metavar="N"),
    ] = 1
    engine: Annotated[
        Literal["local", "ray", "slurm"],
        option("What runs the cells: processes of this machine, Ray, or Slurm.", panel=MACHINE),
    ] = "local"
    slurm: Annotated[
        list[str] | None,
        option(
            "An option of sbatch for the job of every cell, such as time=4:00:00; repeatable.", panel=MACHINE,
            default="none", metavar="NAME=VALUE",
        ),
    ] = None  # fmt: skip
    print: Annotated[bool, flag("Print the command of every cell, one a line, and stop.", "--print", OUTPUT)] = False
    dry_run: Annotated[
        bool, flag("Print the cells, the number of runs and an estimate of the time, and stop.", "--dry-run", OUTPUT)
    ] = False
    out: Annotated[
        Path | None,
        option(
            "Folder of the study; an unfinished study there goes on.", "--out", "-o", panel=OUTPUT,
            default="runs/study-DATE-TIME", metavar="DIR",
        ),
    ] = None  # fmt: skip

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seed is not None:
            raise RequestError(f"--seeds {self.seeds} and --seed {self.seed} are both given.", "give one of the two")
        if self.print and self.dry_run:
            raise RequestError("--print and --dry-run both say what to show.", "give one of the two")
        if self.jobs > 1 and self.engine != "local":
            raise RequestError(f"--jobs {self.jobs} is for cells on this machine.", "leave out --jobs or --engine")
        if self.slurm and self.engine != "slurm":
            raise RequestError(f"--slurm {self.slurm[0]} is for jobs of Slurm.", "add --engine slurm")
        self.slurm_options()

    def slurm_options(self) -> dict[str, str]:
        """What --slurm says, by the name of the option of sbatch."""
        return sbatch_options(self.slurm or ())

    def seed_list(self) -> tuple[int, ...]:
        """The seeds to run, ascending."""
        return tuple(range(self.seeds)) if self.seeds else tuple(int(seed) for seed in self.seed or (0,))

    def method_lines(self) -> list[str]:
        """Every method as a line of words: the plain names first."""
        plain = self.methods or (() if self.method else DEFAULT_METHODS)
        return [*plain, *(self.method or [])]

    def passed_on(self) -> dict[str, Any]:
        """The shared options that were given, by name."""
        values = {name: getattr(self, name) for name in PASSED_ON}
        return {name: value for name, value in values.items() if value is not None}
