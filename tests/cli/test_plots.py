"""Figures and sketches: what is drawn and where, the same bytes twice, and what is refused before any work."""

import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console, RenderableType

from ftcli.errors import RequestError
from ftcli.figures.panels import BarChart, Curve, HeatMap, LinePlot, Panel, axis_limits, format_numbers
from ftcli.figures.plots import check_plot, save_panels
from ftcli.figures.terminal import LINE, SEVERAL, SHADES, sketch_curves, sketch_heat_map

SVG = "{http://www.w3.org/2000/svg}"
BLUE, ORANGE = "#0072b2", "#d55e00"
STEPS = [i / 10 for i in range(11)]
LONG = "a set with a name so long that nobody would type it twice, let alone a third time"
FALLING = LinePlot("falls", [Curve("one", STEPS, [3 - 2 * x for x in STEPS])], "λ", "loss (nats)")
CROSSING = LinePlot(
    "cross", [Curve("$up_1$", STEPS, STEPS), Curve("_down", STEPS, [1 - x for x in STEPS])], "λ", "accuracy"
)
TWELVE = LinePlot("twelve", [Curve(f"{LONG} {k}", STEPS, [k + x for x in STEPS]) for k in range(12)], "λ", "loss")
LOG = LinePlot("log", [Curve("a", [0, 1e-3, 1e-1, 10], [1, 1e-4, -1, 1])], "ε", "ratio", log_x=True, log_y=True)
EMPTY = LinePlot("empty", [Curve("a", [0.0, 1.0], [None, math.nan])], "x", "y", log_y=True)
ONE = LinePlot("one point", [Curve("a", [0.5], [2.0], [1.0], [4.0], marker=False)], "x", "y")
CONSTANT = LinePlot("constant", [Curve("a", STEPS, [0.0] * 11)], "x", "y")
GRID = HeatMap("grid", [[0.0, 0.25, None], [0.5, 0.75, 1.0]], ["r0", "r1"], ["c0", "c1", "c2"], "σ", "α", "error")
SINGLE = HeatMap("single", [[0.5]], ["r"], ["c"], "row", "column", "error")
BLANK = HeatMap("blank", [[None]], ["r"], ["c"], "row", "column", "error")
WIDE = HeatMap("wide", [[j / 40 for j in range(40)]], [LONG], [f"layer{j}.conv" for j in range(40)], "block", "at", "d")
BARS = BarChart("bars", ["photo", "$sketch_"], {"LP": [90.0, None], "FT": [95.0, -30.0]}, "difference (%)")
ALL = [FALLING, CROSSING, TWELVE, LOG, EMPTY, ONE, CONSTANT, GRID, SINGLE, BLANK, WIDE, BARS]


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib")


def drawn(path: Path, *panels: Panel) -> ElementTree.Element:
    save_panels(path, panels)
    return ElementTree.parse(path).getroot()


def texts(root: ElementTree.Element) -> list[str]:
    return [str(one.text) for one in root.iter(f"{SVG}text")]


def paths(root: ElementTree.Element, style: str) -> list[str]:
    """The outlines of the paths whose style says this, those in definitions and clips left out."""
    return [one.get("d", "") for one in root.iter(f"{SVG}path") if style in (one.get("style") or "")]


def shown(renderable: RenderableType, width: int = 60) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as caught:
        console.print(renderable)
    return [line.rstrip() for line in caught.get().splitlines()]


def canvas(lines: list[str]) -> list[str]:
    """The rows of a sketch to the right of its axis."""
    return [line.replace("┤", "│").split("│", 1)[1] for line in lines if "┤" in line or "│" in line]


# ---- files


@pytest.mark.usefixtures("matplotlib")
def test_an_svg_holds_every_name_as_it_is_and_one_path_per_curve(tmp_path: Path) -> None:
    root = drawn(tmp_path / "a.svg", CROSSING)
    assert {"$up_1$", "_down", "λ", "accuracy", "cross"} <= set(texts(root))
    lines = [d for d in paths(root, f"stroke: {BLUE}") if d.count("L") == 10]
    assert len(lines) == 1
    dashed = [d for d in paths(root, "stroke-dasharray") if d.count("L") == 10]
    assert len(dashed) == 1, "the second curve is told from the first without colour"


