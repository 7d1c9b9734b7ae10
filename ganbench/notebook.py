"""Progress in a notebook: the line of the terminal below the cell, by tqdm where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganbench.plan import Plan

Watch = Callable[[str, dict[str, Any]], None]


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def watcher(plan: Plan, device: str, folder: Path) -> Watch:
    """Return what takes the events of a plan's populations: in a notebook it shows how far they are, else nothing."""
    if not in_notebook():
        return lambda name, event: None
    from ganbench.advancing import Course  # it knows populations, and with them torch

    course, lines = Course(plan, device, folder), list[_Bar | _Text]()

    def watch(name: str, event: dict[str, Any]) -> None:
        if said := course.take(name, event):
            print(said)
        if not lines:
            lines.append(_line())
        lines[0].show(course.share, course.line())
        if len(course.done) == len(course.cost):
            lines[0].close()

    return watch


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
