"""Figures at print size: as wide as a column or a page, all text of 8 points, none of it cut or on other text."""

import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from ftcli.figures.panels import BarChart, Curve, HeatMap, LinePlot, Panel, PointGroup, ScatterPlot
from ftcli.figures.style import fitted, fitted_names, text_width

LONG = "a set with a name so long that nobody would type it twice, let alone a third time"
BLOCKS = [f"layers.{i // 10}.blocks.{i}.attention.qkv" for i in range(54)]
NOTE = (
    "error bars: 95 % intervals of one run or 90 % intervals over seeds; shown are the 5 least accurate of 19 OOD sets"
)
EPOCHS = [1, 2, 3, 4]


def scatter(title: str, count: int, name: str) -> ScatterPlot:
    groups = [
        PointGroup(f"{name}{k}", [90 + k / 7], [50.0 + k], [89 + k / 7], [91 + k / 7], [45.0 + k], [55.0 + k])
        for k in range(count)
    ]
    return ScatterPlot(title, groups, "ID-test accuracy (%)", f"{title} accuracy (%)", True, NOTE)


def curves(title: str, count: int, name: str) -> LinePlot:
    found = [Curve(f"{name} {k}", EPOCHS, [k, k + 1, k + 2, k + 1.5], [k - 1] * 4, [k + 3] * 4) for k in range(count)]
    return LinePlot(f"Accuracy on {title}", found, "epoch", f"accuracy on {title} (%)")


def matrix(title: str, names: list[str]) -> HeatMap:
    values = [[abs(i - j) / len(names) for j in range(len(names))] for i in range(len(names))]
    return HeatMap(title, values, names, names, "block of A", "block of B", "linear CKA")


def grid(title: str) -> HeatMap:
    values = [[(a + s) / 9 for s in range(5)] for a in range(6)]
    return HeatMap(
        title, values, [f"{a / 5:g}" for a in range(6)], [f"{s / 50:g}" for s in range(5)], "α", "σ", "error (%)"
    )


def bars(title: str, labels: list[str], series: int) -> BarChart:
    columns = {f"{LONG} {k}": [i / 9 + k for i in range(len(labels))] for k in range(series)}
    return BarChart(title, labels, columns, "RMS over √C")


KINDS: dict[str, list[Panel]] = {
    "scatter, one": [scatter("sketch", 3, "run ")],
    "scatter, many": [scatter(LONG, 14, f"runs/{LONG}/"), scatter("photo", 14, f"runs/{LONG}/"), scatter("x", 2, "a")],
    "curves": [curves(LONG, 12, LONG), curves("photo", 12, LONG), curves("rates", 3, "lr")],
    "small numbers": [LinePlot("tiny", [Curve("", [1e-6, 1.5e-6, 2e-6], [12345.123, 12345.124, 12345.125])], "x", "y")],
    "logarithmic": [LinePlot("ε", [Curve("a", [1e-6, 1e-3, 10.0], [1e-5, 1.0, 1e3])], "ε", "ratio", True, True)],
    "similarity": [matrix(f"CKA of B ({LONG}) with A on {name}", BLOCKS) for name in ("photo", LONG)],
    "classes": [matrix(f"Confusion on {LONG}", [f"n0{i}0{i} {LONG}" for i in range(12)])],
    "criticality": [grid(f"Error with layer{i}.conv perturbed") for i in range(7)],
    "distances": [bars(f"Distance of the features of {name} from A", BLOCKS, 6) for name in "BCD"],
    "bars": [bars("few", ["layer1", "layer2", "head"], 2)],
    "mixed": [scatter("art", 2, "run "), curves("photo", 2, "set"), bars("few", ["a"], 2), matrix("m", ["a", "b"])],
}  # fmt: skip
COLUMN_WIDE = {"scatter, one", "small numbers", "logarithmic", "bars", "mixed"}


def drawn(panels: list[Panel]) -> Any:
    matplotlib = pytest.importorskip("matplotlib")
    from ftcli.figures.plots import draw_figure
    from ftcli.figures.style import STYLE

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = draw_figure(panels)
        figure.draw_without_rendering()
    return figure


def written(figure: Any) -> list[Any]:
    """Every text that is drawn: those of ticks only where the tick is in view."""
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    hidden: set[Any] = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            shown = axis._update_ticks() if axes.axison else []
            labels = {label for tick in shown for label in (tick.label1, tick.label2)}
            every = {label for tick in axis.majorTicks + axis.minorTicks for label in (tick.label1, tick.label2)}
            hidden |= every - labels
            hidden |= set() if axes.axison else {axis.label}
    return [
        text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in hidden
    ]


