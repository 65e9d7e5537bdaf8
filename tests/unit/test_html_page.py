"""A page from its parts: whole, inert, the same twice, and bounded whatever the names in it are."""

import pytest
from rich.table import Table
from rich.text import Text

from ftcli.console.cells import Layout, text
from ftcli.figures.panels import Curve, LinePlot
from ftcli.report.html.components import (
    Cell,
    Code,
    Column,
    DataTable,
    Facts,
    Figure,
    Gallery,
    Paragraph,
    Picture,
    Section,
)
from ftcli.report.html.page import MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, page
from ftcli.report.html.rich_tables import from_rich
from tests.helpers.page_parser import Page

NAMES = [
    "<script>document.title='run'</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><script>alert(2)</script>",
    "\u202eevil\u2067 \x1b[31m\x00",
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}{% for x in y %}",
    "&lt;b&gt;&amp;",
    "javascript:alert(4)",
    "\ud800 lone",
    "W" * 5000,
]
PLOT = LinePlot("plot", [Curve("a", [0, 1], [0, 1])], "x", "y")


def everything(name: str) -> list[Section]:
    """One of each part, with the name wherever a name can be."""
    return [
        Section(
            name,
            [
                Paragraph(name),
                Paragraph(name, warning=True),
                Facts({name: name}, {name: name}),
                Code(name, name),
                DataTable(
                    name,
                    [Column(name, name), Column("b", words=True)],
                    [[Cell(name, name), Cell(name, code=True)]],
                    name,
                ),
                Figure(name, [PLOT, LinePlot(name, [Curve(name, [0, 1], [0, 1])], name, name, note=name)], name),
                Gallery(name, [Picture("data:image/png;base64,AAAA", [name, name])], name),
            ],
            name,
        )
    ]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    content = page(name, everything(name), name)
    found = Page(content)
    assert found.active() == []
    plain = Page(page("x", everything("x"), "x"))  # a label of a figure may take two lines
    assert [tag for tag, _ in found.tags if tag != "text"] == [tag for tag, _ in plain.tags if tag != "text"]
    assert not {"\x00", "\x1b", "\u202e", "\u2067", "\ud800"} & set(content) and "49" not in found.text
    content.encode("utf-8")


def test_nothing_is_loaded_and_nothing_runs() -> None:
    content = page("a", everything("b"))
    policy = dict(Page(content).tags[3][1])
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "http:" not in content and "https:" not in content and "@import" not in content and "url(" not in content


def test_every_colour_has_a_value_in_light_and_in_dark() -> None:
    style = page("a", []).partition("<style>")[2].partition("</style>")[0]
    light, _, dark = style.partition("prefers-color-scheme: dark")
    used = {word.partition(")")[0] for word in style.split("var(")[1:]}
    for name in used:
        assert f"{name}:" in light and f"{name}:" in dark, name


def test_the_same_parts_give_the_same_page_and_empty_sections_none() -> None:
    sections = [*everything("a"), Section("nothing in it", [])]
    assert page("t", sections) == page("t", sections)
    assert "nothing in it" not in page("t", sections)


def test_long_tables_are_cut_and_say_so() -> None:
    columns = [Column(f"c{j}") for j in range(MOST_COLUMNS + 5)]
    rows = [[Cell(f"r{i}c{j}") for j in range(len(columns))] for i in range(MOST_ROWS + 7)]
    found = Page(page("t", [Section("s", [DataTable("d", columns, rows)])]))
    assert "7 more rows and 5 more columns in report.json" in found.text
    assert found.text.count("r0c") == MOST_COLUMNS and f"r{MOST_ROWS - 1}c0" in found.text
    assert f"r{MOST_ROWS}c" not in found.text


def test_long_names_are_cut_and_say_so() -> None:
    found = Page(page("t", [Section("s", [DataTable("d", [Column("c")], [[Cell("x" * 5000)]])])]))
    assert (
        f"{'x' * MOST_CHARACTERS}… (5,000 characters)" in found.text and "x" * (MOST_CHARACTERS + 1) not in found.text
    )


def test_a_section_says_once_what_a_head_means() -> None:
    table = DataTable("d", [Column("F1", "harmonic mean")], [[Cell("0.5")]])
    found = Page(page("t", [Section("s", [table, table]), Section("s2", [table])]))
    assert found.text.count("harmonic mean") == 2
    assert [attributes.get("title") for tag, attributes in found.tags if tag == "th"] == ["harmonic mean"] * 3


def test_an_interval_is_drawn_on_an_axis_from_0_to_1() -> None:
    content = page("t", [Section("s", [DataTable("d", [Column("c")], [[Cell(span=(-0.2, 0.5, 1.3))]])])])
    assert 'd="M2.0 7H102.0"' in content and 'cx="52.0"' in content


def test_a_line_does_not_end_within_the_name_of_an_option() -> None:
    line = "ftcli lpft --preset=digits -o runs/a-b --no-cache x<y"
    found = page("t", [Section("s", [Code("c", line), DataTable("t", [Column("")], [[Cell(line, code=True)]])])])
    options = ['<span class="option">--preset</span>=digits', '<span class="option">-o</span> runs/a-b']
    assert all(found.count(option) == 2 for option in [*options, '<span class="option">--no-cache</span> x&lt;y'])


def test_on_paper_only_long_words_are_broken() -> None:
    found = page("t", [Section("s", [DataTable("t", [Column("")], [[Cell("short words " * 9)], [Cell("f" * 64)]])])])
    assert found.count('<td class="long">') == 1 and f'<td class="long">{"f" * 64}' in found


def test_a_table_of_the_terminal_keeps_its_cells() -> None:
    cell = Text.assemble(("97.7", "bold"), " [95.0, 99.0]")
    table = Layout(["set", "lr"], [[text("photo"), cell]]).table("Title [red]", "caption", left=("set",))
    found = from_rich(table)
    assert (found.title, found.caption) == ("Title [red]", "caption")
    assert [(column.head, column.words) for column in found.columns] == [("set", True), ("lr", False)]
    assert found.columns[1].meaning == "learning rate"
    assert found.rows == [[Cell("photo"), Cell(" [95.0, 99.0]", "97.7")]]
    whole = Layout([""], [[text("best", "bold")]]).table("t")
    assert from_rich(whole).rows == [[Cell(strong="best")]]
    assert from_rich(Table()).rows == []
