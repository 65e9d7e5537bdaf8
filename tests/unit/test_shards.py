"""WebDataset shards: which files a path names, what a tar archive holds, its samples, and the index in the cache."""

import json
import os
import pickle
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcli.cache.cache import Cache
from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.sources.shards import index
from ftcli.data.sources.shards.archive import Archive
from ftcli.data.sources.shards.index import names_of
from ftcli.data.sources.shards.patterns import shards_of
from ftcli.data.sources.shards.samples import split_name
from ftcli.data.sources.shards.values import SEVERAL_TYPES, column_of
from ftcli.data.sources.source import open_source
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.shards import of_folder, shard

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
PNG = [encoded(picture(i)) for i in range(8)]


def opened(text: object, log: Log | None = None, labelled: bool = True, cache: Cache | None = None) -> ImageSet:
    return open_images(parse(str(text)), log or Log(), labelled=labelled, cache=cache)


def refusal(text: object, **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        opened(text, **options)
    assert error.value.fix
    return f"{error.value.problem} | {error.value.fix}"


def labels(images: ImageSet) -> list[str]:
    return [images.classes[label] for label in images.labels]


def samples(*names: str) -> list[tuple[str, bytes]]:
    """A sample for each name, with the class "ant" and "bee" in turn."""
    return with_images("cls", [(b"ant", b"bee")[i % 2] for i in range(len(names))], names)


def with_images(ending: str, contents: list[bytes], names: Sequence[str] = "0123456789") -> list[tuple[str, bytes]]:
    """Samples of an image and a member with this ending each."""
    pairs = zip(names, PNG, contents, strict=False)
    return [
        member for name, image, content in pairs for member in ((f"{name}.png", image), (f"{name}.{ending}", content))
    ]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**8, Log())


# Which files a path names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x-{000..002}.tar", ["x-000.tar", "x-001.tar", "x-002.tar"]),
        ("x-{9..11}.tar", ["x-9.tar", "x-10.tar", "x-11.tar"]),
        ("x-{08..10}.tar", ["x-08.tar", "x-09.tar", "x-10.tar"]),
        ("x-{0..1}.tar", ["x-0.tar", "x-1.tar"]),
        ("{b,a}.tar", ["b.tar", "a.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("x-*.tar", ["x-1.tar", "x-2.tar"]),
        ("{b,a}-*.tar", ["b-1.tar", "b-2.tar", "a-1.tar"]),
    ],
)
def test_a_pattern_names_files_in_its_order(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert shards_of(f"{tmp_path}/{pattern}") == [f"{tmp_path}/{name}" for name in names]


def test_a_file_whose_name_is_a_pattern(tmp_path: Path) -> None:
    for name in ("x-{0..1}.tar", "x[1].tar"):
        (tmp_path / name).touch()
        assert shards_of(f"{tmp_path}/{name}") == [f"{tmp_path}/{name}"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("x-{0..3}.tar", '"x-2.tar", "x-3.tar" | check the path; 2 of 4'), ("y-*.tar", "no file"), ("y.tar", "no file"),
        ("x-{3..0}.tar", "names 0 shards"), ("x-{0..999999999}.tar", "1 to 100,000"), ("x-{0}.tar", "neither"),
        ("x-{}.tar", "neither"), ("x-{0,0}.tar", "twice"), ("{0..999}{0..999}.tar", "1,000,000"),
        ("x.tar.gz", "gunzip"), ("x.tgz", "gunzip"), ("x.tar.zst", "unzstd"), ("x-{0..1}.tar.gz", "gunzip"),
    ],
)  # fmt: skip
def test_a_pattern_that_names_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        (tmp_path / f"x-{i}.tar").touch()
    assert words in refusal(pattern)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.tar"], ["x.tar"]),
        (["x.tar"], ["x.tar"]),
        (["a/x-0.tar", "a/x-1.tar"], ["x-0.tar", "x-1.tar"]),
        (["a/b/x.tar", "a/c/x.tar"], ["b/x.tar", "c/x.tar"]),
        (["a/bb/x.tar", "a/bc/x.tar"], ["bb/x.tar", "bc/x.tar"]),
        (["https://h/a/x.tar", "https://h/y.tar"], ["a/x.tar", "y.tar"]),
        (["a/x.tar", "a/a/x.tar"], ["x.tar", "a/x.tar"]),
    ],
)
def test_ids_begin_with_the_path_below_the_common_folder(paths: list[str], names: list[str]) -> None:
    assert names_of(paths) == names


