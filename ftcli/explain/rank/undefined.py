"""What says that a score has no value for some features and labels."""


class UndefinedScore(ValueError):
    """A score cannot be computed; the message says why, without naming the score."""
