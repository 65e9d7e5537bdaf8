"""Names in Markdown and LaTeX stay text, and every figure of a report comes out in every format."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from ftcli.formats.latex import escape_latex
from ftcli.measures.types import Figures
from tests.cli.test_compare import correctness, skeleton, write_report
from tests.helpers.program import inside

HOSTILE = [
    "a|b", "*x*", "_y_", "a_b", "<b>z</b>", "[l](http://e.org)", "![i](u)", "`c`", "a\\|b", "\\", "$m$", "~~s~~",
    "&amp;", "https://x.org", "www.x.org", "- item", "# head", "1. one", "\\textbf{x}", "50 % off", "a^b~c", "#1 & {2}",
    "\\\\[1cm]", "[3pt]", "*", "a--b", "x\\end{tabular}", "é", "\x1b[31mred",
]  # fmt: skip


def markdown_cells(text: str) -> list[list[list[Any]]]:
    """Every table of a Markdown text as rows of cells, each a list of tokens: another program's reading."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    tables: list[list[list[Any]]] = []
    for token in tokens:
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and token.level == 4:  # within table, section, row, cell
            tables[-1][-1].append(token.children)
    return tables


def words_of(tokens: list[Any]) -> str:
    """A cell's text; a test fails where it holds anything but text."""
    assert {token.type for token in tokens} <= {"text", "text_special"}, tokens
    return "".join(token.content for token in tokens)


def shown(name: str) -> str:
    return name.replace("\x1b", "\ufffd")


@pytest.fixture
def hostile(tmp_path: Path) -> list[Path]:
    """Two reports with OOD sets of these names."""
    files = []
    for i, command in enumerate(("probe", "lpft")):
        right = {"id_test": correctness(0.6, 1, i)["id_test"]}
        right |= {name: np.random.default_rng(i).random((1, 40)) < 0.5 for name in HOSTILE}
        files.append(write_report(tmp_path / command, command, right))
    return files


def test_markdown_shows_names_as_they_are(hostile: list[Path]) -> None:
    first, second = markdown_cells(inside("compare", *hostile, "--format", "markdown").stdout)
    assert [words_of(cell) for cell in first[0]][3:-1] == list(map(shown, HOSTILE))
    assert [words_of(row[1]) for row in second[1:]] == ["ID-test", *map(shown, HOSTILE)]
    assert {len(row) for row in first} == {len(HOSTILE) + 4}
    (table,) = markdown_cells(inside("report", hostile[0], "--format", "markdown").stdout)
    assert [words_of(row[0]) for row in table[1:]] == ["ID-test", *map(shown, HOSTILE), "OOD mean"]


def test_markdown_notes_are_a_list_of_text(hostile: list[Path], tmp_path: Path) -> None:
    names = ["- a", "# b", "1. c", "2) d", "+ e", "> f", "```"]
    right = {name: np.ones((1, 40), dtype=bool) for name in names}
    files = [
        write_report(tmp_path / folder, command, right, fingerprints=prints)
        for folder, command, prints in (("x", "probe", {}), ("y", "lpft", dict.fromkeys(names, "other")))
    ]
    text = inside("compare", *files, "--format", "markdown").stdout
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert not {token.type for token in tokens} & {"heading_open", "fence", "blockquote_open", "ordered_list_open"}
    assert [token.type for token in tokens].count("bullet_list_open") == 1
    items = [token for token in tokens if token.type == "inline" and token.level == 3]
    said = [words_of(item.children) for item in items]
    assert [line for line in said if "saw different examples" in line] == [
        f"{name}: the reports saw different examples, so these accuracies compare only roughly" for name in names
    ]


LATEX = {  # what a TeX engine typesets, written down apart from the program
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
    "textbar": "|", "{": "{", "}": "}", "$": "$", "&": "&", "#": "#", "_": "_", "%": "%", "`": "`",
}  # fmt: skip


def typeset(latex: str) -> str:
    """What LaTeX shows for a cell of plain words: no sign of its own language may stand there bare."""
    out, place, depth = [], 0, 0
    while place < len(latex):
        sign = latex[place]
        if sign == "\\":
            name = re.match(r"[a-zA-Z]+|.", latex[place + 1 :])
            assert name, latex
            out.append(LATEX[name[0]])
            place += 1 + len(name[0])
            continue
        assert sign not in "$&#_%~^", latex
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0, latex
        out.append("" if sign in "{}" else sign)
        place += 1
    assert depth == 0, latex
    return "".join(out)


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_shows_names_as_they_are(name: str) -> None:
    latex = escape_latex(name)
    assert typeset(latex) == name.replace("\x1b", "?")
    assert not latex.startswith(("[", "*")) and "--" not in latex and "\n" not in latex