# What an archive holds


NAMES = [
    "a.png",
    "deep/er/b.png",
    "x" * 99 + ".cls",
    "long/" * 40 + "c.png",
    "ümläut/日本.png",
    "l" * 300 + ".png",
    "e.x y",
]


@pytest.mark.parametrize("format", ["gnu", "pax"])
@pytest.mark.parametrize("seed", range(4))
def test_members_are_those_of_tarfile(tmp_path: Path, format: str, seed: int) -> None:
    """Small and large members in random order, longer than what is read at once; by Python's own reader."""
    chosen = random.Random(seed)
    members = [(f"{i}/{name}", chosen.randbytes(chosen.choice([0, 1, 511, 512, 513, 5000, 90_000])))
               for i, name in enumerate(NAMES * 4)]  # fmt: skip
    path = shard(tmp_path / "x.tar", members, FORMATS[format])
    archive = Archive(str(path))
    with tarfile.open(path) as oracle:
        expected = [(member.name.encode(), member.offset_data, member.size) for member in oracle]
    found = list(archive)
    assert [member[:3] for member in found] == expected and len(found) == len(members)
    assert [path.read_bytes()[m.start : m.start + m.size] for m in found] == [content for _, content in members]
    assert [archive.read(m.start, m.start + m.size) for m in found] == [content for _, content in members]


def test_folders_are_passed_over_and_the_posix_prefix_is_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        inside = tarfile.TarInfo("d")
        inside.type = tarfile.DIRTYPE
        archive.addfile(inside)
        archive.addfile(tarfile.TarInfo("p" * 120 + "/" + "n" * 90))
    assert [member.name for member in Archive(str(tmp_path / "x.tar"))] == [b"p" * 120 + b"/" + b"n" * 90]


def test_sizes_as_binary_numbers_are_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [("a.png", PNG[0]), ("b.png", PNG[1])])
    content = bytearray(path.read_bytes())
    content[124:136] = b"\x80" + len(PNG[0]).to_bytes(11)
    path.write_bytes(with_checksum(content))
    assert [member.size for member in Archive(str(path))] == [len(PNG[0]), len(PNG[1])]


def with_checksum(content: bytearray, at: int = 0) -> bytes:
    """An archive whose header at a position has its right checksum again."""
    content[at + 148 : at + 156] = b" " * 8
    content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    return bytes(content)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
                                  tarfile.GNUTYPE_SPARSE, b"M", b"Q"])  # fmt: skip
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = shard(tmp_path / "x.tar", samples("a", "b"))
    content = bytearray(path.read_bytes())
    content[156:157] = kind
    path.write_bytes(with_checksum(content))
    assert '"a.png"' in refusal(path) and "--dereference" in refusal(path)


def test_sparse_members_of_posix_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a.png"}
        archive.addfile(member)
    assert "a sparse file" in refusal(tmp_path / "x.tar")


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples("a", "b"))
    whole = path.read_bytes()
    ends = [member.start for member in Archive(str(path))] + [member.start - 512 for member in Archive(str(path))]
    for size in {1, 511, *ends, 2000, 2500} - {0}:
        path.write_bytes(whole[:size])
        said = refusal(path)
        assert str(path) in said and "cut short" in said, (size, said)
    path.write_bytes(b"")
    assert "cut short" in refusal(path)


def test_archives_put_together_by_cat_are_refused(tmp_path: Path) -> None:
    one, two = (shard(tmp_path / f"{name}.tar", samples(name)).read_bytes() for name in "ab")
    (tmp_path / "c.tar").write_bytes(one + two)
    assert "by cat" in refusal(tmp_path / "c.tar")
    (tmp_path / "d.tar").write_bytes(one + bytes(2**20))
    assert "goes on behind" in refusal(tmp_path / "d.tar")


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_compressed_archives_by_another_name(tmp_path: Path, mode: str) -> None:
    with tarfile.open(tmp_path / "x.tar", f"w:{mode}") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    assert "is compressed" in refusal(tmp_path / "x.tar")


# Samples


