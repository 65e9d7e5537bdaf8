"""The values of a condition: as typed, or those of a list that comes with a preset, as where=COLUMN:in:preset:FILE."""

from ftcli.data.specs.condition import IN, Condition
from ftcli.files import OWN, own_file


def is_list(condition: Condition) -> bool:
    """Whether a condition names a list; its values need not all occur in a set."""
    return condition.operator == IN and condition.values[0].startswith(OWN)


def values_of(condition: Condition) -> tuple[str, ...]:
    """The values that a condition compares with: the words of the list that it names, whose comments begin with "#".

    Raises RequestError where no such list comes with a preset.
    """
    if not is_list(condition):
        return condition.values
    lines = own_file(condition.values[0], "list of values").read_text(encoding="utf-8").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())
