"""The folder of a run that is not finished: held by one process, gone on with by the same request only."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ftcli import __version__
from ftcli.config import Lasting, resolved
from ftcli.data.task import Task
from ftcli.engine.device import Machine
from ftcli.engine.state import Journal, Unusable
from ftcli.errors import FtcliError, Hindered, RequestError
from ftcli.files import make, read_json, sweep, write_whole
from ftcli.model.load import Loaded
from ftcli.processes import typed
from ftcli.report.folder import REPORT, STATE, check_not_finished
from ftcli.report.lock import LOCK, locked
from ftcli.report.read import read_report
from ftcli.report.show import Answer, report_answer

REQUEST = "request.json"
FREE = ("out", "overwrite", "resume", "config", "preset", "json", "quiet", "debug", "workers", "save_every", "no_cache")
MINUTE = 60.0


def finished(config: Lasting) -> Answer | None:
    """The report that is there, where --resume asks for it."""
    if not (config.resume and config.out and (config.out / REPORT).exists()):
        return None
    report = read_report(config.out)
    other = difference({"options": report["config"], **report}, {"command": command_of(config), **options_of(config)})
    if other:
        raise RequestError(f"--out {str(config.out)!r} holds a finished run with {other}.", "name another folder")
    return report_answer(report, config.out)


def command_of(config: Lasting) -> str:
    return type(config).__name__.lower()


def options_of(config: Lasting) -> dict[str, Any]:
    """The options on which a result depends, as JSON has them."""
    options = {name: value for name, value in resolved(config).items() if name not in FREE}
    return {"options": json.loads(json.dumps(options))}


def request_of(config: Lasting, task: Task, loaded: Sequence[Loaded]) -> dict[str, Any]:
    """Everything that the result of a command depends on, as far as the request and its files say it."""
    train = {"train": task.train} if task.train else {}
    code = sha256(config.import_.read_bytes()).hexdigest() if config.import_ else None
    return {
        "command": command_of(config),
        "version": __version__,
        **options_of(config),
        "data": {name: data.fingerprint for name, data in {**train, **task.sets()}.items()},
        "weights": [one.checkpoint.sha256 if one.checkpoint else None for one in loaded],
        "description of the weights": [[one.create_args, one.data_config, one.label_names] for one in loaded],
        "imported code": code,
    }


@contextmanager
def held(folder: Path, request: Mapping[str, Any], config: Lasting, machine: Machine) -> Iterator[Journal]:
    """Inside, this command alone works in the folder, and what it saves there is a state of this request.

    The state is removed when the work is done, and where it has failed for good. It stays where somebody stopped the
    work, and where memory, disk or machine did. Of several processes the first one holds the folder.

    Raises RequestError where another process works there, or where the state is that of another request.
    """
    journal = Journal(folder / STATE, config.save_every * MINUTE, again(folder), machine.rank, machine.processes)
    if machine.rank:
        machine.meet()  # the first one has seen to the folder
        yield journal
        return
    new = not folder.exists()
    make(folder)
    with locked(folder):
        try:
            check_not_finished(folder, config.overwrite)  # another one may have finished since the first look
            sweep(folder)
            sweep(folder / STATE)
            same_request(folder, request, config.overwrite)
            machine.meet()
            with journal.listening():
                yield journal
        except Unusable:
            raise
        except BaseException as error:
            saved = any((folder / STATE).glob("*.safetensors"))
            if not saved or (isinstance(error, FtcliError) and not isinstance(error, Hindered)):
                forget(folder, folder_too=new)
            elif isinstance(error, Hindered):
                error.fix += f"; what is saved goes on with: {journal.again}"
            raise
        forget(folder)


def same_request(folder: Path, request: Mapping[str, Any], overwrite: bool) -> None:
    """Note the request beside its state. Raises Unusable where the state there is another one's; `overwrite`: that
    is removed then.
    """
    place = folder / STATE / REQUEST
    if place.is_file() or any(place.parent.glob("*.safetensors")):
        other = difference(read_request(place), json.loads(json.dumps(request)))
        if not other:
            return
        if not overwrite:
            raise Unusable(
                f"--out {str(folder)!r} holds an unfinished run with {other}.",
                "--overwrite to begin anew, or another --out",
            )
        shutil.rmtree(folder / STATE)
    make(place.parent)
    write_whole(place, lambda path: path.write_text(json.dumps(request), encoding="utf-8"))


def read_request(place: Path) -> dict[str, Any]:
    """The request beside a state; empty where it is damaged."""
    try:
        found = read_json(place)
        return found if all(isinstance(found[part], dict) for part in ("options", "data")) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two requests differ, of what `now` names; empty where there is none."""
    if not before:
        return "a request that cannot be read"
    for name in ("command", "version"):
        if name in now and before.get(name) != now[name]:
            return f"{name} {before.get(name)}, and this one has {now[name]}"
    for name in ("weights", "description of the weights", "imported code"):
        if name in now and before.get(name) != now[name]:
            return f"other {name}"
    for name, value in now["options"].items():
        if before["options"].get(name) != value:
            return f"--{name.replace('_', '-')} {before['options'].get(name)}, and this one has {value}"
    for name in {**before["data"], **now["data"]} if "data" in now else ():
        if before["data"].get(name) != now["data"].get(name):
            return f"other pictures in {name}"
    return ""


def forget(folder: Path, *, folder_too: bool = False) -> None:
    """Remove the state and the lock, and perhaps the folder, where nothing else is in it."""
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)
    if folder_too:
        with suppress(OSError):
            folder.rmdir()


def again(folder: Path) -> str:
    """The words that go on with this command."""
    words = list(typed.get())
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join(["ftcli", *words, *([] if named else ["--out", str(folder)])])
