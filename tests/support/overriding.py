"""What many tests share without a fixture: settings over others."""

from collections.abc import Iterable


def over(overrides: Iterable[str]) -> list[str]:
    """Return overrides of which the last one of a key counts; the package itself refuses a key that is given twice."""
    return list({text.partition("=")[0]: text for text in overrides}.values())
