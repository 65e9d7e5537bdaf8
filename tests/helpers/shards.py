"""Tar archives for the tests of shards, written by Python's own `tarfile`."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

Members = Iterable[tuple[str, bytes]]


def shard(path: Path, members: Members, format: int = tarfile.GNU_FORMAT) -> Path:
    """An archive of regular files, by name and content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def of_folder(root: Path) -> list[tuple[str, bytes]]:
    """The members of an image folder in its order, each image with its class in a .cls member."""
    members = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for image in sorted(folder.iterdir()):
            name = f"{folder.name}/{image.stem}"
            members += [(f"{name}{image.suffix}", image.read_bytes()), (f"{name}.cls", folder.name.encode())]
    return members
