"""The folder of a run that is not finished: locked by one process, resumed by the same request only."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from ftcli.config.shared import Resumable
from ftcli.config.training import Training
from ftcli.engine.device import Machine
from ftcli.engine.resume.checkpointer import Checkpointer, Unusable
from ftcli.errors import FtcliError, ResourceLimit, SourceUnavailable, Stopped
from ftcli.files import make_folder, remove_partial_files, write_atomically
from ftcli.log import Log
from ftcli.run_folder.folder import check_not_finished, make_output_folder, resume_command
from ftcli.run_folder.history import growing_path, history_written
from ftcli.run_folder.lock import LOCK, locked
from ftcli.run_folder.names import REQUEST, STATE, TENSORBOARD, TRACKER_FILES
from ftcli.run_folder.request import Request, difference, read_request

MINUTE = 60.0


@contextmanager
def resumable_run(
    folder: Path, request: Request, config: Resumable, machine: Machine, log: Log
) -> Iterator[tuple[Path, Checkpointer]]:
    """Make and lock the output folder, and resume from the state in it where that is one of this request.

    Gives the folder, which has another name than `folder` where --out is not given and another command has taken that
    name, and the checkpointer of its state. The state is removed at the end of the work and after an error that would
    come again; it stays after an interruption, a ResourceLimit and where data
    behind a URL do not come any more. Of several processes the first locks the folder.

    Raises RequestError where another process works in the folder, Unusable where the state is of another request.
    """
    new, has_history = config.out is None or not folder.exists(), isinstance(config, Training)
    if not machine.rank:
        folder = make_output_folder(folder, config.out)
    checkpointer = Checkpointer(
        folder / STATE, config.save_every * MINUTE, resume_command(folder), machine.rank, machine.processes
    )
    if machine.rank:
        machine.wait_for_all()  # until the first process has checked the folder
        yield folder, checkpointer
        return
    with locked(folder, log):
        try:
            check_not_finished(folder, config.overwrite)  # another command may have finished since the first check
            remove_partial_files(folder)
            remove_partial_files(folder / STATE)
            check_same_request(folder, request, config.overwrite)
            machine.wait_for_all()
            with checkpointer.handling_signals(), history_written(folder, log) if has_history else nullcontext():
                yield folder, checkpointer
        except Unusable:
            (folder / LOCK).unlink(missing_ok=True)  # of this process, in the folder of another run
            raise
        except BaseException as error:
            limit = isinstance(error, ResourceLimit)
            if limit and checkpointer.exit_code is not None:  # the signal to this process has killed a worker too
                raise Stopped("interrupted.", checkpointer.resume_command, checkpointer.exit_code) from error
            saved = any((folder / STATE).glob("*.safetensors"))
            if saved and isinstance(error, ResourceLimit | SourceUnavailable):
                error.fix += f"; what is saved goes on with: {checkpointer.resume_command}"
            elif not saved or isinstance(error, FtcliError):
                remove_state(folder, folder_too=new, history_too=has_history)
            raise
        remove_state(folder)


def check_same_request(folder: Path, request: Request, overwrite: bool) -> None:
    """Save the request of a new state. Raises Unusable where the state is of another request, without `overwrite`."""
    path = folder / STATE / REQUEST
    if path.is_file() or any(path.parent.glob("*.safetensors")):
        other = difference(read_request(path), request)
        if not other:
            return
        if not overwrite:
            raise Unusable(
                f"--out {str(folder)!r} holds an unfinished run with {other}.",
                "--overwrite to begin anew, or another --out",
            )
        shutil.rmtree(folder / STATE)
    remove_events(folder)
    make_folder(path.parent)
    write_atomically(path, lambda path: path.write_text(json.dumps(request.to_dict()), encoding="utf-8"))


def remove_state(folder: Path, *, folder_too: bool = False, history_too: bool = False) -> None:
    """Remove the state and the lock; of a run that failed also its history, and with `folder_too` the folder, where
    nothing else is in it.
    """
    if history_too:
        growing_path(folder).unlink(missing_ok=True)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)
    if folder_too:
        with suppress(OSError):
            folder.rmdir()


def remove_events(folder: Path) -> None:
    """Remove the event files for TensorBoard of a run that is replaced: its curves would be shown with the new ones."""
    events = folder / TRACKER_FILES / TENSORBOARD
    if not (events.parent.is_symlink() or events.is_symlink()):
        for path in events.glob("*/events.out.tfevents.*"):
            path.unlink(missing_ok=True)
