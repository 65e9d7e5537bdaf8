"""The commands that show what is there: `compare`, `report`, `runs`, `blocks`, `data`, `presets`, `cache`, `schema`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ftcli.cache.cache import Kind
from ftcli.config.declare import DATA, OUTPUT, Words, figure, flag, option, words
from ftcli.config.fail_if import Condition, parse_conditions
from ftcli.config.shared import SETTINGS, Common, Damaged, Loading, ModelArgument, Root
from ftcli.errors import RequestError
from ftcli.presets import read_preset

Format = Annotated[Literal["table", "csv", "markdown", "latex"], option("Output format.", panel=OUTPUT)]


def figure_kinds(*kinds: str) -> Any:
    """The option `--figures`: which of these kinds are drawn."""
    return option(
        f"Draw only these kinds: {', '.join(kinds)}.",
        panel=OUTPUT,
        default="all that there are",
        metavar="A,B,…",
        parser=words(kinds),
    )


def check_figures(plot: Path | None, figures: Words | None) -> None:
    """Raises RequestError where kinds of figures are named and nothing is drawn."""
    if figures and plot is None:
        raise RequestError(f"--figures {figures} names what --plot draws.", "add --plot FILE.pdf")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Compare(Common):
    """Options of `ftcli compare`."""

    reports: Annotated[
        list[Path],
        typer.Argument(help="Reports, run folders, or folders that hold runs.", metavar="FILE…", show_default=False),
    ]
    against: Annotated[
        str | None,
        option(
            "Report with which the others are compared.",
            panel=OUTPUT,
            default="every pair of up to 4, else the first",
            metavar="NAME",
        ),
    ] = None
    plot: Annotated[Path | None, figure("Plot of ID against OOD accuracy, and of distortion where measured.")] = None
    figures: Annotated[Words | None, figure_kinds("id-ood", "distortion")] = None
    fail_if: Annotated[
        list[str] | None,
        option(
            "Exit with code 3 if this holds, as in 'ood_mean<-2' (points against the first report, or --against) or "
            "'id_test.accuracy<90' (per cent); repeatable.",
            panel=OUTPUT,
            default="none",
            metavar="CONDITION",
        ),
    ] = None
    format: Format = "table"

    def __post_init__(self) -> None:
        check_figures(self.plot, self.figures)
        self.conditions()  # refuses what is none before any report is read

    def conditions(self) -> list[Condition]:
        """The conditions of --fail-if. Raises RequestError for what is none."""
        return parse_conditions(self.fail_if or [])


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Report(Common):
    """Options of `ftcli report`."""

    file: Annotated[
        Path, typer.Argument(help="A report.json, or the folder that holds it.", metavar="FILE", show_default=False)
    ]
    format: Format = "table"
    plot: Annotated[Path | None, figure("Plot of what the report has.")] = None
    figures: Annotated[
        Words | None, figure_kinds("id-ood", "distortion", "learning-curves", "reliability", "confusion")
    ] = None
    sheet: Annotated[
        Path | None,
        option(
            "Write an image with the most confident mistakes on each set.",
            panel=OUTPUT,
            default="none",
            metavar="FILE.png",
        ),
    ] = None
    html: Annotated[
        Path | None,
        option("Write figures and tables as one page of HTML.", panel=OUTPUT, default="none", metavar="FILE.html"),
    ] = None
    images: Annotated[
        bool,
        flag("With --html: open the data of the run again, and show its most confident mistakes.", "--images", OUTPUT),
    ] = False

    def __post_init__(self) -> None:
        if self.images and self.html is None:
            raise RequestError("--images adds pictures to a page, and there is none.", "add --html FILE.html")
        if self.html is not None and self.html.suffix.lower() not in (".html", ".htm"):
            raise RequestError(f"--html {str(self.html)!r}: the page is HTML.", "end its name with .html")
        if self.html is not None and self.html.is_dir():
            raise RequestError(f"--html {str(self.html)!r} is a folder.", "name a file")
        check_figures(self.plot, self.figures)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Runs(Common):
    """Options of `ftcli runs`."""

    folder: Annotated[
        Path, typer.Argument(help="Folder in which runs are looked for.", metavar="FOLDER", show_default="runs")
    ] = Path("runs")
    format: Annotated[Literal["table", "csv", "markdown"], option("Output format.", panel=OUTPUT)] = "table"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Blocks(Loading):
    """Options of `ftcli blocks`."""

    checkpoint: ModelArgument


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Data(Common):
    """Options of `ftcli data`."""

    source: Annotated[str, typer.Argument(help=f"Data set: {SETTINGS}.", metavar="SPEC", show_default=False)]
    damaged: Damaged = "stop"
    save: Annotated[
        Path | None,
        option("Write an image with a few examples of each class.", panel=OUTPUT, default="none", metavar="GRID.png"),
    ] = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Presets(Common):
    """Options of `ftcli presets`."""

    name: Annotated[
        str | None, typer.Argument(help="Show one preset completely.", metavar="NAME", show_default="list them all")
    ] = None
    root: Root = None
    check: Annotated[
        bool,
        flag(
            "Count the images below --root, and compare with the published sizes; exit 1 if any differs.",
            "--check",
            DATA,
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.check and self.name is None:
            raise RequestError("--check needs the name of a preset.", "ftcli presets NAME --root DIR --check")
        if self.check and self.root is None and "files" in read_preset(str(self.name)):
            raise RequestError(f"--check needs the folder of the data of {self.name}.", "add --root DIR")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Cache(Common):
    """Options of `ftcli cache`."""

    action: Annotated[
        Literal["show", "clear"],
        typer.Argument(help="show: list what is cached; clear: remove it.", metavar="ACTION", show_default="show"),
    ] = "show"
    kind: Annotated[Literal["all", Kind], option("Show or remove only entries of this kind.", panel=DATA)] = "all"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Schema(Common):
    """Options of `ftcli schema`."""

    of: Annotated[
        Literal["report", "study"],
        typer.Argument(help="Which file: report.json or study.json.", metavar="[report|study]", show_default=False),
    ] = "report"
