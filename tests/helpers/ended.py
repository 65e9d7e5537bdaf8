"""How a call of the program ended: its exit code, what it printed, and its report."""

import json
import subprocess
from typing import Any


class Ended(subprocess.CompletedProcess[str]):
    """How a call of the program ended."""

    @property
    def report(self) -> dict[str, Any]:
        """stdout as JSON, and nothing but JSON."""
        assert self.returncode == 0, self.stderr
        return json.loads(self.stdout)
