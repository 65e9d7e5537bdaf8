"""Where the data of a preset lies: `{root}` in its SPECs, and the files that must be below it."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ftcli.data.specs.escape import escape
from ftcli.errors import DataNotHere, RequestError
from ftcli.presets import read_preset
from ftcli.safe_text import listed, quoted

ROOT = "{root}"
SETS = ("train", "id_val", "id_test", "ood")  # options that name sets of images
# At the beginning of a SPEC, with NAME= before it or not, and of its setting root=; the path goes on to the next mark.
PLACE = re.compile(r"(?P<before>^(?:[^/=?&{}]+=)?|[?&]root=)\{root\}(?P<path>[^?&]*)")


def at_root(values: Mapping[str, Any], of_file: object = None) -> dict[str, Any]:
    """A command's options with `--root` in the place of `{root}`. of_file: the root that a `--config` file gives.

    Raises:
        RequestError: there is no `--root`, or a file that the SPECs name is not below it, or the SPECs are a report's,
            which has another root in them already.
    """
    specs = [text for name in SETS for text in _texts(values.get(name)) if paths_below(text)]
    preset, root = values.get("preset"), values.get("root")
    if not specs:
        if of_file is not None and os.path.abspath(str(root)) != os.path.abspath(str(of_file)):
            raise RequestError(
                f"--root {root} changes nothing: the SPECs of the file are below its own root, {quoted(str(of_file))}.",
                "leave --root out, or give the sets again: a report has them with its own root",
            )
        return dict(values)
    files = read_preset(preset).get("files", []) if preset else []
    paths = [path for text in specs for path in _needed(text, files)]
    if root is None:
        raise _no_root(preset, paths)
    if "://" not in root:
        check_there(preset, root, paths, files)
    return {name: _placed(value, root) if name in SETS else value for name, value in values.items()}


def put_root(text: str, root: str) -> str:
    """A SPEC, or NAME=SPEC, with a folder in the place of `{root}`."""
    folder = escape(root).rstrip("/")
    return PLACE.sub(lambda found: found["before"] + (folder + found["path"] or "/"), text)


def paths_below(text: str) -> list[str]:
    """The paths below `{root}` that a SPEC, or NAME=SPEC, names; "" for the folder itself."""
    return [unquote(found["path"]).strip("/") for found in PLACE.finditer(text)]


def file_of(path: str, files: list[dict[str, str]]) -> dict[str, str] | None:
    """The entry among the files of a preset that a path below the root is, or lies in."""
    return next((file for file in files if f"{path}/".startswith(f"{file['path']}/")), None)


def _needed(text: str, files: list[dict[str, str]]) -> list[str]:
    """The paths below the root that must be there for a SPEC; a class of torchvision does not name its own."""
    of_class = [file["path"] for file in files if f"torchvision:{file.get('torchvision')}?" in text]
    return of_class or paths_below(text)


def _texts(value: Any) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _placed(value: Any, root: str) -> Any:
    if isinstance(value, list):
        return [_placed(part, root) for part in value]
    return put_root(value, root) if isinstance(value, str) else value


def _no_root(preset: str | None, paths: list[str]) -> RequestError:
    """The error where nobody says where the data lies."""
    named = sorted({path.split("/")[0] for path in paths} - {""})
    holds = f", the folder that holds {listed(named)}" if named else ""
    if preset is None:
        return RequestError(f"{ROOT} in a SPEC stands for --root, which is not given.", f"add --root DIR{holds}")
    return DataNotHere(
        f"--preset {preset} needs data, and nothing says where it is.",
        f"add --root DIR{holds}; `ftcli presets {preset}` shows what has to be there and where to get it",
    )


def check_there(preset: str | None, root: str, paths: list[str], files: list[dict[str, str]]) -> None:
    """Raises RequestError for a path that is not below the root; it says what a preset expects there."""
    missing = [path for path in dict.fromkeys(paths) if not os.path.exists(os.path.join(root, path))]
    if not missing:
        return
    file = file_of(missing[0], files)
    what = f": {file['what']}" if file else ""
    more = f"; nor are there {listed(missing[1:])}" if len(missing) > 1 else ""
    see = f"; `ftcli presets {preset} --root {root} --check` checks all of it" if preset else ""
    raise DataNotHere(
        f"there is no {quoted(os.path.join(root, missing[0]))}{what}{more}",
        (file["get"] if file else "check --root") + see,
    )
