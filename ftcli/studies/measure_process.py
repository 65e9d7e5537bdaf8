"""The process that checks the commands of a study and measures their times: words on stdin, plans on stdout. It ends
when the study does.
"""

import json
import sys
import threading
from typing import Any

from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS, import_named
from ftcli.errors import FtcliError, RequestError
from ftcli.studies.cell_process import end_with_study


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


def main() -> None:
    commands = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_study, daemon=True).start()
    print(json.dumps([plan_of(words) for words in commands]))


if __name__ == "__main__":
    main()
