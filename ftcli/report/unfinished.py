"""The folder of a run that is not finished: held by one process, gone on with by the same request only."""

import fcntl
import json
import os
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
from ftcli.files import make, sweep, write_whole
from ftcli.model.load import Loaded
from ftcli.processes import typed
from ftcli.report.folder import REPORT, claim
from ftcli.report.read import read_report
from ftcli.report.show import Answer, report_answer

STATE, REQUEST, LOCK = "state", "request.json", ".lock"
FREE = ("out", "overwrite", "resume", "config", "preset", "json", "quiet", "debug", "workers", "save_every", "no_cache")
MINUTE = 60.0


def finished(config: Lasting) -> Answer | None:
    """The report that is there, where --resume asks for it."""
    if config.resume and config.out and (config.out / REPORT).exists():
        return report_answer(read_report(config.out), config.out)
    return None


def request_of(config: Lasting, task: Task, loaded: Sequence[Loaded]) -> dict[str, Any]:
    """Everything that the result of a command depends on, as far as the request and its files say it."""
    train = {"train": task.train} if task.train else {}
    code = sha256(config.import_.read_bytes()).hexdigest() if config.import_ else None
    return {
        "command": type(config).__name__.lower(),
        "version": __version__,
        "options": {name: value for name, value in resolved(config).items() if name not in FREE},
        "data": {name: data.fingerprint for name, data in {**train, **task.sets()}.items()},
        "weights": [one.checkpoint.sha256 if one.checkpoint else None for one in loaded],
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
    with (folder / LOCK).open("a+") as lock:
        take(lock.fileno(), folder)
        sweep(folder)
        sweep(folder / STATE)
        try:
            claim(folder, request["command"], config.overwrite)  # another one may have finished since the first look
            same_request(folder, request, config.overwrite)
            machine.meet()
            with journal.listening():
                yield journal
        except Unusable:
            raise
        except BaseException as error:
            saved = any((folder / STATE).glob("*.safetensors"))
            failed = isinstance(error, FtcliError) and not isinstance(error, Hindered)
            if failed or not saved:
                forget(folder, new)
            raise
        forget(folder, False)


def take(lock: int, folder: Path) -> None:
    """Lock the folder for as long as this process lives, however it ends; say who is there in it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
            raise FileNotFoundError  # its last holder has removed it just now, and the next has made a new one
    except (BlockingIOError, FileNotFoundError):
        holder = (folder / LOCK).read_text().strip() if (folder / LOCK).exists() else ""
        holder = holder or "another one"
        raise RequestError(
            f"--out {str(folder)!r} is in use by process {holder}.", "wait for it, or name another folder"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())


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
        found = json.loads(place.read_text(encoding="utf-8"))
        return found if all(isinstance(found[part], dict) for part in ("options", "data")) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two requests differ, in words; empty where there is none."""
    if not before:
        return "a request that cannot be read"
    for name in ("command", "version"):
        if before.get(name) != now[name]:
            return f"{name} {before.get(name)}, and this one has {now[name]}"
    for name in ("weights", "imported code"):
        if before.get(name) != now[name]:
            return f"other {name}"
    for part in ("options", "data"):
        old, new = before[part], now[part]
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                if part == "data":
                    return f"other pictures in {name}"
                return f"--{name.replace('_', '-')} {old.get(name)}, and this one has {new.get(name)}"
    return ""


def forget(folder: Path, whole: bool) -> None:
    """Remove the state and the lock; `whole`: the folder too, where nothing else is in it."""
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)
    if whole:
        with suppress(OSError):
            folder.rmdir()


def again(folder: Path) -> str:
    """The words that go on with this command."""
    words = list(typed.get())
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join(["ftcli", *words, *([] if named else ["--out", str(folder)])])
