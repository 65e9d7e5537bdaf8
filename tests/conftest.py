"""What all tests share: where the real data are, and one way to call the program."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.ended import Ended

ROOT = Path(__file__).parent.parent
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # each has its share of the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
os.environ["HF_HUB_OFFLINE"] = "1"  # before any import: a test that reaches for the network must fail at once
CACHE = tempfile.TemporaryDirectory(prefix="ftcli-test-cache-")  # never the user's own
os.environ["FTCLI_CACHE"] = CACHE.name
for name in ("FTCLI_DEVICE", "FTCLI_PRECISION", "FTCLI_WORKERS", "FTCLI_THREADS"):  # nor their machine's defaults
    os.environ.pop(name, None)
os.environ["XDG_CONFIG_HOME"] = f"{CACHE.name}/configuration"


def real_data() -> Path | None:
    """The folder of real images and checkpoints: FTCLI_TEST_DATA, or `shared/data` beside the checkout."""
    named = os.environ.get("FTCLI_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if real_data() is None:
        skip = pytest.mark.skip(reason="no real data: set FTCLI_TEST_DATA to their folder")
        for item in items:
            if item.get_closest_marker("real"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real images and checkpoints; only for tests marked `real`."""
    folder = real_data()
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def ftcli() -> Callable[..., Ended]:
    """Call the program in a process of its own, as a user does: ftcli("probe", "--train", …) -> Ended."""

    def call(*words: Any, timeout: float = 300, **environment: str) -> Ended:
        command = [sys.executable, "-m", "ftcli", *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env={**os.environ, **environment}
        )
        return Ended(done.args, done.returncode, done.stdout, done.stderr)

    return call