@pytest.mark.parametrize(
    ("name", "key", "ending"),
    [
        (b"a.jpg", b"a", ".jpg"), (b"d/a.jpg", b"d/a", ".jpg"), (b"d.x/a.jpg", b"d.x/a", ".jpg"),
        (b"a.left.JPG", b"a", ".left.jpg"), (b"a", b"a", ""), (b".hidden", b".hidden", ""),
        (b"d/._a.jpg", b"d/._a.jpg", ""),
        (b"../../a.jpg", b"../../a", ".jpg"), (b"a.", b"a.", ""), (b"/etc/a.cls", b"/etc/a", ".cls"),
    ],
)  # fmt: skip
def test_names_of_samples(name: bytes, key: bytes, ending: str) -> None:
    assert split_name(name) == (key, ending)


@pytest.mark.parametrize("format", FORMATS)
def test_shards_of_a_folder_are_the_folder(tmp_path: Path, format: str) -> None:
    root = folder(tmp_path / "photos", {"ant": 5, "bee": 4})
    members = of_folder(root)
    shard(tmp_path / "x-000.tar", members[:10], FORMATS[format])
    shard(tmp_path / "x-001.tar", members[10:], FORMATS[format])
    images, oracle = opened(tmp_path / "x-{000..001}.tar"), opened(root)
    assert images.fingerprint == oracle.fingerprint and images.digests == oracle.digests
    assert images.classes == oracle.classes and images.labels.tolist() == oracle.labels.tolist()
    assert images.ids[0] == "x-000.tar/ant/0" and images.ids[-1] == "x-001.tar/bee/3"
    assert all(np.array_equal(images.image(i), oracle.image(i)) for i in range(9))


def test_a_folder_of_shards_and_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "set" / "b.tar", samples("3"))
    shard(tmp_path / "set" / "a.tar", samples("1", "2"))
    assert opened(tmp_path / "set").ids == ["a.tar/1", "a.tar/2", "b.tar/3"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(opened("~/set/*.tar")) == len(opened("~/set/{a,b}.tar")) == 3


def test_archives_beside_class_folders_are_no_shards(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"ant": 2, "bee": 2})
    shard(root / "download.tar", samples("1"))
    assert opened(root).unit == "file"


def test_files_named_after_splits_are_splits(tmp_path: Path) -> None:
    for name in ("train-000.tar", "train-001.tar", "val-000.tar"):
        shard(tmp_path / name, samples(*"abcdef"))
    splits = open_source(parse(str(tmp_path)), Log()).splits
    assert {name: len(read()) for name, read in splits.items()} == {"train": 12, "val": 6}
    assert opened(f"{tmp_path}/*.tar?split=val").ids[0] == "val-000.tar/a"
    task = build_task(
        train=f"{tmp_path}/{{train-000,val-000}}.tar",
        id_val=None, id_test=f"{tmp_path}/train-001.tar", ood=[], split_seed=0, damaged="stop", log=Log(),
    )  # fmt: skip
    assert task.id_val is not None and task.id_val.ids[0] == "val-000.tar/a"
    shard(tmp_path / "more.tar", samples("x"))
    assert "named after a split" in refusal(tmp_path)


def test_numbers_are_classes_by_themselves(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", with_images("cls", [b" %d\n" % (i % 3) for i in range(4)]))
    assert opened(path).classes == ("0", "1", "2") and opened(path).labels.tolist() == [0, 1, 2, 0]
    (tmp_path / "names.json").write_text('{"0": "cat", "1": "dog"}')
    assert opened(f"{path}?classes={tmp_path}/names.json").classes == ("cat", "dog", "2")


def test_numbers_and_names_together_are_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [*samples("a"), ("b.png", PNG[1]), ("b.cls", b"3")])
    said = refusal(path)
    assert '"x.tar/b" is the number 3' in said and '"x.tar/a" the name "ant"' in said


