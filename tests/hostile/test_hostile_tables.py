"""Tables of text that are odd, damaged or mean harm: right, or refused with the line and the column."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftcli import limits
from tests.helpers.opening import names, opened, refusal
from tests.helpers.pictures import folder, picture
from tests.helpers.sandbox import watched

ANT, BEE = b"a/0.png,ant\n", b"a/1.png,bee\n"
ROWS, HEAD = ANT + BEE, b"image,label\n"
MANY = ",".join(f"c{i}" for i in range(1000)).encode()

# Each is a CSV file of the same two rows.
RIGHT: dict[str, bytes] = {
    "plain": HEAD + ROWS,
    "no last line end": HEAD + ROWS[:-1],
    "a byte-order mark": b"\xef\xbb\xbf" + HEAD + ROWS,
    "a byte-order mark before quotation marks": b'\xef\xbb\xbf"image","label"\n' + ROWS,
    "Windows line ends": (HEAD + ROWS).replace(b"\n", b"\r\n"),
    "mixed line ends": HEAD + ANT.replace(b"\n", b"\r\n") + BEE,
    "empty lines": b"\n\n" + HEAD + b"\n" + ANT + b"\r\n\n" + BEE + b"\n",
    "quoted cells": HEAD + b'"a/0.png","ant"\n"a/1.png","bee"\n',
    "a quoted line end": b"image,label,note\n" + b'a/0.png,ant,"1\n2\r\n\n3"\na/1.png,bee,\n',
    "a quoted header of two lines": b'image,label,"a\nb"\na/0.png,ant,\na/1.png,bee,\n',
    "quoted marks": b"image,label,note\n" + b'a/0.png,ant,"say ""a"", b"\na/1.png,bee,"""\n"""\n',
    "an index": b",image,label\n0,a/0.png,ant\n1,a/1.png,bee\n",
    "a thousand columns": b"image,label," + MANY + b"\n" + b"".join(
        row[:-1] + b"," + b",".join([b"1"] * 1000) + b"\n" for row in (ANT, BEE)
    ),
    "dots in paths": HEAD + b"./a/../a/0.png,ant\na//1.png,bee\n",
    "a formula": b"image,label,note\na/0.png,ant,=cmd|' /C calc'!A0\na/1.png,bee,@SUM(1)\n",
    "a column of no use": b"image,label,note\na/0.png,ant,\xe2\x80\xae\x1b[2J\na/1.png,bee,\n",
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_odd_tables_that_are_right(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {"a": 2})
    (tmp_path / "t.csv").write_bytes(RIGHT[name])
    images = opened(tmp_path / "t.csv")
    assert names(images) == ["ant", "bee"] and [images.image(i).tobytes() for i in range(2)] == [
        picture(i).tobytes() for i in range(2)
    ]


# What is refused, and the words that the message must have: the line, and the column where there is one.
WRONG: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "nothing": (b"", ("is empty",)),
    "a byte-order mark alone": (b"\xef\xbb\xbf", ("is empty",)),
    "line ends alone": (b"\n\r\n\n", ("is empty",)),
    "a header alone": (HEAD, ("has no rows",)),
    "a header alone without a line end": (HEAD[:-1], ("has no rows",)),
    "no header": (ROWS, ("header", '"a/0.png"', "image,label")),
    "a name twice": (b"image,label,label\na/0.png,ant,bee\n", ("header", '"label" twice', "columns 2 and 3")),
    "no name": (b"image,,label\na/0.png,x,ant\n", ("header", "column 2")),
    "a name of spaces": (b"image,label,  \na/0.png,ant,x\n", ("header", "column 3")),
    "a comma at the end": (b"image,label,\na/0.png,ant,\n", ("header", "column 3")),
    "semicolons": ((HEAD + ROWS).replace(b",", b";"), ("semicolons", '"image;label"')),
    "tabs": ((HEAD + ROWS).replace(b",", b"\t"), ("tabs", "name it .tsv")),
    "UTF-16": (HEAD.decode().encode("utf-16"), ("UTF-16", "iconv")),
    "UTF-16 without a mark": (HEAD.decode().encode("utf-16-le"), ("zero byte in line 1",)),
    "Latin 1": (HEAD + ANT + b"a/1.png,caf\xe9\n", ("0xe9 in line 3", "iconv")),
    "Latin 1 in the header": (b"image,label,\xe9t\xe9\n", ("0xe9 in line 1",)),
    "a zero byte": (HEAD + ANT + b"a/1.png,b\0ee\n", ("zero byte in line 3",)),
    "too few cells": (HEAD + ANT + b"a/1.png\n", ("line 3", "1 cell", '"label"')),
    "too many cells": (HEAD + b"\n" + ANT + b"a/1.png,bee,x\n", ("line 4", "3 cells")),
    "a quotation mark that is not closed": (HEAD + ANT + b'a/1.png,"bee\n' + ROWS, ("line 3", "not closed")),
    "one in the first row": (HEAD + b'"a/0.png,ant\n' + BEE, ("line 2", "not closed")),
    "Mac line ends": ((HEAD + ROWS).replace(b"\n", b"\r"), ("line 1", "LF or CRLF")),
    "a long cell": (HEAD + ANT + b"a/1.png," + b"x" * 200_000 + b"\n", ("line 3", "131,072")),
    "a long row": (
        b"image,label," + MANY + b"\n" + ANT[:-1] + (b"," + b"x" * 2000) * 1000 + b"\n", ("line 2", "1,048,576"),
    ),
    "a long line": (HEAD + ANT + b"x" * (limits.MAX_LINE_BYTES + 9), ("line 3", "longer than")),
    "too many columns": (b",".join(b"c%d" % i for i in range(10_001)) + b"\n", ("10,001 columns",)),
    "an empty label": (HEAD + ANT + b"a/1.png,\n", ("(line 3)", "empty label", '"label"')),
    "labels of two kinds": (HEAD + b"a/0.png,1.5\na/1.png,2.0\n", ("(line 2)", "1.5", '"label"')),
    "an empty path": (HEAD + ANT + b",bee\n", ("(line 3)", "path is empty")),
    "a missing file": (HEAD + ANT + b"a/2.png,bee\n", ("(line 3)", '"a/2.png"')),
    "a path of Windows": (HEAD + ANT + b"a\\1.png,bee\n", ("(line 3)", "write paths with /")),
    "a folder": (HEAD + ANT + b"a,bee\n", ("(line 3)", "not there")),
    "an absolute path": (HEAD + ANT + b"/etc/passwd,bee\n", ("(line 3)", "leads out of the folder", '"image"')),
    "a way up": (HEAD + ANT + b"a/../../out.png,bee\n", ("(line 3)", "leads out of the folder")),
    "the folder above": (HEAD + ANT + b"..,bee\n", ("(line 3)", "leads out of the folder")),
    "a URL": (HEAD + ANT + b"https://example.com/a.png,bee\n", ("(line 3)", "is a URL")),
    "a URL of a file": (HEAD + ANT + b"file:///etc/passwd,bee\n", ("(line 3)", "is a URL")),
    "a chained URL": (HEAD + ANT + b"zip://a.png::b.zip,bee\n", ("(line 3)", "is a URL")),
    "a home": (HEAD + ANT + b"~/out.png,bee\n", ("(line 3)", "not there")),
    "a workbook": (b"PK\x03\x04\x14\0\x06\0", ("zero byte", "exported as CSV")),
    "a compressed table": (gzip.compress(HEAD + ROWS), ("t.csv",)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_odd_tables_that_are_refused(tmp_path: Path, name: str) -> None:
    content, words = WRONG[name]
    (tmp_path / "in").mkdir()
    picture(9).save(tmp_path / "out.png")
    folder(tmp_path / "in", {"a": 2})
    (tmp_path / "in" / "t.csv").write_bytes(content)
    said = refusal(tmp_path / "in" / "t.csv")
    assert [word for word in words if word not in said] == [] and len(said) < 2000, said


JSON: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing": ("", ("has no rows",)),
    "an array": ('[{"image": "a/0.png"}]\n', ("line 1", "a list")),
    "an object in several lines": ('{"image":\n"a/0.png"}\n', ("line 1", "no JSON")),
    "no number": ('{"image": "a/0.png", "label": NaN}\n', ("line 1", "NaN")),
    "a key twice": ('{"image": "a/0.png", "label": 1, "label": 2}\n', ("line 1", '"label" is there twice')),
    "kinds": ('{"image": "a/0.png", "label": 1}\n\n{"image": "a/1.png", "label": "x"}\n', ("line 3", '"label"')),
    "truth and numbers": ('{"image": "a/0.png", "label": 1}\n{"image": "a/1.png", "label": true}\n', ("line 2",)),
    "a large number": ('{"image": "a/0.png", "label": 1%s}\n' % ("0" * 30), ("line 1", '"label"')),
    "a huge number": ('{"image": "a/0.png", "label": 1%s}\n' % ("0" * 10_000), ("line 1",)),
    "half a character": ('{"image": "\\ud800", "label": 1}\n', ("line 1", '"image"')),
    "depth": ("[" * 100_000, ("line 1", "nested too deeply")),
    "a path outside": ('{"image": {"path": "../out.png"}, "label": 1}\n', ("(line 1)", "leads out of the folder")),
    "a zero byte": ('{"image": "a\\u0000", "label": 1}\n', ("(line 1)", "zero byte")),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_odd_lines_of_json_are_refused(tmp_path: Path, name: str) -> None:
    content, words = JSON[name]
    folder(tmp_path, {"a": 2})
    (tmp_path / "t.jsonl").write_text(content)
    said = refusal(tmp_path / "t.jsonl")
    assert [word for word in words if word not in said] == [] and len(said) < 2000, said


def sparse_columns() -> str:
    return "".join(json.dumps({f"k{i % 9999}": 1}) + "\n" for i in range(60_000))


def nested_columns() -> str:
    return "".join(json.dumps({"a": {f"k{i}": {"b": 1}}}) + "\n" for i in range(20_000))


BOMBS: dict[str, Callable[[], bytes]] = {
    "t.csv": lambda: HEAD + b"x" * 10**8,
    "u.csv": lambda: HEAD + b'"' + b"x\n" * 5 * 10**7,
    "v.csv": lambda: b",".join(b"c%d" % i for i in range(10**6)) + b"\n",
    "t.jsonl": lambda: b'{"a": "' + b"x" * 10**8,
    "u.jsonl": lambda: sparse_columns().encode(),
    "v.jsonl": lambda: nested_columns().encode(),
    "t.txt": lambda: b"x" * 10**8,
    "t.csv.gz": lambda: gzip.compress(HEAD + b"a/0.png,ant\n" * 10**6, 1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_large_cell_takes_no_memory(tmp_path: Path, name: str) -> None:
    """Every one is refused within the seconds and the memory that any command may take, and writes nothing."""
    (tmp_path / name).write_bytes(BOMBS[name]())
    outcome = watched(["data", tmp_path / name])
    assert outcome.faults([2]) == [], outcome
    assert outcome.stderr.startswith("error: ") and len(outcome.stderr) < 3000


def test_nothing_outside_is_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(0).save(tmp_path / "secret.png")
    folder(tmp_path / "in", {"a": 2})
    for path in ("../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png"):
        (tmp_path / "in" / "t.csv").write_text(f"image,label\n{path},ant\na/1.png,bee\n")
        outcome = watched(["data", tmp_path / "in" / "t.csv"])
        assert outcome.faults([2]) == [] and str(tmp_path / "secret.png") not in outcome.read, outcome


def test_links_are_the_users_own(tmp_path: Path) -> None:
    """As in image folders: a table cannot make one, and whoever can may as well copy the file."""
    (tmp_path / "in").mkdir()
    folder(tmp_path, {"a": 2})
    os.symlink(tmp_path / "a", tmp_path / "in" / "a")
    (tmp_path / "in" / "t.csv").write_bytes(HEAD + ROWS)
    assert len(opened(tmp_path / "in" / "t.csv")) == 2
    os.symlink(tmp_path / "in" / "a", tmp_path / "in" / "b.csv")
    assert "folder" in refusal(tmp_path / "in" / "b.csv")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    assert "cannot be read" in refusal(tmp_path / "t.csv")
    folder(tmp_path, {"a": 2})
    os.mkfifo(tmp_path / "a" / "2.png")
    (tmp_path / "u.csv").write_bytes(HEAD + ROWS + b"a/2.png,ant\n")
    assert "(line 4)" in refusal(tmp_path / "u.csv")


def test_a_table_paints_no_terminal(tmp_path: Path) -> None:
    paint = "\x1b[2J\x9b31m[red]x\u202e"
    columns: list[Any] = [f"image,label\n{paint},a\n", f"{paint},{paint}\n1,2\n", f"image,{paint}\na/0.png,1\n"]
    for text in columns:
        (tmp_path / "t.csv").write_text(text)
        assert watched(["data", tmp_path / "t.csv"]).faults([2]) == []
