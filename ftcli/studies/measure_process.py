"""The process that checks the commands of a study and measures their times: words on stdin, plans on stdout."""

import json
import sys
from typing import Any

from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS, import_named
from ftcli.errors import FtcliError, RequestError


def plan_of(words: list[str]) -> Any:
    """What `--dry-run` of a command answers; of a wrong request its problem and what to type instead; None where there
    is no answer.
    """
    try:
        config = configuration_of([*words, "--dry-run", "--quiet"])
        return import_named(COMMANDS[words[0]].function)(config).as_content()
    except RequestError as error:
        return {"problem": error.problem, "fix": error.fix}
    except FtcliError:
        return None


if __name__ == "__main__":
    print(json.dumps([plan_of(words) for words in json.load(sys.stdin)]))
