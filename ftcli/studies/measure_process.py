"""The process that checks the commands of a study and measures their times: words on stdin, plans on stdout. It ends
when the study does.
"""

import json
import sys
import threading
from typing import Any

from ftcli.cli.main import configuration_of
from ftcli.commands import COMMANDS, import_named
from ftcli.config.measuring import Evaluate
from ftcli.errors import FtcliError, RequestError
from ftcli.studies.cell_process import end_with_study
from ftcli.studies.cells import EVALUATE


def plan_of(words: list[str]) -> Any:
    """What `--dry-run` of a command answers; of a wrong request its problem and what to type instead; None where there
    is no answer, as of an evaluation.
    """
    try:
        if words[0] == EVALUATE:
            return open_sets(configuration_of([*words, "--quiet"]))
        config = configuration_of([*words, "--dry-run", "--quiet"])
        return import_named(COMMANDS[words[0]].function)(config).as_content()
    except RequestError as error:
        return {"problem": error.problem, "fix": error.fix}
    except FtcliError:
        return None


def open_sets(config: Any) -> None:
    """Open what an evaluation needs; no image is read. Raises RequestError for what cannot be opened."""
    from ftcli.context import open_context
    from ftcli.model.loading.from_options import load_with_head

    assert isinstance(config, Evaluate)
    with open_context(config) as context:
        context.open_sets(load_with_head(config, config.checkpoint, context.log))


def main() -> None:
    commands = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_study, daemon=True).start()
    print(json.dumps([plan_of(words) for words in commands]))


if __name__ == "__main__":
    main()
