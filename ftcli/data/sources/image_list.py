"""Images named on the command line: one data SPEC, or files, folders, patterns and a list on stdin, which become one
set of image files.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from glob import has_magic
from pathlib import Path

from ftcli.cache.cache import Cache
from ftcli.data.rows import Rows, as_text, file_rows
from ftcli.data.sources.image_files import contents_of, count_endings, is_image
from ftcli.data.sources.source import Source, open_source
from ftcli.data.sources.walk import matching
from ftcli.data.specs.kinds import PATH
from ftcli.data.specs.parse import SETTINGS, parse
from ftcli.data.specs.spec import Spec
from ftcli.data.storage.storage import is_url
from ftcli.errors import RequestError
from ftcli.limits import MAX_PATH_LIST_BYTES
from ftcli.log import Log
from ftcli.processes import process_count
from ftcli.safe_text import counted, quoted, redacted

STDIN = "-"
STDIN_NAME = "the list on stdin"
IN_SPEC = re.compile(rf"\?(?:[a-z-]+=|(?:{'|'.join(SETTINGS)})(?:&|$))")  # the ? of settings; any other is a wildcard
SPECIAL = re.compile(r"[*\[?%]")  # what means something else in a SPEC, or a pattern, than in the name of a file
SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")
ALONE = "a table, a URL and a data SPEC with a kind or settings stand alone; else name images, folders and patterns"


def open_arguments(arguments: Sequence[str], log: Log, cache: Cache | None = None) -> Source:
    """The set that one or more arguments name, without labels.

    One argument is a data SPEC, unless it is `-` or a pattern. Otherwise each argument is an image file, a folder of
    images, a pattern or `-` (one path per line on stdin); the images are in the order of the arguments, those of a
    folder or a pattern sorted, and an image that is named twice is there twice. Their ids are their paths as typed.

    Raises:
        RequestError: a file is not there or is no image, a pattern matches none, or the SPEC cannot be opened.
    """
    if len(arguments) == 1 and not _is_list(arguments[0]):
        text = arguments[0]
        spec = Spec(text, PATH, text) if SPECIAL.search(text) and os.path.exists(text) else parse(text)
        return open_source(spec, log, labelled=False, cache=cache)
    if arguments.count(STDIN) > 1:
        raise RequestError(f"{STDIN} is typed {arguments.count(STDIN)} times, and there is one stdin", "type it once")
    paths = [path for argument in arguments for path in _paths(argument, log)]
    first = STDIN_NAME if arguments[0] == STDIN else arguments[0]
    name = first if len(arguments) == 1 else f"{first} and {len(arguments) - 1:,} more"
    return Source(Spec(name, PATH, arguments[0]), {"images": partial(_rows, paths)})


def _rows(paths: list[str]) -> Rows:
    """Images in the order of their paths, which are their ids too."""
    return replace(file_rows(paths, Path()), ids=[as_text(path) for path in paths])


def _is_list(argument: str) -> bool:
    """Whether an argument that stands alone is `-` or a pattern of images, and no SPEC."""
    return argument == STDIN or (_is_pattern(argument) and not SCHEME.match(argument) and _may_match_images(argument))


def _is_pattern(argument: str) -> bool:
    """Whether an argument is a pattern that no shell has replaced by the files that match it."""
    return has_magic(argument) and not IN_SPEC.search(argument) and not os.path.lexists(argument)


def _may_match_images(pattern: str) -> bool:
    """Whether a pattern has the ending of an image, or leaves it open; another ending is a matter of the SPEC."""
    ending = os.path.splitext(pattern)[1]
    return not ending or has_magic(ending) or is_image(pattern)


def _paths(argument: str, log: Log) -> list[str]:
    """The image files that one argument names."""
    if argument == STDIN:
        return list(_listed())
    if is_url(argument):
        raise RequestError(f"{quoted(redacted(argument))} is a URL beside other arguments", ALONE)
    if _is_pattern(argument):
        return _matched(argument, log)
    if not stat.S_ISDIR(_mode(argument, "", ALONE)):
        return [_image(argument, "", ALONE)]
    contents = contents_of(argument)
    if not contents.images:
        raise RequestError(f"the folder {quoted(argument)} holds no images", ALONE)
    _warn_left_out(f"of {quoted(argument)}", contents.others, log)
    return contents.images


def _matched(pattern: str, log: Log) -> list[str]:
    """The images that a pattern matches; other files are left out with a warning, and folders without."""
    matches = matching(pattern)
    files = [path for path in matches if not os.path.isdir(path)]
    images = [path for path in files if is_image(path)]
    if not images:
        found = f"; it matches {counted(len(matches), 'file or folder', 'files and folders')}" if matches else ""
        inside = f", as in {pattern.rstrip('/')}/**" if len(matches) > len(files) else ""
        fix = f"check the pattern; ** stands for any number of folders{inside}"
        raise RequestError(f"no image matches {quoted(pattern)}{found}", fix)
    _warn_left_out(f"of what matches {quoted(pattern)}", sorted({*files}.difference(images)), log)
    return images


def _listed() -> Iterator[str]:
    """The paths on stdin, one per line, in UTF-8; blank lines and a byte order mark are skipped."""
    if process_count() > 1:
        raise RequestError(f"{process_count()} processes cannot all read stdin", "name the images as arguments")
    content = sys.stdin.buffer.read(MAX_PATH_LIST_BYTES + 1)
    if len(content) > MAX_PATH_LIST_BYTES:
        raise RequestError(f"{STDIN_NAME} has more than {MAX_PATH_LIST_BYTES:,} bytes", "predict it in parts")
    fix = "write one path of an image per line, in UTF-8"
    if b"\0" in content:
        raise RequestError(f"{STDIN_NAME} holds zero bytes, which no path has", fix)
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    paths = {number: line for number, line in enumerate(lines, 1) if line.strip()}
    if not paths:
        raise RequestError(f"{STDIN_NAME} names no image", fix)
    for number, line in paths.items():
        yield _image(os.fsdecode(line.removesuffix(b"\r")), f"line {number:,} of {STDIN_NAME}: ", fix)


def _image(path: str, where: str, fix: str) -> str:
    """The path, if it is one of an image file, by its ending or by its content.

    where: what a message begins with. Raises RequestError where it is not.
    """
    if stat.S_ISDIR(_mode(path, where, fix)):
        raise RequestError(f"{where}{quoted(as_text(path))} is a folder", fix)
    if not is_image(path):
        raise RequestError(f"{where}{quoted(as_text(path))} is no image", fix)
    return path


def _mode(path: str, where: str, fix: str) -> int:
    """What kind of file there is. Raises RequestError where there is none, or it cannot be reached."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        raise RequestError(f"{where}there is no file {quoted(as_text(path))}", fix) from None
    except OSError as error:
        raise RequestError(f"{where}{quoted(as_text(path))} cannot be read: {error.strerror}", fix) from error


def _warn_left_out(which: str, files: list[str], log: Log) -> None:
    """Warn of files that are no images."""
    if files:
        count = counted(len(files), "file is no image", "files are no images")
        log.warn("files-left-out", f"{which}, {count}, left out: {count_endings(files)}")