@pytest.mark.usefixtures("matplotlib")
def test_the_extremes_lie_at_the_ends_of_the_axes(tmp_path: Path) -> None:
    """Falling from the upper left to the lower right; an SVG counts y downward."""
    (line,) = (d for d in paths(drawn(tmp_path / "a.svg", FALLING), f"stroke: {BLUE}") if d.count("L") == 10)
    where = np.array([[float(n) for n in word.split()] for word in line.replace("M", "").split("L")])
    steps = np.diff(where, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-4)
    assert (steps > 0).all()


@pytest.mark.usefixtures("matplotlib")
def test_a_gap_cuts_a_curve_and_a_point_alone_is_marked(tmp_path: Path) -> None:
    gap = Curve("a", [0, 1, 2, 3, 4], [1.0, 2.0, None, math.inf, 1.5], marker=False)
    root = drawn(tmp_path / "a.svg", LinePlot("", [gap], "x", "y"))
    (line,) = (d for d in paths(root, f"stroke: {BLUE}") if "C" not in d and d.count("L") == 1)
    assert line.count("M") <= 2
    marks = [one for one in root.iter(f"{SVG}use") if f"fill: {BLUE}" in (one.get("style") or "")]
    assert len(marks) == 2  # on the curve and in the legend


@pytest.mark.usefixtures("matplotlib")
def test_a_logarithmic_axis_leaves_out_what_it_has_no_place_for(tmp_path: Path) -> None:
    root = drawn(tmp_path / "a.svg", LOG)
    marks = [one for one in root.iter(f"{SVG}use") if f"fill: {BLUE}" in (one.get("style") or "")]
    assert len(marks) == 2 + 1  # two of the four points, and the legend
    assert {"10⁻³", "10⁻⁴"} <= set(texts(root))


@pytest.mark.usefixtures("matplotlib")
def test_a_label_stands_in_the_legend_once_and_the_name_of_its_panel_never(tmp_path: Path) -> None:
    again = LinePlot("again", [Curve("one", STEPS, STEPS), Curve("again", STEPS, STEPS)], "λ", "loss")
    written = texts(drawn(tmp_path / "a.svg", FALLING, again))
    assert [written.count(name) for name in ("one", "again", "falls")] == [1, 1, 1]


@pytest.mark.usefixtures("matplotlib")
def test_a_label_has_one_style_in_all_panels(tmp_path: Path) -> None:
    first = LinePlot("first", [Curve("a", STEPS, STEPS), Curve("b", STEPS, STEPS)], "x", "y")
    second = LinePlot("second", [Curve("b", STEPS, STEPS)], "x", "y")
    root = drawn(tmp_path / "a.svg", first, second)
    curves = {c: len([d for d in paths(root, f"stroke: {c}") if d.count("L") == 10]) for c in (BLUE, ORANGE)}
    dashed = len([d for d in paths(root, "stroke-dasharray") if d.count("L") == 10])
    assert (curves[BLUE], dashed) == (1, 2)


@pytest.mark.usefixtures("matplotlib")
def test_a_heat_map_darkens_with_its_values(tmp_path: Path) -> None:
    save_panels(tmp_path / "a.png", [HeatMap("", [[0.0, 0.4, 0.7, 1.0, None]], ["r"], list("abcde"), "y", "x", "z")])
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(int)
    row = grey[np.flatnonzero((grey < 250).mean(axis=1) > 0.3)[3]]  # above the numbers, inside the cells
    cells = row[: np.flatnonzero(row < 250)[-1]]
    levels = [int(v) for v, n in zip(*np.unique(cells, return_counts=True), strict=True) if n > 40 and v < 250]
    order = list(dict.fromkeys(int(v) for v in cells if v in levels))
    assert len(order) == 4 and order == sorted(order, reverse=True)


@pytest.mark.usefixtures("matplotlib")
def test_heat_maps_and_bars_write_their_names_and_numbers(tmp_path: Path) -> None:
    written = texts(drawn(tmp_path / "a.svg", GRID, SINGLE, BARS))
    for word in (
        "grid",
        "r0",
        "c2",
        "σ",
        "α",
        "error",
        "0.00",
        "0.25",
        "1.00",
        "LP",
        "FT",
        "$sketch_",
        "difference (%)",
    ):
        assert word in written, word
    assert written.count("error") == 1, "heat maps of one kind share their shades"