def test_objects_have_labels_groups_and_conditions(tmp_path: Path) -> None:
    rows = [{"kind": "ant", "site": 1, "cls": "odd", "ratio": 1, "old": True, "note": None, "box": [1]},
            {"kind": "bee", "site": 2, "cls": "even", "ratio": 0.5, "old": False, "mixed": 1},
            {"kind": "bee", "site": 2, "cls": "odd", "ratio": 2, "old": True, "mixed": "1"}]  # fmt: skip
    path = shard(tmp_path / "x.tar", with_images("json", [json.dumps(row).encode() for row in rows]))
    images = opened(f"{path}?label=kind&group=site")
    assert labels(images) == ["ant", "bee", "bee"] and images.groups is not None
    assert images.groups.tolist() == ["1", "2", "2"]
    assert labels(opened(f"{path}?label=json.cls")) == ["odd", "even", "odd"]
    assert opened(f"{path}?label=kind&where=site:2&where=old:True").ids == ["x.tar/2"]
    assert "several types" in refusal(f"{path}?label=mixed") and "several types" in refusal(f"{path}?label=box")
    assert 'no column "absent"' in refusal(f"{path}?label=absent")
    assert "COLUMN" in refusal(path)
    assert '"image"' in refusal(f"{path}?label=kind&image=kind")


def test_the_usual_key_is_the_label_and_cls_comes_first(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", with_images("json", [b'{"label": "ant"}', b'{"label": "bee"}']))
    assert labels(opened(path)) == ["ant", "bee"]
    both = [("a.png", PNG[0]), ("a.cls", b"ant"), ("a.json", b'{"label": "wasp"}')]
    assert labels(opened(shard(tmp_path / "y.tar", both))) == ["ant"]
    assert labels(opened(f"{tmp_path}/y.tar?label=label")) == ["wasp"]


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (["a", None], "string"), ([1, None, 2], "int64"), ([1, 2.5], "double"), ([1, 2.5, None], "double"),
        ([True, False], "bool"), ([True, None], "bool"), ([None, None], "string"), ([2**63], None), ([1, True], None),
        ([1, "1"], None), ([[1]], None), ([{}], None), (["\ud800"], None), ([10**400, 0.5], None),
    ],
)  # fmt: skip
def test_values_keep_their_type(values: list, type: str | None) -> None:
    column = column_of(values)
    assert column.type == SEVERAL_TYPES if type is None else str(column.type) == type
    assert type is None or column.to_pylist() == values


def test_what_is_no_sample_is_counted(tmp_path: Path) -> None:
    others = [
        ("README", b"x"),
        ("notes.txt", b"x"),
        (".DS_Store", b"x"),
        ("a.seg.png", b"x"),
        ("b.npy", b"x"),
        ("a.txt", b"x"),
    ]
    log = Log()
    images = opened(shard(tmp_path / "x.tar", [*samples("a", "b"), *others]), log=log)
    assert images.ids == ["x.tar/a", "x.tar/b"]
    (warning,) = log.warnings
    assert warning["code"] == "files-left-out"
    assert warning["text"].endswith("not used: no ending 2, .npy 1, .seg.png 1, .txt 1")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.cls", b"ant")], 'sample "x.tar/a" has no image, but ".cls"'),
        ([("a.png", PNG[1]), ("a.jpg", PNG[0]), ("a.cls", b"ant")], "two images"),
        ([("a.png", PNG[1]), ("a.png", PNG[0])], '"a.png" twice'),
        ([("a.png", PNG[1]), ("a.PNG", PNG[0])], '"a.PNG" twice'),
        ([("a.png", PNG[1]), ("a.cls", b"ant"), ("a.cls", b"ant")], '"a.cls" twice'),
        ([("a.png", PNG[0]), ("a.cls", b"")], '"a.cls"'),
        ([("a.png", PNG[0]), ("a.cls", b"\xff\xfe")], '"a.cls"'),
        ([("a.png", PNG[0]), ("a.cls", b"x" * 5000)], "5,000 bytes"),
        ([("a.png", PNG[0]), ("a.json", b"[1]")], "no object"),
        ([("a.png", PNG[0]), ("a.json", b"{")], '"a.json"'),
        ([("a.png", PNG[0]), ("a.json", b"[" * 100_000)], "nested"),
        ([("a.png", PNG[0]), ("a.json", b" " * (2**20 + 1))], "1,048,577 bytes"),
        ([("a.png", PNG[0]), ("a.json", json.dumps({str(i): i for i in range(1001)}).encode())], "1,000 keys"),
        ([("a.png", PNG[0])], "have no labels"),
        ([("readme.md", b"x")], "no images: .md 1"),
        ([], "no members"),
        ([("a.png", PNG[0]), ("a.cls", b"ant"), ("b.png", PNG[1])], 'sample "x.tar/b"'),
        ([("a.png", b""), ("a.cls", b"ant")], 'damaged image'),
        ([("a.png", PNG[0][:50]), ("a.cls", b"ant")], 'sample "x.tar/a"'),
    ],
)  # fmt: skip
def test_samples_that_are_refused(tmp_path: Path, members: list[tuple[str, bytes]], words: str) -> None:
    assert words in refusal(shard(tmp_path / "x.tar", members))


