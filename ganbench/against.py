"""The job behind `ganbench check --against`: both sides trained here and now, in pairs on common random numbers.

The base side runs in a process of its own, with the tree of a revision first on its path, or by the interpreter of
another environment. On one machine code that has not changed gives the same numbers, bit for bit: a variant whose
first seeds are equal on both sides is done, and further seeds go where something differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganbench import api, base_side, checking
from ganbench.analysis.gate import MEASURES
from ganbench.analysis.outcome import Check
from ganbench.analysis.pairs import paired, unchanged
from ganbench.analysis.ranking import labels
from ganbench.analysis.seeds import freeze, matched
from ganbench.deadline import Clock, EndedStudy, is_whole
from ganbench.errors import UserError, clean
from ganbench.plan import Plan
from ganbench.reading import suite_names
from ganbench.results.store import Store
from ganbench.results.study import Study as StoredStudy
from ganbench.worktree import Repository, is_installed

Sides = tuple[list[api.Study], list[api.Study]]
"""The studies of the base side and of the candidate, a pair a look."""
PLUGIN = "ganbench_plugin_"
"""How the modules of plug-in files are called."""


@dataclass(frozen=True)
class Against:
    """What a check is against: a revision of the repository in the working directory, the interpreter of another
    environment, or both."""

    revision: str = ""
    python: str = ""

    @property
    def told(self) -> str:
        """The base side in words."""
        names = [f"the revision '{self.revision}'"] * bool(self.revision)
        return " in ".join([*names, *[f"the environment of '{self.python}'"] * bool(self.python)])


@dataclass(frozen=True)
class _Side:
    """The base side: how its process is started, and what it is asked for."""

    against: Against
    python: str
    folder: Path
    path: str | None
    overrides: tuple[str, ...]
    plugins: tuple[str, ...]
    repository: Repository | None = None
    changed: frozenset[str] = frozenset()

    def train(self, order: Mapping[str, Any]) -> dict[str, str]:
        """Train what is asked for and return the files of the modules that the process has come to; UserError where it
        cannot be done."""
        variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        variables |= {"PYTHONPATH": self.path} if self.path else {}
        with tempfile.TemporaryDirectory(prefix="ganbench-") as folder:
            asked, said = Path(folder) / "order.json", Path(folder) / "answer.json"
            asked.write_text(json.dumps({"plugins": self.plugins, **order}), encoding="utf-8")
            words = [self.python, "-P", base_side.__file__, str(asked), str(said)]
            try:
                done = subprocess.run(  # noqa: S603 - the interpreter that the user names, our own file
                    words, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False
                )
            except OSError as error:
                raise self.refusal(f"cannot start '{self.python}' ({error.strerror or error})") from error
            answer = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {}
        if "files" in answer:
            return dict(answer["files"])
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        ended = f"its process ended with code {done.returncode}: {lines[-1] if lines else 'it said nothing'}"
        raise self.refusal(answer.get("error", ended))

    def refusal(self, why: str) -> UserError:
        """Return the error of a base side that cannot be trained."""
        return UserError(f"The base side, {self.against.told}, cannot be trained: {clean(why).rstrip('.')}.")

    def check_apart(self, files: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
        """Raise UserError where the base side has imported what is checked: the tree would be held against itself.

        Return notes on what both sides have imported from one place.
        """
        files = {name: file for name, file in files.items() if _is_library(name)}
        shared = {name: file for name, file in files.items() if own.get(name) == file}
        if self.repository is None:
            if all(name in shared for name in files if name in own):
                raise UserError(f"Nothing differs: {self.against.told} imports the files that this command imports.")
            same = sorted({name.partition(".")[0] for name, file in shared.items() if not is_installed(file)})
            return [f"Both sides import {', '.join(same)} from one place."] * bool(same)
        mine = {name: file for name, file in files.items() if self.repository.place(file)}
        for name, file in {**shared, **mine}.items():
            place = self.repository.place(file) or _installed_copy(name, self.changed)
            if place in self.changed:
                raise UserError(
                    f"Both sides would import '{name}' from '{file}', and '{place}' has changed since "
                    f"'{self.against.revision}': the library would be held against itself. Put the folder that holds "
                    "it on PYTHONPATH, or name an environment for the base side with --against-env."
                )
        return []


def _is_library(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and not top.startswith(("__", PLUGIN))


def _installed_copy(name: str, changed: frozenset[str]) -> str | None:
    """Return the changed file that an installed module is a copy of, by its name; None where there is none."""
    stem = name.replace(".", "/")
    for place in sorted(changed):
        for end in (f"{stem}/__init__.py", f"{stem}.py"):
            # a package may lie anywhere in a repository; a file of a common name is taken for it at the usual places
            if place in (end, f"src/{end}") or ("/" in end and place.endswith(f"/{end}")):
                return place
    return None


def check_against(
    overrides: Sequence[str],
    request: checking.Request,
    against: Against,
    *,
    plugins: Sequence[str | Path] = (),
    out: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    minutes: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Check:
    """Train a suite on both sides for 5, 10, then 20 seeds, and stop as soon as nothing is inconclusive any more.

    After the first look only variants go on that differ; with seeds among the overrides there is but one. After
    `minutes` the answer is what is decided by then. UserError where the base side is the same or cannot be trained.
    """
    sides: Sides = ([], [])
    variants: list[set[str] | None] = [None, None]
    clock, result = Clock(minutes), None
    with _side(against, overrides, plugins) as side:
        for look, seeds in checking.looks(overrides):
            if result is not None and clock.is_up:
                return replace(result, notes=(clock.note, *result.notes))
            plan = _restricted(api.make_plan(None, [*overrides, *seeds], plugins), variants[1])
            folders = _folders(plan, out)
            tell(f"{plan.name}: {len(plan.runs)} runs on each side, seeds {plan.seeds[0]} to {plan.seeds[-1]} ...")
            order = {"overrides": seeds, "variants": variants[0], "device": device, "workers": workers}
            notes = _train(side, order, plan, folders, clock)
            if minutes is not None and not all(map(is_whole, folders)):
                return _cut(sides, folders, request, against, look, clock, plan, notes)
            for studies, folder in zip(sides, folders, strict=True):
                studies.append(api.load(folder))
            result = _judged(sides, request, against, look, notes)
            tell(f"after {sum(len(study.plan.seeds) for study in sides[1])} seeds: {result.verdict}")
            if result.verdict != "inconclusive":
                break
            variants = _open(sides, result)
    assert result is not None
    return result


def _train(side: _Side, order: dict[str, Any], plan: Plan, folders: tuple[Path, Path], clock: Clock) -> list[str]:
    """Train a look on both sides, the base side for half of the time that is left, and return notes."""
    files = side.train({
        **order, "overrides": [*side.overrides, *order["overrides"]], "out": str(folders[0].absolute()),
        "variants": None if order["variants"] is None else sorted(order["variants"]),
        "seconds": None if clock.left is None else clock.left / 2,
    })  # fmt: skip
    notes = side.check_apart(files, base_side.reached())
    checking.trained(plan, folders[1], clock, device=order["device"], workers=order["workers"], fresh=True)
    return notes


def _open(sides: Sides, result: Check) -> list[set[str] | None]:
    """Return the variants of base side and candidate, by their ids, that differ and are asked for."""
    names = {c.variant for c in result.judgement.comparisons if not c.equal}
    before, now = sides[0][0], sides[1][0]
    labels = {v.id: old.label for v, old in matched(freeze(before), now.plan.variants) if old is not None}
    pairs = [(old, new) for old, new in paired(before, now).items() if labels[new] in names]
    return [{old for old, _ in pairs}, {new for _, new in pairs}]


def _cut(
    sides: Sides, folders: tuple[Path, Path], request: checking.Request, against: Against, look: int | None,
    clock: Clock, plan: Plan, notes: Sequence[str],
) -> Check:  # fmt: skip
    """Judge the variants that have ended on both sides of a check that was ended before its time."""
    last = [EndedStudy(folder) for folder in folders if Store(folder).exists()]
    if len(last) == 2 and paired(*last):
        last[1].restrict(set(paired(*last).values()))
        for studies, study in zip(sides, last, strict=True):
            studies.append(study)
    named = {variant.id: variant.id for variant in plan.variants}
    if Store(folders[1]).exists():
        words = labels(StoredStudy(folders[1]))
        named = {variant.id: f"{variant.problem}: {words[variant.id]}" for variant in plan.variants}
    return checking.as_far_as_decided(
        named, sides[1], request, clock, plan, lambda: _judged(sides, request, against, look, notes)
    )


def _restricted(plan: Plan, variants: set[str] | None) -> Plan:
    if variants is None:
        return plan
    return replace(plan, variants=tuple(variant for variant in plan.variants if variant.id in variants))


def _folders(plan: Plan, out: Path | None) -> tuple[Path, Path]:
    """Return where base side and candidate are trained; UserError where somebody's study would be lost."""
    if out is None:
        own = checking.CHECKS / f"{plan.name}-{plan.hash[:8]}"
        folders = own.with_name(f"{own.name}-base"), own
    else:
        seeds = f"seeds-{plan.seeds[0]}-{plan.seeds[-1]}"
        folders = out / f"base-{seeds}", out / seeds
    for folder in folders:
        checking.refuse_foreign(folder)
    return folders


