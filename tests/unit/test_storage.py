"""Files of a set wherever they lie: whole, by ranges of bytes, as a stream."""

import os
from pathlib import Path

import pytest

from ftcli.data.storage.storage import join, parent, storage_of


def test_local_files(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(bytes(range(256)))
    storage = storage_of(str(file))
    assert storage.is_file(str(file)) and not storage.is_file(str(tmp_path))
    assert storage.size(str(file)) == 256
    assert storage.read(str(file)) == bytes(range(256))
    assert storage.read(str(file), 250) == bytes(range(250, 256))
    assert storage.read(str(file), 3, 7) == bytes([3, 4, 5, 6])
    with storage.open(str(file)) as opened:
        opened.seek(10)
        assert opened.read(2) == bytes([10, 11])
    assert storage.glob(str(tmp_path / "*.bin")) == [str(file)]


def test_a_range_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    with pytest.raises(OSError, match="ends before byte 5"):
        storage_of(str(file)).read(str(file), 1, 5)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        storage_of("x").open(str(tmp_path / "pipe"))


def test_folders_of_paths_and_urls() -> None:
    assert parent("https://host/a/b.csv") == "https://host/a" and parent("b.csv") == "." and parent("/b.csv") == "/"
    assert join(parent("https://host/a/b.csv"), "c d.jpg") == "https://host/a/c d.jpg"
    assert join(parent("/b.csv"), "c.jpg") == "/c.jpg"
