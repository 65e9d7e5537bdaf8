"""The conditions of `compare --fail-if`: an accuracy, or a difference of accuracies, and a bound."""

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ftcli.errors import RequestError
from ftcli.safe_text import shortened

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
# All before the last sign is the set: its name may hold such signs too.
CONDITION = re.compile(
    r"(?P<set>.+?)(?P<kind>\.accuracy|\.difference)?\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[-+]?\d{1,9}(\.\d{1,9})?)",
    re.ASCII,
)
FORMS = (
    "'SET<NUMBER' is a difference to the first report in percentage points, 'SET.accuracy<NUMBER' an accuracy in per "
    "cent; the sign is <, <=, > or >=: 'ood_mean<-2', 'id_test.accuracy<90'"
)


@dataclass(frozen=True)
class Condition:
    """`text`: as typed; `absolute`: whether the accuracy itself is meant, and not its difference to the reference's.

    bound: per cent of an accuracy, percentage points of a difference.
    """

    text: str
    set: str
    absolute: bool
    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether it holds for a value in the unit of the bound."""
        return bool(OPERATORS[self.sign](value, self.bound))


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """Conditions as typed, without repeats. Raises RequestError for what is none, with the forms that there are."""
    conditions = []
    for text in dict.fromkeys(texts):
        if (found := CONDITION.fullmatch(text.strip())) is None:
            raise RequestError(f"--fail-if {shortened(text, 100)!r} is no condition.", FORMS)
        absolute, bound = found["kind"] == ".accuracy", float(found["bound"])
        if absolute and (not 0 <= bound <= 100 or 0 < bound <= 1):  # a fraction would be a bound that nothing meets
            raise RequestError(f"--fail-if {text!r}: an accuracy is in per cent, from 0 to 100.", "type 90, not 0.9")
        if abs(bound) > 100:
            raise RequestError(f"--fail-if {text!r}: a difference lies between -100 and 100 points.", FORMS)
        conditions.append(Condition(text, found["set"].rstrip(), absolute, found["sign"], bound))
    return conditions
