"""A command that is stopped after so many saved states, in this process."""

from typing import Any
from unittest import mock

from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.errors import Stopped
from tests.helpers.ended import Ended
from tests.helpers.program import inside


class Stopper:
    """Has every step and epoch saved, and the command stopped after so many states."""

    def __init__(self, after: int) -> None:
        self.left = after

    def check(self, checkpointer: Checkpointer) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped("interrupted; the state is saved.", checkpointer.resume_command, 130)


def stopped(after: int, *asked: Any) -> Ended:
    """Run a command that is stopped after so many states."""
    stopper = Stopper(after)
    with (
        mock.patch.object(Checkpointer, "due", lambda _: True),
        mock.patch.object(Checkpointer, "check", lambda checkpointer: stopper.check(checkpointer)),
    ):
        return inside(*asked)
