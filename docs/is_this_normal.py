"""Writes is-this-normal.md and its pictures: runs the loops of examples/normal and quotes what Monitor says of each.

python docs/is_this_normal.py            all ten, in about a minute
python docs/is_this_normal.py log_four   that one alone
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import ganbench

HERE = Path(__file__).parent
LOOPS, PICTURES, PAGE = HERE.parent / "examples" / "normal", HERE / "normal", HERE / "is-this-normal.md"


@dataclass(frozen=True)
class Thread:
    """A public thread: what was asked, its title and address, our answer; normal: whether training is as it should be.

    remark: where Monitor is silent, wrong or not to the point, said openly.
    """

    title: str
    address: str
    asked: str
    normal: bool
    answer: str
    remark: str = ""


THREADS = {name: Thread(**one) for name, one in yaml.safe_load((LOOPS / "threads.yaml").read_text("utf-8")).items()}


def run(loop: str) -> Any:
    """Run one loop in an empty directory, and return its Monitor."""
    made: list[Any] = []

    class Kept(ganbench.Monitor):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "log": None})
            made.append(self)

    text = (LOOPS / f"{loop}.py").read_text("utf-8").replace("ganbench.Monitor(", "Kept(")
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as empty, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(empty)
        try:
            # the loops are of this repository
            exec(compile(text, loop, "exec"), {"__name__": "__main__", "Kept": Kept})  # noqa: S102
        finally:
            os.chdir(before)
    return made[0]


def names(monitor: Any) -> list[str]:
    """Return the names of all that Monitor says, in its order: faults, findings of the game, the verdict."""
    verdict = [] if monitor.verdict is None else [monitor.verdict.verdict]
    return [*(own.name for own in monitor.faults), *(own.finding for own in monitor.findings), *verdict]


def sayings(monitor: Any) -> list[str]:
    """Return the same in full: what `check()` and `findings` hold, and the verdict with its evidence."""
    verdict = monitor.verdict
    since = "" if verdict is None or verdict.onset is None else f" since step {verdict.onset}"
    last = [] if verdict is None else [f"*verdict*: {verdict.verdict}{since}. {verdict.evidence}"]
    game = [f"*game*: {own} Try: {own.remedy}" for own in monitor.findings]
    return [*(f"*doctor*: {own}" for own in monitor.faults), *game, *last]


def picture(monitor: Any, path: Path) -> None:
    """Draw losses, logits and the verdict's quality over steps; dashed where a finding or the verdict begins."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    series = monitor.series
    rows = (("losses", ("d_loss", "g_loss")), ("logits", ("real_logit", "fake_logit")), ("coverage", ("coverage",)))
    shown = [(title, [name for name in columns if name in series]) for title, columns in rows]
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.1), layout="constrained")
    onsets = {own.onset for own in monitor.findings}
    if monitor.verdict is not None and monitor.verdict.failed and monitor.verdict.onset is not None:
        onsets.add(monitor.verdict.onset)
    for axis, (title, columns) in zip(axes, shown, strict=True):
        for name in columns:
            axis.plot(series["step"], series[name], label=name.replace("_", " "), linewidth=1.4)
        for onset in onsets:
            axis.axvline(onset, color="crimson", linestyle="--", linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        if len(columns) > 1:
            axis.legend(fontsize=7, frameon=False)
    axes[2].set_ylim(-0.03, 1.05)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)


HEAD = """# Is this normal?

Ten questions from public trackers, each rebuilt as a loop of a few seconds in [examples/normal](../examples/normal),
with the fault that its thread tells of; the loops are written here and share no code with the projects asked about.
Below each is what `ganbench.Monitor` says of it, word for word: *doctor*, faults of the wiring seen in the first
iterations (`monitor.check()`); *game*, what the players do (`monitor.findings`); *verdict*, what came out
(`monitor.verdict`). The page and its pictures are written by [is_this_normal.py](is_this_normal.py), and
[a test](../tests/faults/test_threads.py) runs the loops again and compares. Kinds of processors differ in the last
digit of a sum, and a game without damping in all that follows: on another kind more may be named or less, but in each
of the ten the first that is quoted (the page is of an AMD EPYC; tried on an Intel Xeon, too). In the pictures, over
training steps, a dashed line is the onset of a finding or of a failing verdict.
"""


def chapter(loop: str, monitor: Any) -> str:
    """Return a thread's part of the page."""
    thread = THREADS[loop]
    quoted = "\n".join(f"> {line}\n>" for line in sayings(monitor)).removesuffix("\n>")
    told = "; ".join(names(monitor)) or "nothing"
    parts = [
        f"## {loop.replace('_', ' ').capitalize()}: {'yes' if thread.normal else 'no'}",
        f'{thread.asked} ("{thread.title}", <{thread.address}>; [the loop](../examples/normal/{loop}.py))',
        f"![Losses, logits and coverage of {loop}](normal/{loop}.png)",
        f"Monitor says:\n\n{quoted}\n\n<!-- {loop}: {told} -->",
        thread.answer,
        thread.remark,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def written() -> dict[str, str]:
    """Return the chapters that the page has, by loop."""
    text = PAGE.read_text("utf-8") if PAGE.exists() else ""
    parts = [f"## {part}".strip() + "\n" for part in text.split("\n## ")[1:]]
    return {loop: part for loop in THREADS for part in parts if f"<!-- {loop}: " in part}


def main() -> None:
    """Write the page, or the chapters that are asked for."""
    PICTURES.mkdir(exist_ok=True)
    for loop in sys.argv[1:] or THREADS:
        monitor = run(loop)
        picture(monitor, PICTURES / f"{loop}.png")
        chapters = {**written(), loop: chapter(loop, monitor)}
        PAGE.write_text("\n".join([HEAD, *(chapters[name] for name in THREADS if name in chapters)]), "utf-8")


if __name__ == "__main__":
    main()