@pytest.mark.usefixtures("matplotlib")
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_same_panels_give_the_same_bytes(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the user has set for figures of their own, which is left as it was; without pyplot."""
    import matplotlib as library

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    panels = [CROSSING, LOG, ONE, GRID, BARS]
    with library.rc_context():
        library.rcParams["font.size"] = 31.0
        before = library.rcParams.copy()
        save_panels(tmp_path / f"a.{ending}", panels)
        assert library.rcParams.copy() == before
    save_panels(tmp_path / f"new/b.{ending}", panels)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"new/b.{ending}").read_bytes()
    assert sorted(one.name for one in tmp_path.rglob("*")) == [f"a.{ending}", f"b.{ending}", "new"]


@pytest.mark.usefixtures("matplotlib")
def test_constant_curves_and_nothing_at_all_are_drawn(tmp_path: Path) -> None:
    root = drawn(tmp_path / "a.svg", CONSTANT, EMPTY)
    (line,) = (d for d in paths(root, f"stroke: {BLUE}") if d.count("L") == 10)
    assert len(set(re.findall(r"[ML] \S+ (\S+)", line))) == 1 and texts(root).count("nothing to show") == 1


@pytest.mark.usefixtures("matplotlib")
def test_many_curves_wide_maps_and_long_names_are_drawn(tmp_path: Path) -> None:
    root = drawn(tmp_path / "a.svg", TWELVE, WIDE, BLANK)
    curves = [one.get("style") or "" for one in root.iter(f"{SVG}path") if one.get("d", "").count("L") == 10]
    assert len({re.sub("stroke: #[0-9a-f]+", "", style) for style in curves}) == 12, "told apart without colour"
    written = texts(root)
    assert "layer0.conv" in written and all(any(word.endswith(f" time {k}") for word in written) for k in range(12))


@pytest.mark.usefixtures("matplotlib")
def test_a_long_legend_has_room(tmp_path: Path) -> None:
    root = drawn(tmp_path / "a.svg", TWELVE)
    lines = [one.get("transform", "") for one in root.iter(f"{SVG}text") if str(one.text).startswith("a set with")]
    downs = [float(re.split(r"[ )]", line)[1]) for line in lines]
    assert len(downs) == 12 and min(downs) > 0 and max(downs) + 10 < float(root.get("viewBox", "").split()[3])


# ---- refusals


@pytest.mark.parametrize("name", ["figure.eps", "figure", "svg", ".png"])
def test_another_ending_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="an SVG or a PNG"):
        check_plot(Path(name))


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for refused in (lambda: check_plot(Path("a.svg")), lambda: save_panels(tmp_path / "a.svg", [FALLING])):
        with pytest.raises(RequestError) as caught:
            refused()
        assert "pip install matplotlib" in caught.value.fix and "pip install '.[plots]'" in caught.value.fix
        assert "ftcli[" not in caught.value.fix and caught.value.exit_code == 2  # no index has such a package
    check_plot(None)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("matplotlib")
def test_a_folder_is_refused_and_capitals_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.svg").mkdir()
    with pytest.raises(RequestError, match="folder"):
        check_plot(tmp_path / "a.svg")
    check_plot(tmp_path / "B.PNG")


# ---- sketches


@pytest.mark.parametrize("width", [20, 60, 100, 200])
@pytest.mark.parametrize("panel", [p for p in ALL if not isinstance(p, BarChart)], ids=lambda p: p.title)
def test_a_sketch_keeps_to_its_width(panel: LinePlot | HeatMap, width: int) -> None:
    sketch = sketch_heat_map(panel, width) if isinstance(panel, HeatMap) else sketch_curves(panel, width)
    lines = shown(sketch, 300)  # in a terminal that would have room for more
    assert lines[0].startswith(panel.title) and max(map(cell_len, lines)) <= width


def test_the_extremes_of_a_curve_stand_in_the_corners() -> None:
    lines = shown(sketch_curves(FALLING, 60))
    rows = canvas(lines)
    assert len(rows) == 11 and rows[0][0] == "o" and rows[-1][-1] == "o" and len(rows[-1]) == 54
    assert [row.count("o") for row in rows] == [1] * 11, "a straight line: one point of the eleven on each row"
    numbered = [line.split()[0] for line in lines if "┤" in line]
    assert numbered == ["3.00", "2.00", "1.00"] and lines[-3].split() == ["0.00", "0.50", "1.00"]
    assert lines[:2] == ["falls", "loss (nats)"] and lines[-2].strip() == "λ" and lines[-1] == "o one"


def test_points_that_fall_together_are_several() -> None:
    lines = shown(sketch_curves(CROSSING, 60))
    rows = canvas(lines)
    assert rows[0][0] == "x" and rows[0][-1] == "o" and rows[-1][0] == "o" and rows[-1][-1] == "x"
    assert "".join(rows).count(SEVERAL) == 1 and SEVERAL in rows[5]
    assert lines[-1] == f"o $up_1$   x _down   {SEVERAL} several"


def test_a_gap_in_a_sketch_has_no_line_across() -> None:
    gap = LinePlot("", [Curve("a", [0, 1, 2, 3], [0.0, None, None, 3.0])], "x", "y")
    assert LINE not in "".join(canvas(shown(sketch_curves(gap, 60))))
    assert shown(sketch_curves(EMPTY, 60)) == ["empty", "y: nothing to show"]


def test_a_logarithmic_sketch_puts_equal_ratios_at_equal_distances() -> None:
    decades = LinePlot("", [Curve("", [1, 10, 100, 1000, 0], [1, 10, 100, 1000, 5])], "n", "e", log_x=True, log_y=True)
    lines = shown(sketch_curves(decades, 45, height=7))
    rows = canvas(lines)
    where = [(i, row.index("o")) for i, row in enumerate(rows) if "o" in row]
    assert [i for i, _ in where] == [0, 2, 4, 6] and "".join(rows).count("o") == 4
    assert np.ptp(np.diff([column for _, column in where])) <= 1
    assert lines[0] == "e (log)" and [line.split()[0] for line in lines if "┤" in line] == ["1e+03", "31.6", "1"]


def test_a_sketched_heat_map() -> None:
    assert shown(sketch_heat_map(GRID, 60)) == [
        "grid",
        "↓ σ   → α",
        "   c0     c1     c2",
        "r0 ░░0.00 ▒▒0.25",
        "r1 ▓▓0.50 ██0.75 ██1.00",
        "error: 0.00 ░ 0.25 ▒ 0.50 ▓ 0.75 █ 1.00",
    ]
    narrow = shown(sketch_heat_map(GRID, 14))
    assert narrow[3:5] == ["r0 ░░ ▒▒", "r1 ▓▓ ██ ██"], "no room for numbers"
    assert shown(sketch_heat_map(SINGLE, 60))[-1] == "error: ▓ 0.500"
    assert shown(sketch_heat_map(BLANK, 60))[-1] == "error: nothing to show"


def test_a_wide_heat_map_goes_on_below() -> None:
    lines = "".join(shown(sketch_heat_map(WIDE, 60)))
    counts = [lines.count(sign * 6) for sign in SHADES]
    assert counts == [10, 10, 10, 10], "none is lost"


# ---- numbers


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.1, 0.95], ["0.100", "0.950"]),
        ([12.0, 99.5], ["12.0", "99.5"]),
        ([0.90001, 0.90003], ["0.9000100", "0.9000300"]),
        ([-0.0001, 5], ["0.00", "5.00"]),
        ([1e-9, 2e-9], ["1e-09", "2e-09"]),
        ([0.0], ["0.00"]),
        ([], []),
    ],
)
def test_numbers_that_stand_together_are_written_alike(values: list[float], written: list[str]) -> None:
    assert format_numbers(values) == written


def test_an_extent_is_never_empty() -> None:
    for values in ([], [0.0], [3.0], [-2.0], [1.0, 4.0]):
        low, high = axis_limits(values)
        assert low < high and all(low <= value <= high for value in values)
    assert axis_limits([8.0], log=True) == (4.0, 16.0) and axis_limits([], log=True)[0] > 0