def test_labels_are_not_needed_everywhere(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [("a.png", PNG[0]), ("b.png", PNG[1])])
    assert opened(path, labelled=False).ids == ["x.tar/a", "x.tar/b"]


def test_names_of_every_kind_are_read_and_lead_nowhere(tmp_path: Path) -> None:
    names = ["../../up", "/etc/passwd", "a\udcff", "line\nbreak", "x" * 200]
    before = sorted(tmp_path.parent.rglob("*"))
    images = opened(shard(tmp_path / "x.tar", samples(*names)))
    assert images.ids == [
        "x.tar/../../up",
        "x.tar//etc/passwd",
        "x.tar/a\\xff",
        "x.tar/line\nbreak",
        f"x.tar/{names[-1]}",
    ]
    assert sorted(tmp_path.parent.rglob("*")) == sorted([*before, tmp_path / "x.tar"])


# The index


def count_indexed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards that are indexed from now on."""
    seen: list[str] = []
    add = index.Samples.add
    monkeypatch.setattr(
        index.Samples, "add", lambda self, number, path, name: (seen.append(path), add(self, number, path, name))
    )
    return seen


def test_an_index_is_made_once_and_says_the_same(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shard(tmp_path / "x.tar", [*samples("a", "b", "c"), ("a.json", b'{"site": 4}'), ("x.npy", b"")])
    seen, logs = count_indexed(monkeypatch), [Log(), Log()]
    first, second = (opened(f"{path}?group=cls", log=log, cache=cache) for log in logs)
    assert seen == [str(path)] and logs[0].warnings == logs[1].warnings and len(logs[0].warnings) == 1
    assert first.fingerprint == second.fingerprint and first.ids == second.ids
    assert first.column.same_as(second.column)
    assert opened(f"{path}?where=site:4", cache=cache).ids == ["x.tar/a"] and len(seen) == 1


def test_a_changed_shard_is_indexed_anew(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same size and with the same time: the system's own time of the change tells."""
    path = shard(tmp_path / "x.tar", samples("a", "b"))
    assert labels(opened(path, cache=cache)) == ["ant", "bee"]
    status = path.stat()
    content = path.read_bytes().replace(b"ant", b"cat")
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and path.stat().st_mtime_ns == status.st_mtime_ns
    assert labels(opened(path, cache=cache)) == ["cat", "bee"]


def test_a_shard_that_changes_while_it_is_used_gives_no_other_image(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples("a", "b"))
    images = opened(path)
    shard(path, samples("b", "a"))
    with pytest.raises(RunError, match="its shard has changed"):
        images.image(0)
    path.unlink()
    with pytest.raises(RunError, match="its shard cannot be read: No such file"):
        images.image(0)


def test_images_can_be_sent_to_another_process(tmp_path: Path) -> None:
    column = opened(shard(tmp_path / "x.tar", samples("a", "b"))).column
    assert bytes(pickle.loads(pickle.dumps(column)).content(1)) == PNG[1]


def test_sets_of_one_command_share_the_images(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples("a", "b"))
    one, two = opened(path), opened(f"{path}?where=cls:bee")
    assert one.column.same_as(two.column) and not one.column.same_as(opened(f"{path}?split=[1:]").column)


def test_a_part_of_a_split_keeps_its_images(tmp_path: Path) -> None:
    part = opened(f"{shard(tmp_path / 'x.tar', samples(*'abcd'))}?split=[2:4]")
    assert part.ids == ["x.tar/c", "x.tar/d"] and bytes(part.column.content(0)) == PNG[2]


def test_many_images_are_read_by_forked_processes(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"ant": 600, "bee": 600})
    path = shard(tmp_path / "x.tar", of_folder(root))
    assert opened(path).fingerprint == opened(root).fingerprint
