"""Every kind of data behind a URL: the images and labels of the same files on this machine."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.specs.parse import parse
from ftcli.data.storage import remote, retries
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.pictures import encoded, folder, picture
from tests.helpers.served import Served, serving

N = 6


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The same images as a folder and as a table, list, shards and array of each kind."""
    root = folder(tmp_path, {"ant": 3, "bee": 3})
    paths = [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(3)]
    rows = [(path, path[:3]) for path in paths]
    (root / "t.csv").write_text("image,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    (root / "t.tsv").write_text("image\tlabel\n" + "".join(f"{path}\t{label}\n" for path, label in rows))
    (root / "t.jsonl").write_text("".join(json.dumps({"image": path, "label": label}) + "\n" for path, label in rows))
    (root / "t.txt").write_text("".join(f"{path} {label}\n" for path, label in rows))
    for shard in range(2):
        with tarfile.open(root / f"s-{shard}.tar", "w") as archive:
            for i in range(shard * 3, shard * 3 + 3):
                for ending, content in (("png", (root / paths[i]).read_bytes()), ("cls", rows[i][1].encode())):
                    member = tarfile.TarInfo(f"{i:03d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    np.save(root / "a.npy", np.stack([np.asarray(picture(i)) for i in range(N)]))
    np.save(root / "labels.npy", np.repeat([0, 1], 3))
    with (
        serving(root) as server,
        mock.patch.object(retries, "PAUSES", (0.05,)),
        mock.patch.object(remote, "STORAGE", remote.RemoteStorage()),
    ):
        yield server


def opened(text: str) -> ImageSet:
    return open_images(parse(text), Log())


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.txt", "s-{0..1}.tar", "a.npy?labels=labels.npy"])
def test_every_kind_behind_a_web_server(name: str, served: Served) -> None:
    there, here = opened(f"{served.url}/{name}"), opened(f"{served.folder}/{name}")
    assert there.fingerprint == here.fingerprint and there.ids == here.ids and there.classes == here.classes
    assert there.column.remote and not here.column.remote and len(there) == N
    if not name.endswith((".npy", "labels.npy")):
        assert there.digests == opened(str(served.folder)).digests


@pytest.mark.parametrize("name", ["t.csv", "s-0.tar", "a.npy?labels=labels.npy"])
def test_what_is_not_there(name: str, served: Served) -> None:
    base, mark, settings = name.partition("?")
    with pytest.raises(RequestError):
        opened(f"{served.url}/none-{base}{mark}{settings}")
    served.stop()
    with pytest.raises(RequestError, match="went away"):
        opened(f"{served.url}/{name}")


def test_a_query_is_in_no_id(served: Served) -> None:
    there = opened(f"{served.url}/s-0.tar%3Fsig%3Dhunter2")
    assert there.ids == opened(f"{served.folder}/s-0.tar").ids and "hunter2" not in "".join([*there.ids, there.spec])
    assert encoded(picture(0)) == bytes(there.column.content(0))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt", "t.parquet"])
def test_images_behind_a_url_of_a_table_on_this_machine(name: str, served: Served, tmp_path: Path) -> None:
    table = csv.read_csv(served.folder / "t.csv")
    pq.write_table(table, served.folder / "t.parquet")
    (tmp_path / name).write_bytes((served.folder / name).read_bytes())
    there = opened(f"{tmp_path}/{name}?root={served.url}")
    assert there.column.remote and there.fingerprint == opened(f"{served.folder}/t.csv").fingerprint


@pytest.mark.parametrize("name", ["s-{0..1}.tar", "a.npy", "ant"])
def test_a_root_is_that_of_a_table(name: str, served: Served) -> None:
    for place in (served.url, served.folder):
        with pytest.raises(RequestError, match="has a root, and is no table") as error:
            opened(f"{place}/{name}?root=elsewhere")
        assert error.value.fix == "leave root= out"


def test_messages_say_why_in_words(served: Served) -> None:
    for name in ("none.npy", "none.csv"):
        with pytest.raises(RequestError) as error:
            opened(f"{served.url}/{name}")
        assert error.value.problem == f'"{served.url}/{name}" cannot be read: there is no such file'
