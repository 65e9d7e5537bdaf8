"""Arrays and shards that mean harm, through the whole program: as in test_hostile_data.py, in a watched child."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.pictures import encoded, picture
from tests.helpers.sandbox import watched
from tests.helpers.shards import shard

PAINT = "\x1b[2J\x9b31m[red]x\u202e"  # a name that paints a terminal, is read as markup, and turns the line around
PNG = [encoded(picture(i)) for i in range(4)]


def refused(*words: Any) -> str:
    outcome = watched(words)
    assert outcome.faults([2]) == [], outcome
    assert outcome.stdout == "" and len(outcome.stderr) < 3000
    assert outcome.stderr.startswith("error: ") and "\n  try: " in outcome.stderr
    return outcome.stderr


def content(*words: Any) -> dict[str, Any]:
    outcome = watched(("data", *words, "--json"))
    assert outcome.faults([0]) == [], outcome
    return json.loads(outcome.stdout)


def array(root: Path, described: str, size: int = 0) -> Path:
    """A .npy file with any header, and a hole of so many bytes behind it."""
    header = described.encode() + b"\n"
    (root / "x.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    os.truncate(root / "x.npy", (root / "x.npy").stat().st_size + size)
    return root / "x.npy"


def pairs(*names: str) -> list[tuple[str, bytes]]:
    return [member for i, name in enumerate(names)
            for member in ((f"{name}.png", PNG[i % 4]), (f"{name}.cls", (b"ant", b"bee")[i % 2]))]  # fmt: skip


@pytest.mark.parametrize("shape", ["(10**12, 2, 2)", "(1000000000000, 1000, 1000, 3)", "(-1, -1, 2)", "(0, 2, 2)"])
def test_an_array_of_more_than_its_file(tmp_path: Path, shape: str) -> None:
    refused("data", array(tmp_path, f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}", 100))


def test_an_array_of_a_terabyte_of_holes(tmp_path: Path) -> None:
    described = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1000, 1)}"
    assert "at most 10,000,000" in refused("data", array(tmp_path, described, 10**12))


def test_a_pickle_in_an_array_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/run",)

    np.save(tmp_path / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    assert "pickle" in refused("data", tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 4), np.uint8))
    np.save(tmp_path / "labels.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    assert "pickle" in refused("data", tmp_path / "x.npy")
    assert not (tmp_path / "run").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    os.mkfifo(tmp_path / "x.tar")
    (tmp_path / "zero.tar").symlink_to("/dev/zero")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    for name in ("x.npy", "x.tar", "zero.tar", "zero.npy", "*.tar"):
        refused("data", tmp_path / name)


def test_sizes_of_terabytes(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", pairs("a", "b"))
    whole = bytearray(path.read_bytes())
    for size in (b"%011o\0" % 10**9, b"\x80" + (10**12).to_bytes(11), b"\xff" * 12, b"\x80" + b"\xff" * 11):
        whole[124:136] = size
        whole[148:156] = b" " * 8
        whole[148:156] = b"%06o\0 " % sum(whole[:512])
        path.write_bytes(whole)
        assert str(path) in refused("data", path)


@pytest.mark.parametrize("key", ["path", "size", "GNU.sparse.size", "comment"])
def test_extended_headers_that_lie(tmp_path: Path, key: str) -> None:
    for value in ("10" * 9, "-1", "../" * 20_000, "9" * 5000):
        with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("a.png")
            member.pax_headers = {key: value}
            archive.addfile(member)
        refused("data", tmp_path / "x.tar")


def test_a_terabyte_behind_the_end(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", pairs("a", "b"))
    os.truncate(path, 10**12)
    assert "behind" in refused("data", path)
    (tmp_path / "hole.tar").touch()
    os.truncate(tmp_path / "hole.tar", 10**12)
    refused("data", tmp_path / "hole.tar")


def test_names_of_members_lead_nowhere_and_paint_nothing(tmp_path: Path) -> None:
    names = ["../../up", "/etc/passwd", "a\udcff", PAINT, "x" * 3000, "--help", "%s{}"]
    found = content(shard(tmp_path / "x.tar", pairs(*names)))
    assert found["n"] == len(names) and found["classes"] == {"ant": 4, "bee": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar"]
    members = [(f"{PAINT}.png", PNG[0]), (f"{PAINT}.cls", PAINT.encode()), ("b.png", b""), ("b.cls", b"\x1b[2J")]
    refused("data", shard(tmp_path / "y.tar", members))
    refused("data", shard(tmp_path / "z.tar", [(f"{PAINT}.cls", b"ant")]))
    refused("data", shard(tmp_path / f"{PAINT[0]}.tar", [("a.png", PNG[0]), ("a.png", PNG[1])]))


def test_many_empty_members(tmp_path: Path) -> None:
    refused("data", shard(tmp_path / "x.tar", [(f"{i}.png", b"") for i in range(20_000)]))
    refused("data", shard(tmp_path / "y.tar", [("a." + "x" * i, b"") for i in range(3000)]))


def test_objects_within_objects(tmp_path: Path) -> None:
    numbers = (b"1e999", b"NaN", b'"\\ud800"', b"9" * 5000)
    deep = (b"[" * 10**6, b'{"a":' * 10**5)
    for i, inside in enumerate([*deep, *(b'{"label": ' + number + b"}" for number in numbers)]):
        refused("data", shard(tmp_path / f"{i}.tar", [("a.png", PNG[0]), ("a.json", inside)]))
