"""One command in a child of its own, watched: how it ends, what it takes, and whatever it writes, runs or opens.

A server imports the program and its libraries once and forks for each command, so that a case costs a fraction of a
second. The child's audit hook (PEP 578) notes what it does from Python; what a library does in C without asking Python
is not seen.
"""

import atexit
import contextlib
import gc
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GB = 10**9
PEAK = 2 * GB  # bytes that a command may take, its libraries included
KILLED_AT = 3 * GB  # bytes at which a child is stopped before it takes the machine
LARGEST_FILE = GB  # bytes; a child cannot fill the disk
SHOWN = 4_000_000  # bytes kept of what a child prints
WAITING = 6  # seconds by the clock for each that a child may work
LOOK = 20  # milliseconds between two looks at a child's memory
CALM = {
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "0",
    "HF_HUB_OFFLINE": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "datasets",
    "pyarrow.parquet",
    "safetensors.torch",
    "sklearn",
    "msgspec.json",
)

CHANGING = {  # audit event -> where its arguments hold paths, and where the folder handle of each
    "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.mkdir": ((0, 2),), "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),), "os.chown": ((0, 3),), "os.utime": ((0, 3),), "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),), "os.symlink": ((1, 2),), "sqlite3.connect": ((0, None),),
}  # fmt: skip
RUNNING = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "webbrowser.open",
    "socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request",
}  # fmt: skip
HARMLESS_CLASSES = ("numpy", "collections", "_codecs")  # modules that an array of numbers needs when it is unpickled
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    `code` is None where the child was killed: over the time limit, or over KILLED_AT bytes; -N where signal N ended
    it. `peak` [bytes] is the child's largest resident set, absolute: about 0.5 GB of it are the libraries. `written`
    holds the paths opened for writing, made, renamed or removed outside the allowed folders, `ran` the events that
    would run or reach something foreign, `read` the paths opened for reading from Python.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    peak: int
    written: tuple[str, ...]
    ran: tuple[str, ...]
    read: tuple[str, ...]

    def faults(self, codes: Iterable[int] = (0, 1, 2)) -> list[str]:
        """Everything that no command may do, whatever it is given; empty where all is well."""
        shown, found = self.stdout + self.stderr, []
        if self.code is None:
            found.append(f"killed after {self.seconds:.1f} s and {self.peak / GB:.1f} GB")
        elif self.code not in codes:
            found.append(f"exit {self.code}")
        if self.peak > PEAK:
            found.append(f"{self.peak / GB:.1f} GB")
        if "Traceback (most recent call last)" in shown:
            found.append("traceback")
        if painting := sorted({sign for sign in shown if sign not in "\n\t" and unicodedata.category(sign) == "Cc"}):
            found.append(f"control characters {painting}")
        if self.code and not self.stderr.strip():
            found.append("ends without a word")
        return found + [f"wrote {path}" for path in self.written] + [f"ran {event}" for event in self.ran]


def watched(words: Sequence[Any], allowed: Iterable[Path | str] = (), limit: float = 10.0) -> Outcome:
    """Run `ftcli WORDS…`, which may write below `allowed`, its own cache and its own temporary folder.

    It is killed after `limit` seconds of work, or WAITING times as many by the clock: other programs may keep it from
    its work, and it may hang without any. It starts in an empty folder: paths in `words` must be absolute.
    """
    answer = server()(words=[str(word) for word in words], allowed=[str(path) for path in allowed], limit=limit)
    events: dict[str, list[str]] = answer.pop("events")
    once = {kind: tuple(dict.fromkeys(lines)) for kind, lines in events.items()}
    return Outcome(**answer, **once)


