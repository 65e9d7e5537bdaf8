"""Sets opened in the test's own process, or refused."""

import pytest

from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.specs.parse import parse
from ftcli.errors import RequestError
from ftcli.log import Log


def opened(text: object, damaged: str = "stop", log: Log | None = None, labelled: bool = True) -> ImageSet:
    return open_images(parse(str(text)), log or Log(), damaged=damaged, labelled=labelled)


def refusal(text: object, **options: bool) -> str:
    """Problem and fix of the error that opening must end with."""
    with pytest.raises(RequestError) as error:
        opened(text, **options)  # type: ignore[arg-type]
    return f"{error.value.problem} | {error.value.fix}"


def names(images: ImageSet) -> list[str]:
    """The class of each example."""
    return [images.classes[label] for label in images.labels]
