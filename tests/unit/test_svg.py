"""Panels as SVG: what is drawn lies where the ticks say, and names from data stay names."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
import pytest

from ftcli.figures.panels import BarChart, Curve, HeatMap, LinePlot, Panel, PointGroup, ScatterPlot
from ftcli.figures.svg.axis import Axis
from ftcli.figures.svg.figure import DrawnFigure, draw
from ftcli.figures.svg.text import lines_of, text_width

HOSTILE = "</text><script>alert(1)</script>\x1b[31m\u202e"
LONG = "a set with a name so long that nobody would type it twice, let alone a third time"
STEPS = [i / 10 for i in range(11)]
FALLING = LinePlot("falls", [Curve("one", STEPS, [3 - 2 * x for x in STEPS])], "λ", "loss (nats)")
ENDS = ([88.0, None], [91.0, None], [50.0, None], [65.0, None])
POINTS = ScatterPlot(
    "points", [PointGroup("a", [90.0, None], [60.0, 1.0], *ENDS, names=[LONG])], "ID (%)", "OOD (%)", diagonal=True
)
GRID = HeatMap("grid", [[0.0, 0.25, None], [0.5, 0.75, 1.0]], ["r0", "r1"], ["c0", "c1", "c2"], "σ", "α", "error")
BARS = BarChart("bars", ["photo", "sketch"], {"LP": [90.0, None], "FT": [45.0, -30.0]}, "difference (%)")
ODD = [
    LinePlot("empty", [Curve("a", [0.0, 1.0], [None, math.nan])], "x", "y", log_y=True),
    LinePlot("constant", [Curve("a", STEPS, [0.0] * 11)], "x", "y", diagonal=True),
    LinePlot("one", [Curve("a", [0.5], [2.0], [1.0], [4.0], marker=False)], "x", "y", log_x=True),
    ScatterPlot("nothing", [], "x", "y"),
    HeatMap("blank", [[None]], ["r"], ["c"], "row", "column", "error"),
    HeatMap("none", [], [], [], "row", "column", "error"),
    BarChart("no bars", [], {}, "x"),
    BarChart("zero", ["a"], {"": [0.0]}, "x"),
]


def element(figure: DrawnFigure, panel: int = 0) -> ElementTree.Element:
    return ElementTree.fromstring(figure.panels[panel].svg)


def texts(root: ElementTree.Element, kind: str = "") -> list[str]:
    return [str(one.text) for one in root.iter("text") if not kind or one.get("class") == kind]


def scale(root: ElementTree.Element, axis: str) -> tuple[float, float]:
    """Pixels = slope · value + offset, as a person reads an axis: from the numbers at its ticks."""
    anchor = "middle" if axis == "x" else "end"
    shift = 0.0 if axis == "x" else -4.0  # the base line of a number lies below its tick
    ticks = [one for one in root.iter("text") if one.get("class") == "tick" and one.get("text-anchor") == anchor]
    values = [float(str(one.text)) for one in ticks]
    slope, offset = np.polyfit(values, [float(one.get(axis, "")) + shift for one in ticks], 1)
    return float(slope), float(offset)


def corners(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


def of_kind(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [one for one in root.iter() if kind in (one.get("class") or "").split()]


def test_a_curve_reads_off_its_axes_as_what_it_shows() -> None:
    root = element(draw([FALLING]))
    (line,) = of_kind(root, "line")
    (sx, ox), (sy, oy) = scale(root, "x"), scale(root, "y")
    read = [((x - ox) / sx, (y - oy) / sy) for x, y in corners(line.get("d", ""))]
    np.testing.assert_allclose(read, [(x, 3 - 2 * x) for x in STEPS], atol=0.01)
    assert len(of_kind(root, "mark")) == 11 and {"λ", "loss (nats)"} <= set(texts(root))


def test_a_point_and_its_error_bars_read_off_the_axes() -> None:
    root = element(draw([POINTS]))
    (sx, ox), (sy, oy) = scale(root, "x"), scale(root, "y")
    (mark,) = of_kind(root, "mark")
    assert float(mark.get("cx", "")) == pytest.approx(sx * 90 + ox, abs=0.6)
    assert float(mark.get("cy", "")) == pytest.approx(sy * 60 + oy, abs=0.6)
    horizontal, vertical = (one.get("d", "") for one in of_kind(root, "error"))
    begin, end = re.findall(r"[MH](-?[\d.]+)", horizontal)
    assert [float(begin), float(end)] == pytest.approx([sx * 88 + ox, sx * 91 + ox], abs=0.6)
    top, bottom = re.findall(r"(?: |V)(-?[\d.]+)", vertical)
    assert [float(top), float(bottom)] == pytest.approx([sy * 50 + oy, sy * 65 + oy], abs=0.6)


def test_the_diagonal_is_where_both_are_equal() -> None:
    plot = LinePlot("", [Curve("a", [0.0, 100.0], [20.0, 80.0])], "x", "y", diagonal=True)
    root = element(draw([plot]))
    (line,) = of_kind(root, "diagonal")
    (sx, ox), (sy, oy) = scale(root, "x"), scale(root, "y")
    for x, y in corners(line.get("d", "")):
        assert (x - ox) / sx == pytest.approx((y - oy) / sy, abs=0.7)
    assert not of_kind(element(draw([FALLING])), "diagonal")


def test_the_whole_diagonal_is_shown_however_far_it_is() -> None:
    """A page says what the dotted line is, so it is there, from one end of the horizontal axis to the other."""
    far = ScatterPlot("t", [PointGroup("a", [93.0, 95.0], [40.0, 45.0])], "ID (%)", "OOD (%)", diagonal=True)
    root = element(draw([far]))
    (diagonal,) = of_kind(root, "diagonal")
    slope, _ = scale(root, "x")
    (x0, _), (x1, _) = corners(diagonal.get("d", ""))
    assert x1 - x0 == pytest.approx(2 * 1.08 * slope, abs=0.3)


def test_an_axis_of_epochs_has_whole_numbers() -> None:
    for last in (2, 3, 5, 50):
        epochs = list(range(1, last + 1))
        root = element(draw([LinePlot("t", [Curve("", epochs, [0.5 / one for one in epochs])], "epoch", "loss")]))
        ticks = [one for one in root.iter("text") if one.get("class") == "tick" and one.get("text-anchor") == "middle"]
        assert len(ticks) > 1 and all(str(one.text).isdecimal() for one in ticks)


def test_a_gap_cuts_a_curve_and_a_point_alone_is_marked() -> None:
    gap = Curve("a", [0, 1, 2, 3, 4], [1.0, 2.0, None, math.inf, 1.5], marker=False)
    root = element(draw([LinePlot("", [gap], "x", "y")]))
    (line,) = of_kind(root, "line")
    assert line.get("d", "").count("M") == 2 and len(of_kind(root, "mark")) == 1


def test_a_band_is_cut_with_its_curve() -> None:
    curve = Curve("a", [0, 1, 2, 3], [1.0, 1.0, None, 1.0], [0.5] * 4, [1.5] * 4)
    root = element(draw([LinePlot("", [curve], "x", "y")]))
    (area,) = of_kind(root, "band")
    assert len(corners(area.get("d", ""))) == 4 and len(of_kind(root, "error")) == 1


def test_a_logarithmic_axis_leaves_out_what_it_has_no_place_for() -> None:
    plot = LinePlot("", [Curve("a", [0, 1e-3, 1e-1, 10], [1, 1e-4, -1, 1])], "ε", "ratio", log_x=True, log_y=True)
    assert len(of_kind(element(draw([plot])), "mark")) == 2


def test_a_heat_map_darkens_with_its_values_and_leaves_blanks() -> None:
    root = element(draw([GRID]))
    cells = [one for one in of_kind(root, "heat") if float(one.get("width", "")) > 20]
    opacities = [float(one.get("fill-opacity", "")) for one in cells]
    assert len(cells) == 5 and opacities == sorted(opacities) and len(set(opacities)) == 5
    assert texts(root, "cell") + texts(root, "over") == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert {"r0", "c2", "error"} <= set(texts(root))


def test_bars_are_as_long_as_their_values() -> None:
    root = element(draw([BARS]))
    bars = [one for one in of_kind(root, "bar") if one.tag == "rect"]
    widths = [float(one.get("width", "")) for one in bars]
    slope, offset = scale(root, "x")
    assert len(bars) == 3 and "–" in texts(root)
    np.testing.assert_allclose(np.array(widths) / slope, [90, 45, 30], atol=0.2)
    assert float(bars[2].get("x", "")) == pytest.approx(-30 * slope + offset, abs=0.3)


def test_a_label_has_one_style_and_is_in_the_legend_once() -> None:
    first = LinePlot("first", [Curve("a", STEPS, STEPS), Curve("b", STEPS, STEPS)], "x", "y")
    second = LinePlot("second", [Curve("b", STEPS, STEPS), Curve("second", STEPS, STEPS)], "x", "y")
    figure = draw([first, second])
    assert [entry.name for entry in figure.legend] == ["a", "b"]
    dashes = [[one.get("stroke-dasharray") for one in of_kind(element(figure, i), "line")] for i in (0, 1)]
    assert dashes[0][1] == dashes[1][0] is not None and dashes[0][0] is None


def test_twelve_curves_are_told_apart_without_colour() -> None:
    many = LinePlot("", [Curve(f"{k}", STEPS, [k + x for x in STEPS]) for k in range(12)], "x", "y")
    root = element(draw([many]))
    seen = set()
    for group in (one for one in root.iter("g") if re.fullmatch(r"c\d", one.get("class") or "")):
        line, mark = of_kind(group, "line")[0], of_kind(group, "mark")[0]
        shape = mark.tag + (mark.get("d") or "")[:0] + re.sub(r"[\d.-]+", "", mark.get("d") or "")
        seen.add((line.get("stroke-dasharray"), mark.get("class"), shape))
    assert len(seen) == 12


@pytest.mark.parametrize("panel", [FALLING, POINTS, GRID, BARS, *ODD], ids=lambda panel: panel.title)
def test_every_panel_is_whole_and_the_same_twice(panel: Panel) -> None:
    figure = draw([panel])
    assert figure == draw([panel])
    root = element(figure)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert "nan" not in figure.panels[0].svg and "inf" not in figure.panels[0].svg
    for one in root.iter("text"):
        assert -1 <= float(one.get("x", "0")) <= width + 1 and -1 <= float(one.get("y", "0")) <= height + 1


def test_names_from_data_are_text_and_nothing_else() -> None:
    panels = [
        LinePlot(HOSTILE, [Curve(HOSTILE + "2", [0, 1], [0, 1])], HOSTILE, HOSTILE),
        ScatterPlot(HOSTILE, [PointGroup("a", [1.0], [1.0], names=[HOSTILE])], HOSTILE, HOSTILE),
        HeatMap(HOSTILE, [[1.0]], [HOSTILE], [HOSTILE], HOSTILE, HOSTILE, HOSTILE),
        BarChart(HOSTILE, [HOSTILE], {HOSTILE + "3": [1.0]}, HOSTILE),
    ]
    figure = draw(panels)
    for i, drawn in enumerate(figure.panels):
        root = element(figure, i)
        assert {one.tag for one in root.iter()} <= {"svg", "g", "path", "text", "rect", "circle"}
        assert "script" in "".join(texts(root)) and not {"\x1b", "\u202e"} & set(drawn.svg)
    assert all("\u202e" not in entry.name for entry in figure.legend)


@pytest.mark.parametrize("name", [LONG, "W" * 300, "漢字" * 80, "a b " * 90, "x", "", "i" * 200])
def test_lines_fit_and_keep_both_ends(name: str) -> None:
    for width, most in ((60.0, 1), (120.0, 2), (330.0, 2)):
        lines = lines_of(name, width, most)
        assert 1 <= len(lines) <= most and all(text_width(line) <= width for line in lines)
        kept = "".join(lines).replace(" ", "")
        whole = name.replace(" ", "")
        assert kept == whole or ("…" in kept and whole.startswith(kept[:2]) and whole.endswith(kept[-2:]))


@pytest.mark.parametrize(
    ("values", "log"),
    [([0, 1], False), ([97.7, 97.7], False), ([-3e-7, 4e-7], False), ([1e6, 3e7], False), ([1e-5, 1e-2], True),
     ([0.9, 1.1], True), ([1e-9, 1e9], True), ([5, 5], True), ([1, 30], True)],
)  # fmt: skip
def test_ticks_are_few_and_say_where_they_are(values: Sequence[float], log: bool) -> None:
    axis = Axis.of(values, 0.0, 300.0, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7, ticks
    for value, words in ticks:
        assert axis.low <= value * (1 + 1e-9) + 1e-12 and value <= axis.high * (1 + 1e-9) + 1e-12
        if "10" not in words[:3] and "×" not in words:
            assert float(words) == pytest.approx(value, rel=0.02, abs=1e-9)
    assert len({words for _, words in ticks}) == len(ticks)
    assert axis.at(min(values)) > 0 and axis.at(max(values)) < 300
