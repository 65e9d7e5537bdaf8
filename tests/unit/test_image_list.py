"""Images named one by one: files, folders, patterns, a list on stdin."""

import io
import os
import sys
import time
from glob import glob
from pathlib import Path

import pytest

from ftcli.data.sources import image_list
from ftcli.data.sources.image_list import open_arguments
from ftcli.data.sources.walk import matching
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a/ and b/ with images at several depths, and what is none beside them; the working folder."""
    folder(tmp_path, {"b": 1, "a": 2, "a/deep/er": 1, ".hidden": 1})
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "deep" / "un[1]%3F.png").write_bytes(encoded(picture(9)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(*arguments: str, log: Log | None = None) -> list[str]:
    return open_arguments(arguments, log or Log()).rows().ids


def files(*arguments: str) -> list[str]:
    return open_arguments(arguments, Log()).rows().table.column("image").combine_chunks().field("path").to_pylist()


def refused(*arguments: str) -> str:
    with pytest.raises(RequestError) as error:
        ids(*arguments)
    return f"{error.value.problem} {error.value.fix}"


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What is on stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_one_spec_is_read_as_before(place: Path) -> None:
    assert ids("a") == ["0.png", "1.png", "deep/un[1]%3F.png", "deep/er/0.png"]
    assert ids(str(place / "b" / "0.png")) == ["0.png"]
    assert "there is no file or folder" in refused("nowhere")
    assert "unknown setting" in refused("a?limt=3") and "has no value" in refused("a?limit")


def test_several_are_one_set_in_the_order_typed(place: Path) -> None:
    assert ids("b/0.png", "a/1.png", "b/0.png") == files("b/0.png", "a/1.png", "b/0.png")
    assert ids("b/0.png", "./a/1.png", "b/0.png") == ["b/0.png", "./a/1.png", "b/0.png"]
    assert ids("b/0.png", str(place / "b")) == ["b/0.png", str(place / "b" / "0.png")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/*.png", ["a/0.png", "a/1.png"]),
        ("a/?.png", ["a/0.png", "a/1.png"]),
        ("a/[1-9].p?g", ["a/1.png"]),
        ("*/0.png", ["a/0.png", "b/0.png"]),
        ("**/0.png", ["a/0.png", "a/deep/er/0.png", "b/0.png"]),
        ("a/**/0.png", ["a/0.png", "a/deep/er/0.png"]),
        ("a/**", ["a/0.png", "a/1.png", "a/deep/er/0.png", "a/deep/un[1]%3F.png"]),
        ("**/er/**/0.png", ["a/deep/er/0.png"]),
        (".hidden/*.png", [".hidden/0.png"]),
    ],
)
def test_patterns(place: Path, pattern: str, expected: list[str]) -> None:
    assert ids(pattern) == expected
    assert ids(str(place / pattern)) == [str(place / path) for path in expected]
    assert sorted({*expected}) == sorted(path for path in glob(pattern, recursive=True) if path.endswith(".png"))


def test_circles_of_links_end(place: Path) -> None:
    (place / "a" / "up").symlink_to(place / "a")
    (place / "b" / "other").symlink_to(place / "a")
    assert [path for path in matching("a/**") if path.endswith("0.png")] == ["a/0.png", "a/deep/er/0.png"]
    assert "b/other/deep/er/0.png" in matching("b/**/0.png")


def test_a_name_that_looks_like_a_pattern_or_a_spec_is_a_name(place: Path) -> None:
    name = "a/deep/un[1]%3F.png"
    assert ids(name) == ["un[1]%3F.png"] and files(name) == [name]
    assert ids(name, "b/0.png") == files(name, "b/0.png") == [name, "b/0.png"]


def test_files_that_a_pattern_or_a_folder_holds_besides_are_counted(place: Path) -> None:
    for arguments, which in ((["a/*"], 'of what matches "a/*"'), (["a", "b"], 'of "a"')):
        log = Log()
        assert len(ids(*arguments, log=log)) > 1
        assert [(one["code"], one["text"]) for one in log.warnings] == [
            ("files-left-out", f"{which}, 1 file is no image, left out: .txt 1")
        ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["*.gif"], 'no image matches "*.gif"'),
        (["*/*.txt*"], "it matches 1 file or folder"),
        (["?"], "as in ?/**"),
        (["a/0.png", "nowhere.png"], 'there is no file "nowhere.png"'),
        (["a/0.png", "a/notes.txt"], '"a/notes.txt" is no image'),
        (["a/0.png", "a?limit=3"], "with a kind or settings stand alone"),
        (["a/0.png", "digits:photo"], "with a kind or settings stand alone"),
        (["a/0.png", "https://host/1.png"], "is a URL beside other arguments"),
        (["a/0.png", "empty"], 'the folder "empty" holds no images'),
        (["a/0.png/1.png", "b"], "cannot be read: Not a directory"),
        (["-", "-"], "- is typed 2 times"),
        (["shards/*.tar"], 'there is no file "shards/*.tar"'),  # the SPEC's business
    ],
)
def test_what_is_refused(place: Path, arguments: list[str], said: str) -> None:
    (place / "empty").mkdir()
    assert said in refused(*arguments)


def test_a_list_on_stdin(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "ü b.png").write_bytes(encoded(picture(1)))
    typed(monkeypatch, "\ufeffa/1.png\r\n\r\n   \nü b.png\na/*.png\na/1.png".replace("a/*.png\n", "").encode())
    assert ids("-") == ["a/1.png", "ü b.png", "a/1.png"]
    typed(monkeypatch, b"a/1.png\n")
    assert ids("b/*.png", "-", "a/0.png") == ["b/0.png", "a/1.png", "a/0.png"]


def test_names_on_stdin_need_be_no_text(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = b"b/\xff.png"
    Path(os.fsdecode(name)).write_bytes(encoded(picture(1)))
    typed(monkeypatch, name + b"\nb/0.png\n")
    assert ids("-") == ["b/\\xff.png", "b/0.png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names no image"),
        (b"\r\n \n", "names no image"),
        (b"a/0.png\n\nnowhere.png\n", 'line 3 of the list on stdin: there is no file "nowhere.png"'),
        (b"a/0.png\na/notes.txt", 'line 2 of the list on stdin: "a/notes.txt" is no image'),
        (b"a/0.png\na/*.png", 'line 2 of the list on stdin: there is no file "a/*.png"'),
        (b"a\n", 'line 1 of the list on stdin: "a" is a folder'),
        (b"x" * 5000, "line 1 of the list on stdin: "),
        ("a/0.png\n".encode("utf-16"), "zero bytes"),
        (b"a/0.png\n" * 9, "has more than 64 bytes"),
    ],
)
def test_a_list_that_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str) -> None:
    if "64" in said:
        monkeypatch.setattr(image_list, "MAX_PATH_LIST_BYTES", 64)
    typed(monkeypatch, content)
    assert said in refused("-")


def test_several_processes_have_no_stdin_of_their_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    typed(monkeypatch, b"a/0.png\n")
    assert "2 processes cannot all read stdin" in refused("-")


def test_a_long_list_opens_quickly(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"a/0.png\nb/0.png\n" * 50_000)
    started = time.perf_counter()
    assert len(ids("-")) == 100_000
    assert time.perf_counter() - started < 10
