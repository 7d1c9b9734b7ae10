"""The one error that a user can cause. The command line catches it once; any other traceback is a bug of ours."""

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
    Exit.INTERRUPTED: "interrupted",
}


class UserError(Exception):
    """A mistake in what the user asked for, told in one sentence; `exit_code` is the command's."""

    exit_code = Exit.USAGE


def unknown(what: str, got: object, available: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist: what was got, the nearest match, what is available."""
    names = sorted(map(str, available))
    near = get_close_matches(str(got), names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UserError(f"Unknown {what} '{got}'.{hint} Available: {', '.join(names) or 'none'}.")


class InputError(UserError, ValueError):
    """An argument of a function that computes something: names the argument, what it got, and what to do."""