@cache
def server() -> Callable[..., dict[str, Any]]:
    """Start the server once; gives a function that sends it one request."""
    process = subprocess.Popen(
        [sys.executable, "-B", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, **CALM, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin and process.stdout
    requests, answers = process.stdin, process.stdout

    def stop() -> None:
        requests.close()  # the server ends with its input
        process.wait()
        answers.close()

    def ask(**request: Any) -> dict[str, Any]:
        print(json.dumps(request), file=requests, flush=True)
        if not (line := answers.readline()):
            raise RuntimeError("the server of the sandbox has ended; its stderr says why")
        return json.loads(line)

    atexit.register(stop)
    return ask


def serve() -> None:
    """Import everything, then fork for each line of stdin and answer with a line on stdout."""
    from ftcli.commands import COMMANDS

    for module in (*LIBRARIES, "ftcli.cli.main", *(row.function.partition(":")[0] for row in COMMANDS.values())):
        import_module(module)
    if threads := [one for one in threading.enumerate() if one is not threading.main_thread()]:
        sys.exit(f"threads run before the fork, whose locks would stay shut in every child: {threads}")
    gc.freeze()  # the collector of a child leaves alone what all share
    for line in sys.stdin:
        request = json.loads(line)
        scratch = Path(tempfile.mkdtemp(prefix="ftcli-sandbox-"))
        try:
            print(json.dumps(case(scratch, **request)), flush=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)  # some libraries complain about their own end


def case(scratch: Path, words: list[str], allowed: list[str], limit: float) -> dict[str, Any]:
    """One command in a forked child, waited for."""
    for name in ("here", "cache", "tmp"):
        (scratch / name).mkdir()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        act(scratch, words, [*allowed, str(scratch / "cache"), str(scratch / "tmp")])
    code, peak = wait(child, limit)
    seconds = time.monotonic() - began
    with contextlib.suppress(ProcessLookupError):  # what it has started must not outlive it
        os.killpg(child, signal.SIGKILL)
    events: dict[str, list[str]] = {"written": [], "ran": [], "read": []}
    for line in (scratch / "events").read_text(errors="replace").splitlines():
        kind, what = json.loads(line)
        events[kind].append(what)
    printed = {name: shown(scratch / name) for name in ("stdout", "stderr")}
    return {"code": code, "seconds": seconds, "peak": peak, "events": events, **printed}


def wait(child: int, limit: float) -> tuple[int | None, int]:
    """(exit code, peak in bytes) of a child; it is killed, and the code is None, when it takes too long or too much."""
    page, tick, killed = resource.getpagesize(), os.sysconf("SC_CLK_TCK"), False
    last = time.monotonic() + WAITING * limit
    with os.fdopen(os.pidfd_open(child), closefd=True) as handle:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        while not killed and not ended.poll(LOOK):
            resident = int(Path(f"/proc/{child}/statm").read_text().split()[1]) * page
            worked = sum(map(int, Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13])) / tick
            if worked > limit or time.monotonic() > last or resident > KILLED_AT:
                os.kill(child, signal.SIGKILL)
                killed = True
    _, status, used = os.wait4(child, 0)
    return None if killed else os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024


def shown(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(SHOWN).decode("utf-8", errors="replace")


def act(scratch: Path, words: list[str], allowed: list[str]) -> None:
    """The child: its own session, folder and streams; then the command, with the hook on. Never returns."""
    code = 70  # of a failure of the sandbox itself
    try:
        os.setsid()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for number, (name, mode) in enumerate({os.devnull: os.O_RDONLY, "stdout": flags, "stderr": flags}.items()):
            os.dup2(os.open(scratch / name, mode), number)
        log = os.open(scratch / "events", flags)
        os.chdir(scratch / "here")
        os.environ |= {"FTCLI_CACHE": str(scratch / "cache"), "TMPDIR": str(scratch / "tmp")}
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        sys.argv = ["ftcli", *words]
        code = command(log, allowed)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def command(log: int, allowed: list[str]) -> int:
    """The command line as the installed script would run it; gives its exit code."""
    from ftcli.cli.main import main

    sys.addaudithook(hook(log, [os.path.realpath(path) for path in (*allowed, os.devnull)]))
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def hook(log: int, allowed: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook: each event that matters becomes a line of `log` at once, so that a killed child has told all."""
    own = [os.path.realpath(path) for path in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, ROOT}]

    def note(kind: str, what: str) -> None:
        os.write(log, (json.dumps([kind, what]) + "\n").encode())

    def changed(path: Any, folder: Any = None, *, follow: bool = False) -> None:
        if isinstance(path, str | bytes | os.PathLike) and not inside(where := real(path, folder, follow), allowed):
            note("written", where)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & WRITING:
                changed(path, follow=True)
            elif isinstance(path, str | bytes | os.PathLike):
                note("read", real(path, None, True))
        elif event in CHANGING:
            for place, handle in CHANGING[event]:
                changed(arguments[place], None if handle is None else arguments[handle])
        elif event in RUNNING or foreign(event, arguments, own):
            note("ran", f"{event} {arguments[:2]!r}"[:500])

    return heard


def foreign(event: str, arguments: tuple[Any, ...], own: list[str]) -> bool:
    """Whether an event runs code that is neither the program's nor an installed library's."""
    if event == "pickle.find_class":
        return str(arguments[0]).partition(".")[0] not in HARMLESS_CLASSES
    if event == "exec":  # every module that is imported comes by here
        name = getattr(arguments[0], "co_filename", "<")
        return not name.startswith("<") and not inside(os.path.realpath(name), own)
    if event in ("ctypes.dlopen", "import"):
        name = arguments[0] if event == "ctypes.dlopen" else arguments[1]
        return isinstance(name, str) and "/" in name and not inside(os.path.realpath(name), own)
    return False


def real(path: Any, folder: Any, follow: bool) -> str:
    """The path without links; of a name that is removed or given away, only the folder it stands in is followed."""
    text = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0:
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    if follow:
        return os.path.realpath(text)
    head, tail = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(head), tail)


def inside(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


if __name__ == "__main__":
    serve()
