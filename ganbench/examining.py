"""`ganbench doctor`: the faults of wiring that are known, each with a minimal loop; or those of a script."""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ganbench.console import out
from ganbench.errors import Exit, UserError, told, unknown

if TYPE_CHECKING:
    from ganbench.monitor.doctor import Fault
    from ganbench.monitor.doctor.loops import Mistake

NO_MONITOR = (
    "'{file}' ended without the doctor's having seen enough: it needs a ganbench.Monitor around both networks, and "
    "monitor.step(...) at the end of each iteration, for at least 8 of them."
)


class Examined(BaseException):
    """Ends a script once the doctor has seen enough; no handler of exceptions in it takes this one."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__()
        self.faults = faults


def doctor(
    what: Annotated[str | None, typer.Argument(help="A fault, by words of its name, or a script to be run.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="What the script itself is given.")] = None,
) -> None:
    """Say what is wrong with a loop's wiring.

    Without an argument: every fault that the doctor knows. With words of a fault's name: its minimal loop, which is run
    for a few iterations, and what the doctor says of it. With a script that has a ganbench.Monitor in it: the script is
    run as it is, until the doctor has seen enough (8 iterations; 40 at most), then it is ended, and its study is not
    written. Exits with 1 where something is certainly wrong with the script.
    """
    if what is None:
        _tell_all()
    elif what.endswith(".py") or Path(what).is_file():
        faults = examine(Path(what), arguments or [])
        for fault in faults:
            out.print(escape(str(fault)), soft_wrap=True)
        if not faults:
            out.print("Nothing wrong with the wiring in the iterations that were seen.")
        raise typer.Exit(Exit.REGRESSED if any(fault.certain for fault in faults) else Exit.OK)
    else:
        for mistake in _named(what):
            _tell(mistake)


def examine(file: Path, arguments: list[str]) -> tuple[Fault, ...]:
    """Run a script until its Monitor's doctor has seen enough, and return what it says.

    UserError for a script that is not there, ends before, or raises something of its own.
    """
    if not file.is_file():
        raise UserError(f"There is no script '{file}'.")
    before, path = sys.argv, list(sys.path)
    try:
        sys.argv = [str(file), *arguments]
        sys.path.insert(0, str(file.resolve().parent))
        with _only_the_doctor():
            runpy.run_path(str(file), run_name="__main__")
    except Examined as found:
        return found.faults
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise UserError(NO_MONITOR.format(file=file)) from error
    except Exception as error:  # a script may raise anything
        raise UserError(f"'{file}' raised {told(error)} before the doctor had seen enough.") from error
    finally:
        sys.argv, sys.path[:] = before, path
    raise UserError(NO_MONITOR.format(file=file))


@contextmanager
def _only_the_doctor() -> Iterator[None]:
    """Let Monitors end their loop when the doctor's visit is over; what they write is thrown away."""
    # torch takes a second
    from ganbench.monitor import Monitor

    def end(monitor: Any) -> None:
        raise Examined(monitor.faults)

    with tempfile.TemporaryDirectory() as folder:
        Monitor.examined, Monitor.elsewhere = end, Path(folder)
        try:
            yield
        finally:
            Monitor.examined = Monitor.elsewhere = None


def _named(words: str) -> list[Mistake]:
    # torch takes a second
    from ganbench.monitor.doctor.loops import MISTAKES

    found = [one for one in MISTAKES if all(word in one.fault.lower() for word in words.lower().split())]
    if not found:
        raise unknown("fault", words, [mistake.fault for mistake in MISTAKES])
    return found


def _tell_all() -> None:
    # torch takes a second
    from ganbench.monitor.doctor.loops import MISTAKES

    for mistake in MISTAKES:
        out.print(f"{'certain' if mistake.certain else 'perhaps'}: {escape(mistake.fault)}", soft_wrap=True)
    out.print()
    out.print(
        f"{len(MISTAKES)} faults. ganbench doctor 'labels swapped' shows a loop that has one, and what is said of it;"
    )
    out.print("ganbench doctor train.py runs a script with a ganbench.Monitor until its wiring has been seen.")


def _tell(mistake: Mistake) -> None:
    out.print(f"[bold]{escape(mistake.fault)}[/]", soft_wrap=True)
    changed = {line.strip() for new in mistake.lines.values() for line in (new or "# (left out)").split("\n")}
    for line in mistake.source.splitlines():
        mark = ">" if line.strip() in changed - set(mistake.lines) else " "
        out.print(f"  {mark} {escape(line)}", soft_wrap=True, highlight=False)
    for fault in mistake.run():
        out.print(escape(str(fault)), soft_wrap=True)
    out.print()
