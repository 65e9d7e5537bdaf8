"""The folder of a run that is not finished: held by one process, gone on with by the same request only."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from msgspec import UNSET

from ftcli.config import Resumable
from ftcli.console.answer import Answer, report_answer
from ftcli.engine.device import Machine
from ftcli.engine.resume.checkpointer import Checkpointer, Unusable
from ftcli.errors import FtcliError, RequestError, ResourceLimit, Stopped
from ftcli.files import make, sweep, write_whole
from ftcli.log import Log
from ftcli.processes import command_line
from ftcli.report.read import read_report
from ftcli.report.types import Report
from ftcli.run_folder.folder import REPORT, STATE, check_not_finished, made
from ftcli.run_folder.lock import LOCK, locked
from ftcli.run_folder.request import (
    command_of,
    difference,
    digest_of,
    options_of,
    other_classes,
    other_options,
    read_request,
)

REQUEST = "request.json"
MINUTE = 60.0


def finished(config: Resumable) -> Report | None:
    """The report that is there, where --resume asks for it. Raises RequestError where it is one of other options."""
    if not (config.resume and config.out and (config.out / REPORT).exists()):
        return None
    report = read_report(config.out)
    if report.command != command_of(config):
        refuse(config, f"command {report['command']}, and this one has {command_of(config)}")
    if other := other_options(report.config, options_of(config)):
        refuse(config, other)
    return report


def shown(report: Report, request: Mapping[str, Any], config: Resumable) -> Answer:
    """A finished run's report. Raises RequestError where what its options name does not hold what it held then."""
    assert config.out is not None
    if report.request is UNSET:
        refuse(config, "no digest of its data")
    if report.request != digest_of(request):
        classes = other_classes(report.data.classes, request["classes"])
        refuse(config, classes or "other data, model or imported code under the same names")
    return report_answer(report, config.out)


def refuse(config: Resumable, other: str) -> NoReturn:
    raise RequestError(
        f"--out {str(config.out)!r} holds a finished run with {other}.",
        f"name another folder; ftcli report {config.out} shows what is there",
    )


@contextmanager
def held(
    folder: Path, request: Mapping[str, Any], config: Resumable, machine: Machine, log: Log
) -> Iterator[tuple[Path, Checkpointer]]:
    """Inside, this command alone works in the folder, and what it saves there is a state of this request.

    Gives the folder, of another name than `folder` where nobody has named it and another command was first.

    The state is removed when the work is done, and where it has failed for good. It stays where somebody stopped the
    work, and where memory, disk or machine did. Of several processes the first one holds the folder.

    Raises RequestError where another process works there, or where the state is that of another request.
    """
    new = config.out is None or not folder.exists()
    if not machine.rank:
        folder = made(folder, config.out)
    checkpointer = Checkpointer(
        folder / STATE, config.save_every * MINUTE, again(folder), machine.rank, machine.processes
    )
    if machine.rank:
        machine.meet()  # the first one has seen to the folder
        yield folder, checkpointer
        return
    with locked(folder, log):
        try:
            check_not_finished(folder, config.overwrite)  # another one may have finished since the first look
            sweep(folder)
            sweep(folder / STATE)
            same_request(folder, request, config.overwrite)
            machine.meet()
            with checkpointer.listening():
                yield folder, checkpointer
        except Unusable:
            raise
        except BaseException as error:
            if (
                isinstance(error, ResourceLimit) and checkpointer.stop is not None
            ):  # what stopped this process killed another
                raise Stopped("interrupted.", checkpointer.again, checkpointer.stop) from error
            saved = any((folder / STATE).glob("*.safetensors"))
            if not saved or (isinstance(error, FtcliError) and not isinstance(error, ResourceLimit)):
                forget(folder, folder_too=new)
            elif isinstance(error, ResourceLimit):
                error.fix += f"; what is saved goes on with: {checkpointer.again}"
            raise
        forget(folder)


def same_request(folder: Path, request: Mapping[str, Any], overwrite: bool) -> None:
    """Note the request beside its state. Raises Unusable where the state there is another one's; `overwrite`: that
    is removed then.
    """
    place = folder / STATE / REQUEST
    if place.is_file() or any(place.parent.glob("*.safetensors")):
        other = difference(read_request(place), request)
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


def forget(folder: Path, *, folder_too: bool = False) -> None:
    """Remove the state and the lock, and perhaps the folder, where nothing else is in it."""
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)
    if folder_too:
        with suppress(OSError):
            folder.rmdir()


def again(folder: Path) -> str:
    """The words that go on with this command."""
    words = list(command_line.get())
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join(["ftcli", *words, *([] if named else ["--out", str(folder)])])