def _judged(
    sides: Sides,
    request: checking.Request,
    against: Against,
    look: int | None,
    notes: Sequence[str],
) -> Check:
    before, now = sides
    baseline = freeze(before[0], more=before[1:])
    result = checking.judged(baseline, now, request, look, unchanged(*sides))
    # all variants together have no tail
    compared = {c.variant: c.equal for c in result.judgement.comparisons if c.measure == MEASURES[1]}
    same = sum(compared.values())
    notes = [f"The baseline is {against.told}, trained beside the candidate.", *notes]
    if same:
        notes.append(
            f"{same} of {len(compared)} variants give the same numbers on both sides, seed by seed: no "
            "change reaches them."
        )
    gone = len(before[0].plan.variants) - len(paired(before[0], now[0]))
    notes += [f"{gone} variants of the base side are not in the candidate's plan."] * (gone > 0)
    failed = sorted({str(r) for study in before for r in study.runs.loc[study.runs["status"] == "failed", "reason"]})
    failures = (*result.failures, *(f"on the base side: {reason}" for reason in failed))
    return replace(result, notes=(*notes, *result.notes), failures=failures)


# ------------------------------------------------------------------------------------------ the base side


@contextmanager
def _side(against: Against, overrides: Sequence[str], plugins: Sequence[str | Path]) -> Iterator[_Side]:
    """Yield the base side for as long as its tree is there."""
    files = tuple(str(Path(file).absolute()) for file in plugins)
    if not against.revision:
        api.make_plan(None, overrides, plugins)
        words = tuple(_with_suite(overrides, lambda file: str(file)))
        yield _Side(against, against.python, Path.cwd(), None, words, files)
        return
    repository = Repository.around(Path.cwd())
    commit = repository.commit(against.revision)
    if outside := [file for file in files if repository.place(file) is None]:
        raise UserError(
            f"The plug-in file '{outside[0]}' lies outside of the repository '{repository.root}': it would be the same "
            "one at every revision."
        )
    api.make_plan(None, overrides, plugins)  # first, so that what is wrong with it is told of the candidate
    roots = _roots(repository)
    if not files and not roots and not against.python:
        raise UserError(
            f"Nothing that this check trains comes from the repository '{repository.root}': name the plug-in file with "
            "--plugin, or put the folder of the library on PYTHONPATH."
        )
    with repository.laid_out(commit) as tree:
        paths = _paths(repository, roots, own=not against.python)
        changed = frozenset(repository.changed(commit))
        side = _Side(against, against.python or sys.executable, tree, None, (), (), repository, changed)
        yield _in_tree(side, paths, overrides, files)


