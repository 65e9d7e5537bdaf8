"""A log for tests that look at what was said."""

from ftcli.log import Log


class Notes(Log):
    """A log that keeps its notes."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
