"""Progress in a notebook: the line of the terminal below the cell, by tqdm where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganbench.advancing import Course
from ganbench.plan import Plan

Watch = Callable[[str, dict[str, Any]], None]


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def progress(plan: Plan, device: str, folder: Path) -> Iterator[Watch]:
    """Show how far a plan is below the cell while it trains; yields what takes the events of its populations."""
    course, line = Course(plan, device, folder), _line()

    def watch(name: str, event: dict[str, Any]) -> None:
        if said := course.take(name, event):
            print(said)
        line.show(course.share, course.line())

    try:
        yield watch
    finally:
        line.close()


def _line() -> _Bar | _Text:
    try:
        from tqdm.auto import tqdm  # an extra of notebooks, which many have
    except ImportError:
        return _Text()
    return _Bar(tqdm)


class _Bar:
    def __init__(self, tqdm: Any) -> None:
        self.bar = tqdm(total=100, unit="%", bar_format="{percentage:3.0f} %|{bar}| {desc}", leave=False)

    def show(self, share: float, text: str) -> None:
        self.bar.n = round(100 * share, 1)
        self.bar.set_description_str(text)

    def close(self) -> None:
        self.bar.close()


class _Text:
    """A line of text that IPython shows in one place."""

    def __init__(self) -> None:
        from IPython.display import Pretty, display  # there is one where a kernel is

        self.made, self.place = Pretty, display(Pretty("starting"), display_id=True)

    def show(self, share: float, text: str) -> None:
        self.place.update(self.made(f"{100 * share:.0f} %, {text}"))

    def close(self) -> None:
        self.place.update(self.made(""))
