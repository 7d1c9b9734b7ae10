"""The one error that a user can cause. The command line catches it once; any other traceback is a bug of ours.

Whatever an error tells may hold what a user or a plug-in made up; `clean` makes one printable line of it, here alone.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """What every command's exit code means; docs/exit-codes.md is the same table in words."""

    OK = 0
    REGRESSED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INCOMPATIBLE = 4
    FAILED = 5
    INTERNAL = 70
    UNTESTABLE = 125
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What the code says, for every command."""
        return MEANINGS[self]


MEANINGS = {
    Exit.OK: "done: every planned run ended, the gate passed, all laws are kept",
    Exit.REGRESSED: "regression, or a law is broken",
    Exit.USAGE: "usage: what was asked for cannot be done",
    Exit.INCONCLUSIVE: "inconclusive: neither a regression nor its absence is shown",
    Exit.INCOMPATIBLE: "the baseline is damaged, newer, or of other variants or another measurement",
    Exit.FAILED: "runs failed or did not end",
    Exit.INTERNAL: "internal error, or a plug-in ended the program",
    Exit.UNTESTABLE: "with --bisect: neither good nor bad, git bisect skips the revision",
    Exit.INTERRUPTED: "interrupted",
}


LONGEST = 1000
"""Characters of an error's text; what is longer loses its middle."""

# sequences that move a terminal's cursor, colour it or set its title
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_SPACES = re.compile(r"\s+")


def clean(text: object, longest: int = LONGEST) -> str:
    """Return a text as one printable line of at most so many characters, whatever it holds.

    Escape sequences go, line breaks become spaces, other control characters and surrogates are spelt as escapes.
    """
    line = _cut(_text(text), 4 * longest)
    # what is aligned with spaces stays as it is
    line = _SPACES.sub(lambda run: " " if run[0].strip(" ") else run[0], _ESCAPES.sub("", line)).strip()
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    return _cut(line, longest)


def clean_lines(text: str, longest: int = 200) -> str:
    """Return the last lines of a text, each cleaned."""
    return "\n".join(clean(line) for line in text.splitlines()[-longest:])


def quoted(value: object, longest: int = 120) -> str:
    """Return a value as Python writes it, cleaned and cut, for the "got ..." of an error."""
    try:
        return clean(repr(value), longest)
    except Exception:  # a representation may be a user's own, or a number with too many digits
        return f"a {type(value).__name__}"


def told(error: BaseException) -> str:
    """Return what an exception of a plug-in or a library says, with its type: cleaned, cut, and never raising."""
    said = clean(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said:
        asked = re.search(r"allocate ([\d.]+ \w+)", said)
        return f"not enough memory{f' for {asked[1]}' if asked else ''}"
    name = clean(type(error).__name__, 120)
    return f"{name}: {said}" if said else name


def _text(text: object) -> str:
    try:
        return str(text)
    except Exception:  # the text of a plug-in's exception is its own code
        return f"a {type(text).__name__} without a text"


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 5]} ... {text[-tail:]}"


class UserError(Exception):
    """A mistake in what the user asked for, told in one sentence; `exit_code` is the command's."""

    exit_code = Exit.USAGE

    def __str__(self) -> str:
        return clean(super().__str__())


def unknown(what: str, got: object, available: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist: what was got, the nearest match, what is available."""
    names, asked = sorted(map(str, available)), clean(got, 120)
    folded = {unicodedata.normalize("NFKC", name).casefold(): name for name in reversed(names)}
    near = get_close_matches(unicodedata.normalize("NFKC", asked).casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean '{folded[near[0]]}'?" if near else ""
    return UserError(f"Unknown {what} '{asked}'.{hint} Available: {', '.join(names) or 'none'}.")


class InputError(UserError, ValueError):
    """An argument of a function that computes something: names the argument, what it got, and what to do."""