def latex_rows(text: str) -> tuple[list[str], list[list[str]]]:
    """The lines of a tabular that are no row, and the cells of those that are."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    rows = [line for line in lines if line.endswith(r"\\") and not line.startswith(("\\begin", "\\end{tabular}"))]
    return [line for line in lines if line not in rows], [
        [cell.strip() for cell in re.split(r"(?<!\\)&", row.removesuffix(r"\\"))] for row in rows
    ]


def test_the_tabular_of_a_comparison(hostile: list[Path]) -> None:
    text = inside("compare", *hostile, "--format", "latex").stdout
    frame, (heads, *body) = latex_rows(text)
    count = len(HOSTILE) + 3
    assert frame == [rf"\begin{{tabular}}{{l{'r' * (count - 1)}}}", r"\toprule", r"\midrule", r"\bottomrule",
                     r"\end{tabular}"]  # fmt: skip
    assert [typeset(head) for head in heads[1:]] == ["ID-test", *(n.replace("\x1b", "?") for n in HOSTILE), "OOD mean"]
    assert [len(row) for row in (heads, *body)] == [count] * 3 and [row[0] for row in body] == ["probe", "lpft"]
    whole = inside("compare", *hostile, "--json").report
    for i, name in enumerate(whole["sets"], start=1):
        cells = [row["cells"][name] for row in whole["rows"]]
        best = max(cell["accuracy"] for cell in cells)
        for cell, row in zip(cells, body, strict=True):
            accuracy = f"{100 * cell['accuracy']:.1f}"
            assert row[i].startswith(rf"\textbf{{{accuracy}}}" if cell["accuracy"] == best else accuracy)
            if cell["interval"]:
                low, high = (f"{100 * end:.1f}" for end in cell["interval"])
                assert row[i].endswith(rf"{{\scriptsize [{low}, {high}]}}")


def test_latex_says_what_pdflatex_lacks(tmp_path: Path) -> None:
    right = {name: np.ones((1, 40), dtype=bool) for name in ("写真", "été")}
    file = write_report(tmp_path / "a", "probe", right)
    assert "LuaLaTeX" in inside("report", file, "--format", "latex").stdout
    plain = write_report(tmp_path / "b", "probe", {"été": right["été"]})
    assert "LuaLaTeX" not in inside("report", plain, "--format", "latex").stdout


def test_a_single_report_has_nothing_bold_and_lacking_sets_a_dash(tmp_path: Path) -> None:
    files = [write_report(tmp_path / "a", "probe", correctness(0.6, 1, 0))]
    assert "textbf" not in inside("compare", *files, "--format", "latex").stdout
    fewer = {"id_test": correctness(0.7, 3, 1)["id_test"]}
    files.append(write_report(tmp_path / "b", "lpft", fewer | {"art": correctness(0.7, 3, 1)["art"]}))
    _, rows = latex_rows(inside("compare", *files, "--format", "latex").stdout)
    assert rows[0][1] == "seeds" and [row[1] for row in rows[1:]] == ["1", "3"]
    assert "--" in rows[2]


def test_every_figure_of_every_set_is_in_the_csv(tmp_path: Path) -> None:
    file = write_report(tmp_path / "a", "lpft", correctness(0.6, 3, 0))
    report = json.loads((file / "report.json").read_text())
    report["results"]["unlabelled"] = {"new": {"n": 7}}
    (file / "report.json").write_text(json.dumps(report))
    lines = {
        line["set"]: line for line in csv.DictReader(io.StringIO(inside("report", file, "--format", "csv").stdout))
    }
    results = report["results"]
    sets = {"id_val": results["id_val"], "id_test": results["id_test"], **results["ood"]}
    sets |= {"new": {"n": 7}, "ood_mean": results["ood_mean"]}
    assert list(lines) == list(sets)
    for name, entry in sets.items():
        found = {key: value for key, value in lines[name].items() if value and key != "set"}
        expected = {}
        for key, value in entry.items():
            pair = isinstance(value, list)
            expected |= {f"{key}_low": value[0], f"{key}_high": value[1]} if pair else {key: value}
        assert {key: float(value) for key, value in found.items()} == expected


def test_the_columns_of_the_csv_are_the_same_for_every_report(tmp_path: Path) -> None:
    heads = set()
    for seeds in (1, 3):
        file = write_report(tmp_path / str(seeds), "lpft", correctness(0.6, seeds, 0))
        heads.add(inside("report", file, "--format", "csv").stdout.partition("\n")[0])
    (head,) = heads
    names = {name.removesuffix("_low").removesuffix("_high") for name in head.split(",")}
    assert names == {"set", *Figures.__struct_fields__} - {"groups", "per_class", "confusion"}


@pytest.mark.parametrize("format", ["csv", "markdown", "latex"])
def test_reports_without_figures_of_one_model_are_refused(format: str, tmp_path: Path) -> None:
    parts = {"data": {"classes": [], "ood": {}}, "results": {"ood": {}, "ood_mean": None}}
    (tmp_path / "report.json").write_text(json.dumps(skeleton("agreement", None) | parts))
    done = inside("report", tmp_path, "--format", format)
    assert done.returncode == 2 and "no figures of one model" in done.stderr and done.stdout == ""
