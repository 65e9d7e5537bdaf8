"""The commands that show what is there: `compare`, `report`, `runs`, `blocks`, `data`, `presets`, `cache`, `schema`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ftcli.cache.cache import Kind
from ftcli.config.declare import DATA, OUTPUT, flag, option
from ftcli.config.fail_if import Condition, parse_conditions
from ftcli.config.shared import SETTINGS, Common, Damaged, Loading, ModelArgument, Root
from ftcli.errors import RequestError
from ftcli.presets import read_preset

Format = Annotated[Literal["table", "csv", "markdown", "latex"], option("Output format.", panel=OUTPUT)]


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
