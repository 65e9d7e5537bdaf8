"""The process that measures how long the commands of a study take: their words on stdin, their plans on stdout."""

import json
import sys
from typing import Any

from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS, import_named
from ftcli.errors import FtcliError


def plan_of(words: list[str]) -> Any:
    """What `--dry-run` of a command answers; None where it fails."""
    try:
        config = configuration_of([*words, "--dry-run", "--quiet"])
        return import_named(COMMANDS[words[0]].function)(config).as_content()
    except FtcliError:
        return None


if __name__ == "__main__":
    print(json.dumps([plan_of(words) for words in json.load(sys.stdin)]))