def faults(figure: Any) -> list[tuple[str, ...]]:
    """Texts beyond the page, and pairs that lie on one another by more than a pixel."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written(figure)]
    page, found = figure.bbox, []
    for words, box in boxes:
        if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            found.append(("cut", words))
    for (words, a), (others, b) in combinations(boxes, 2):
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1:
            found.append(("overlap", words, others))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_print_size_and_its_text_is_whole(kind: str) -> None:
    figure = drawn(KINDS[kind])
    assert figure.get_figwidth() == (3.4 if kind in COLUMN_WIDE else 7.0)
    assert {text.get_fontsize() for text in written(figure)} == {8.0}
    assert faults(figure) == []


def test_faults_are_seen() -> None:
    figure = drawn(KINDS["scatter, one"])
    figure.text(0.99, 0.5, "cut at the edge")
    figure.text(0.3, 0.5, "first")
    figure.text(0.3, 0.5, "second")
    assert {fault[0] for fault in faults(figure)} == {"cut", "overlap"}


def test_fonts_are_embedded_and_the_page_is_as_wide_as_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    from ftcli.figures.plots import save_panels

    for ending in ("pdf", "svg", "png"):
        save_panels(tmp_path / f"a.{ending}", KINDS["scatter, one"])
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"/MediaBox [ 0 0 244.8 " in pdf  # 3.4 inches in points
    assert 'width="244.8pt"' in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert Image.open(tmp_path / "a.png").width == 1020


@pytest.mark.parametrize("kind", ["scatter", "line"])
def test_with_a_diagonal_far_away_no_marker_is_cut(kind: str) -> None:
    """Whatever the diagonal adds to an axis, between a marker and the end of the axis is more than its radius."""
    xs, ys = [93.0, 95.0], [60.8, 80.2]
    panel: Panel = ScatterPlot("t", [PointGroup("a", xs, ys)], "x", "y", True)
    if kind == "line":
        panel = LinePlot("t", [Curve("a", xs, ys)], "x", "y", diagonal=True)
    figure = drawn([panel])
    (axes,) = figure.axes
    marker = axes.lines[0].get_markersize() / 2 + axes.lines[0].get_markeredgewidth()  # points
    lowest = axes.transData.transform((93.0, 60.8)) - axes.get_window_extent().p0
    assert all(lowest * 72 / figure.dpi > marker)
    diagonal = axes.lines[-1]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == list(axes.get_xlim())


def test_an_axis_of_whole_numbers_has_no_others() -> None:
    epochs = [Curve("", [1, 2], [0.25, 0.75])]
    for panels in ([LinePlot("loss", epochs, "epoch", "y")], [LinePlot("t", epochs, "epoch", LONG)] * 3):
        for axes in drawn(panels).axes:
            assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2"]


@pytest.mark.parametrize("length", (2, 42, 82))
def test_ticks_reach_to_both_ends_of_an_axis(length: int) -> None:
    """Names above and beside axes change their length, and with it the ticks that they have."""
    curve = Curve("", [1.0, 2.01], [96.16, 97.7])
    panels = [LinePlot((LONG * 2)[:length], [curve], "x", name) for name in ("loss", LONG, "accuracy")]
    for axes in drawn(panels).axes:
        for low, high, places in ((*axes.get_xlim(), axes.get_xticks()), (*axes.get_ylim(), axes.get_yticks())):
            step = places[1] - places[0]
            assert places[0] - step < low and places[-1] + step > high


def test_styles_differ_in_grey() -> None:
    """Two dozen groups of points by marker and filling, a dozen curves by dash, marker and width."""
    from ftcli.figures.matplotlib_panels import marker_style
    from ftcli.figures.style import DASHES, MARKERS

    def grey(style: int, filled: int) -> tuple[Any, ...]:
        found = marker_style(style, filled, True)
        return found["marker"], found["markerfacecolor"] == "white"

    assert len({grey(k, len(MARKERS)) for k in range(24)}) == 24
    assert len({(grey(k, len(DASHES)), k % len(DASHES)) for k in range(36)}) == 36


def test_names_stay_apart_when_they_are_shortened() -> None:
    pytest.importorskip("matplotlib")
    assert fitted_names(["a", "b"], 1.0) == ["a", "b"]
    assert fitted_names(BLOCKS[:2], 0.9) == ["…0…", "…1…"]
    alike = [f"{'x' * 40}{k}{'y' * 40}{k}" for k in range(3)]
    for names in (BLOCKS, alike, [f"{LONG}{k}{LONG}" for k in "ab"]):
        short = fitted_names(names, 1.0)
        assert len(set(short)) == len(names) and all(text_width(name) <= 1.0 for name in short)
    assert fitted(LONG, 1.2, 2).count("\n") == 1 and "…" in fitted(LONG, 1.2) and fitted("short", 1.2) == "short"
