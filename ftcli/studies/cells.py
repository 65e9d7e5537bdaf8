"""A cell of a study: one command with one seed and its own run folder; and how far it is."""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from ftcli.cli.main import configuration_of
from ftcli.config.shared import Common, Reporting
from ftcli.errors import RequestError
from ftcli.files import read_regular
from ftcli.limits import MAX_CELLS, MAX_REPORT_BYTES
from ftcli.run_folder.names import CELLS, HISTORY, REPORT, STATE
from ftcli.run_folder.options import options_in_request

LOGS = "logs"  # a folder below the study's, made when its cells are run
EVALUATE = "evaluate"
LONGEST_NAME = 80  # characters of the name of a folder
DATA = ("train", "id_val", "id_test", "split_seed", "cut_by", "damaged")  # what all cells of a benchmark share


@dataclass(frozen=True)
class Cell:
    """One command of a study.

    Attributes:
        name: its run folder below that of the study.
        benchmark: the preset's name, or "data" where the sets are typed.
        method: the row that it belongs to: the command with the options that tell it from others.
        seed: of the run; of a command that draws no numbers the first.
        words: the command, without --out.
        first: the name of the cell that must end before, because it fills the cache for this one; or makes its model.
        model: of an evaluation of a finished cell on another OOD set, the name of that cell; else empty.
        checkpoint: what the checkpoint is called where `--set checkpoint=A,B` names several; else empty.
    """

    name: str
    benchmark: str
    method: str
    seed: int
    words: tuple[str, ...]
    first: str = ""
    model: str = ""
    checkpoint: str = ""

    @property
    def comparison(self) -> str:
        """What its rows are compared in: the benchmark, with the checkpoint where there are several."""
        return f"{self.benchmark}, {self.checkpoint}" if self.checkpoint else self.benchmark

    @property
    def command(self) -> str:
        return self.words[0]

    def words_in(self, study: Path) -> list[str]:
        """The whole command of a cell of the study in a folder, which goes on where it was stopped."""
        model = [str(study / self.model)] if self.model else []
        goes_on = [] if self.model else ["--resume"]
        return [*self.words, *model, "--out", str(study / self.name), *goes_on]

    def line_in(self, study: Path) -> str:
        """The whole command as one line for a shell."""
        return shlex.join(["ftcli", *self.words_in(study)])

    def is_finished(self, study: Path) -> bool:
        return (study / self.name / REPORT).is_file()

    def is_begun(self, study: Path) -> bool:
        return (study / self.name / STATE).is_dir()

    def epochs_done(self, study: Path) -> int:
        """Epochs in its history, all runs together."""
        try:
            return (study / self.name / HISTORY).read_bytes().count(b"\n")
        except OSError:
            return 0


@dataclass(frozen=True)
class Planned:
    """A cell with its options as resolved."""

    cell: Cell
    config: Common

    @property
    def key(self) -> str:
        """Equal for cells whose results are the same but for their OOD sets."""
        options = options_in_request(self.config)
        return json.dumps([self.cell.command, {name: value for name, value in options.items() if name != "ood"}])

    @property
    def shares(self) -> str:
        """Equal for cells that use the same images and the same weights, so one of them fills the cache for all."""
        options = options_in_request(self.config)
        return json.dumps([options.get(name) for name in (*DATA, "checkpoint", "model", "image_size")])


def planned(cell: Cell) -> Planned:
    """A cell with its options resolved. Raises RequestError where it cannot be run any more."""
    model = ["--", "model"] if cell.model else []  # the folder is known only with that of the study
    return Planned(cell, configuration_of([*cell.words, *model]))


def sets_of(config: Common) -> dict[str, str]:
    """The OOD sets of a command, by name."""
    assert isinstance(config, Reporting)
    return dict(config.ood_sets())


def startable(waiting: Iterable[Cell], ahead: Collection[str], slots: int) -> list[Cell]:
    """The next cells, at most `slots`, none of which waits for one that is still ahead."""
    return list(islice((cell for cell in waiting if cell.first not in ahead), max(0, slots)))


def read_cells(study: Path) -> list[Cell]:
    """The cells of the study in a folder; none where there is no study. Raises RequestError for a damaged list."""
    path = study / CELLS
    try:
        lines = read_regular(path, MAX_REPORT_BYTES).decode("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from None
    if len(lines) > MAX_CELLS:
        raise damaged(path, f"it has {len(lines):,} lines, and a study has at most {MAX_CELLS:,} cells")
    return [cell_from(line, f"line {number} of {path}") for number, line in enumerate(lines, 1)]


def cell_from(line: str, where: str) -> Cell:
    """A cell from its line. Raises RequestError where it is none."""
    try:
        values = json.loads(line)
        values.pop("line")
        cell = Cell(**values | {"words": tuple(values["words"])})
        texts = (cell.name, cell.benchmark, cell.method, cell.first, cell.model, cell.checkpoint, *cell.words)
        if not all(isinstance(text, str) for text in texts) or not isinstance(cell.seed, int) or not cell.words:
            raise TypeError
        if not all(below(name) for name in (cell.name, cell.first, cell.model) if name):
            raise ValueError
        return cell
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise damaged(Path(where), "it is no cell") from None


def is_started(cells: Iterable[Cell], study: Path) -> bool:
    """Whether a study has begun any of its cells, or somebody one of them by itself."""
    return (study / LOGS).is_dir() or any(cell.is_finished(study) or cell.is_begun(study) for cell in cells)


def below(name: str) -> bool:
    """Whether a name is that of a folder below the study's."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def damaged(where: Path, why: str) -> RequestError:
    return RequestError(
        f"{str(where)!r} is not the list of the cells of a study: {why}.",
        "remove the file and type the study again: finished cells are found again",
    )


def cells_as_text(cells: list[Cell], study: Path) -> str:
    """The cells as study.jsonl has them: a line each, and in it the whole command as `line`."""
    rows = [asdict(cell) | {"line": cell.line_in(study)} for cell in cells]
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def epochs_of(config: Common) -> int:
    """Epochs that a training command runs in all; 0 of the exact probe and of an evaluation."""
    if getattr(config, "solver", "") == "lbfgs" or not hasattr(config, "epochs"):
        return 0
    searches = max(1, len(getattr(config, "blocks", None) or ()) + len(getattr(config, "auto", None) or ()))
    return searches * len(config.lr) * config.epochs * len(config.seed_list())  # type: ignore[attr-defined]


def folder_name(words: str) -> str:
    """A name for a folder from words: their letters and digits, with a digest where signs are lost."""
    plain = re.sub(r"[^A-Za-z0-9.,=+-]+", "_", words.replace(" --", " ")).strip("_.")
    if plain and len(plain) <= LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9.,=+ -]+", words):
        return plain
    return f"{plain[: LONGEST_NAME - 9]}-{sha256(words.encode()).hexdigest()[:8]}"


def without_separator(words: Sequence[str]) -> list[str]:
    """Words of a command without arguments, and without the "--" before these."""
    return [word for word in words if word != "--"]