def _in_tree(side: _Side, paths: Sequence[str], overrides: Sequence[str], files: Sequence[str]) -> _Side:
    """Return a base side whose folder is a tree with all that it is asked for by its places in that tree."""
    repository, tree = side.repository, side.folder
    assert repository is not None

    def there(path: Path | str) -> str:
        """Return the counterpart of a path, or the path itself where it is not in the repository."""
        place = repository.place(path)
        return str(Path(path).absolute()) if place is None else str(tree / place)

    def needed(path: Path | str) -> str:
        """Return the counterpart of a file; UserError where the revision has none."""
        if not (found := Path(there(path))).exists() and Path(path).exists():
            raise UserError(f"There is no '{repository.place(path)}' at the revision '{side.against.revision}'.")
        return str(found)

    folder = Path(there(Path.cwd()))
    return replace(
        side, folder=folder if folder.is_dir() else tree, path=os.pathsep.join(dict.fromkeys(map(there, paths))),
        overrides=tuple(_with_suite(overrides, needed)), plugins=tuple(map(needed, files)),
    )  # fmt: skip


def _paths(repository: Repository, roots: Sequence[str], *, own: bool) -> list[str]:
    """Return the folders that modules come from, those of the repository that are not on the path first; another
    environment has packages of its own, and gets the repository's folders alone."""
    paths = [path or "." for path in sys.path]
    known = {str(Path(path).resolve()) for path in paths}
    paths = paths if own else [path for path in paths if repository.place(path) is not None]
    return [*(root for root in roots if root not in known), *paths]


def _with_suite(overrides: Sequence[str], there: Callable[[Path], str]) -> Iterator[str]:
    """Yield the overrides with the suite's file by the path that it has on the base side."""
    for text in overrides:
        name = text.removeprefix("suite=")
        is_file = text.startswith("suite=") and name not in suite_names()
        yield f"suite={there(Path(name).absolute())}" if is_file else text


def _roots(repository: Repository) -> list[str]:
    """Return the folders of the repository from which this process imports modules, installed ones left out."""
    roots: dict[str, None] = {}
    for name, file in base_side.reached().items():
        if repository.place(file) is not None and not name.startswith((PLUGIN, "__")):
            above = name.count(".") + (Path(file).name == "__init__.py")
            roots[str(Path(file).parents[above])] = None
    return list(roots)
