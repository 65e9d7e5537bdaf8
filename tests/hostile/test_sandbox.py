"""The sandbox sees what it is there to see: a command that is made to misbehave is caught at each thing it does."""

from pathlib import Path

import pytest

from tests.helpers.sandbox import GB, Outcome, watched

ACTS = {
    "write": "open('{away}/made', 'w').write('x')",
    "link": "import os; os.symlink('/etc', '{away}/linked')",
    "rename": "import os; os.rename('{away}/there', '{away}/gone')",
    "remove": "import os; os.remove('{away}/there')",
    "remove through a handle": "import os; os.remove('there', dir_fd=os.open('{away}', os.O_RDONLY))",
    "write through a link": "open('{out}/link/made', 'w').write('x')",
    "shell": "import os; os.system('true')",
    "process": "import subprocess; subprocess.run(['true'])",
    "socket": "import socket; socket.create_connection(('127.0.0.1', 9), 0.1)",
    "pickle": "import pickle; pickle.loads(b'cposix\\nsystem\\n.')",
    "module": "import sys; sys.path.insert(0, '{away}'); import foreign",
    "traceback": "import traceback, sys\ntry: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()",
    "paint": "print('\\x1b[2J')",
    "paint in C1": "print('\\x9b2J')",
    "exit": "import os; os._exit(7)",
    "silent": "import os; os._exit(1)",
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "sleep": "import time; time.sleep(60)",
    "memory": "kept = [bytearray(b'x' * 10**8) for _ in range(40)]",
    "memory within the limit": "kept = b'x' * (17 * 10**8)",
}  # fmt: skip
SEEN = {
    "write": "wrote {away}/made", "link": "wrote {away}/linked", "rename": "wrote {away}/there",
    "remove": "wrote {away}/there", "remove through a handle": "wrote {away}/there",
    "write through a link": "wrote {away}/made", "shell": "ran os.system", "process": "ran subprocess.Popen",
    "socket": "ran socket.connect", "pickle": "ran pickle.find_class", "module": "ran exec", "traceback": "traceback",
    "paint": "control characters ['\\x1b']", "paint in C1": "control characters ['\\x9b']", "exit": "exit 7",
    "silent": "ends without a word", "crash": "exit -11", "sleep": "killed after", "memory": "killed after",
    "memory within the limit": " GB",
}  # fmt: skip


def done(tmp_path: Path, act: str) -> Outcome:
    """A command whose `--import` file does this; `out` may be written to and `away` may not."""
    for name in ("out", "away"):
        (tmp_path / name).mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "away")
    (tmp_path / "away/there").write_text("here before")
    (tmp_path / "away/foreign.py").write_text("here = 1")
    code = tmp_path / "code.py"
    code.write_text(act.format(out=tmp_path / "out", away=tmp_path / "away"))
    return watched(
        ["blocks", "test_resnet", "--import", code], [tmp_path / "out"], limit=1.0 if "sleep" in act else 10.0
    )


@pytest.mark.parametrize("name", ACTS)
def test_what_no_command_may_do_is_seen(tmp_path: Path, name: str) -> None:
    sign = SEEN[name].format(away=tmp_path / "away")
    faults = done(tmp_path, ACTS[name]).faults()
    assert any(sign in fault for fault in faults if "code.py" not in fault), faults


def test_what_a_command_may_do_is_no_fault(tmp_path: Path) -> None:
    allowed = "import tempfile; open('{out}/made', 'w'); open('/dev/null', 'w'); tempfile.mkdtemp()"
    outcome = done(tmp_path, allowed)
    assert [fault for fault in outcome.faults() if "code.py" not in fault] == []  # the file itself is foreign code
    assert outcome.code == 0 and "fc" in outcome.stdout and outcome.peak < GB
    assert str(tmp_path / "code.py") in outcome.read


def test_children_share_nothing(tmp_path: Path) -> None:
    done(tmp_path, "import timm; timm.is_model = None")
    assert watched(["blocks", "test_resnet"]).faults([0]) == []
