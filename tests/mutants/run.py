"""Mutation testing of the modules that decide results: `python tests/mutants/run.py --help`.

A random sample of mutants, the same for the same seed and source, each written into a copy of the package. The tests
that enter the changed function are run against it, the nearest first, until one fails. What no test notices is
printed as a diff; an entry in equivalent.yaml says why a survivor changes nothing that could be observed.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mutate import Mutant, mutants
from recording import Chosen, Recorder

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
SHOWN_ONLY = (
    "report/", "contracts/", "cli.py", "dry_run.py", "serve.py", "serve_pages.py", "terminal.py", "pytest_plugin.py",
    "zoo.py", "__main__.py",
)  # fmt: skip
"""What shows results or checks plug-ins, and decides none."""
CALIBRATION = ("analysis/scripted.py", "analysis/calibration.py")
"""What measures the verdicts' error rates, once for the documentation."""
HEAVY = ("torch", "numpy", "scipy.stats", "pandas", "sklearn.cluster", "sklearn.datasets", "pydantic")
"""Imported once, before the processes are forked."""
BUDGET = 60.0
"""Seconds of tests (as recorded) that a mutant has to survive."""
PASSED, NONE = 0, 5
FLAGS = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--no-header", "--tb=line")


@dataclass(frozen=True)
class Test:
    """A test that passes, as recorded: how long it takes, and the functions that it enters."""

    name: str
    seconds: float
    entered: frozenset[str]

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.partition("::")[0]


def deciding(package: Path) -> dict[str, str]:
    """Return the modules to mutate, path within the package to source."""
    paths = {str(path.relative_to(package)): path for path in sorted(package.rglob("*.py"))}
    return {name: path.read_text() for name, path in paths.items() if not name.startswith(SHOWN_ONLY + CALIBRATION)}


def sample(modules: Mapping[str, str], size: int, seed: int) -> list[Mutant]:
    """Draw mutants without replacement, all with the same chance."""
    every = [mutant for name, source in modules.items() for mutant in mutants(name, source)]
    return random.Random(seed).sample(every, min(size, len(every)))


def read_equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, str, str], str]:
    """Return the reasons of the mutants that change nothing, by module and the changed lines before and after."""
    entries = (yaml.safe_load(path.read_text()) if path.exists() else None) or []
    return {(e["module"], e["before"].strip(), e["after"].strip()): e["reason"] for e in entries}


def choose(mutant: Mutant, tests: Sequence[Test], budget: float = BUDGET) -> dict[str, float]:
    """Return the tests to run against a mutant, with their seconds: those that enter its function, nearest first.

    A statement outside of functions belongs to whoever enters the module. After them come the other tests of these
    files, for what a test shares by a cache is entered by the first one only.
    """
    place = f"{mutant.module}:{mutant.function}"
    nearest = {test.file for test in tests if _distance(test.file, mutant.module) == 0}

    def concerned(test: Test) -> int:
        if any(one == place or one.startswith((f"{place}.", f"{place}:")) for one in test.entered if mutant.function):
            return 0
        return 1 if any(one.startswith(f"{mutant.module}:") for one in test.entered) or test.file in nearest else 2

    ranks = {test: concerned(test) for test in tests}
    order = sorted(tests, key=lambda t: (ranks[t], _distance(t.file, mutant.module), t.seconds))
    taken: list[Test] = []
    for test in order:
        if ranks[test] < 2 and sum(t.seconds for t in taken) + test.seconds <= max(budget, test.seconds * (not taken)):
            taken.append(test)
    files = list(dict.fromkeys(test.file for test in taken))
    return {test.name: test.seconds for file in files for test in taken if test.file == file}


def _distance(file: str, module: str) -> int:
    """How far a test file is from a module by its name: 0 the module's own, 1 of the same room, 2 another."""
    room, _, name = module.rpartition("/")
    test = Path(file)
    same_room = str(test.parent) == f"tests/{room}".rstrip("/")
    if same_room and test.stem.removeprefix("test_").startswith(name.removesuffix(".py").rstrip("s")):
        return 0
    return 1 if same_room else 2


def fork(workspace: Path, log: Path, inside: Callable[[], int]) -> int:
    """Start a process in a copy of the project, in a group of its own; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setsid()
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(target, stream)
        os.chdir(workspace)
        os.environ["PYTHONPATH"] = str(workspace)
        sys.path[:] = [
            str(workspace),
            *(entry for entry in sys.path[1:] if entry not in (str(ROOT), str(Path(__file__).parent))),
        ]
        code = int(inside())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run_all(
    jobs: Iterator[tuple[object, float, Callable[[Path], int]]], slots: Sequence[Path]
) -> Iterator[tuple[object, int | None]]:
    """Run jobs (what, seconds, start in a workspace) side by side; yield what with its exit code, None for too late."""
    running: dict[int, tuple[object, float, Path]] = {}
    free, more = list(slots), True
    while more or running:
        while free and more:
            job = next(jobs, None)
            more = job is not None
            if job is not None:
                slot = free.pop()
                running[job[2](slot)] = (job[0], time.monotonic() + job[1], slot)
        for pid, (what, deadline, slot) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            late = time.monotonic() > deadline
            if not ended and not late:
                continue
            _end_group(pid)
            if not ended:
                os.waitpid(pid, 0)
            del running[pid]
            free.append(slot)
            yield what, os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0.05)


def _end_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def copy_project(root: Path, target: Path) -> Path:
    """Copy what git knows or could know of the project."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in names.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    return target


def record(root: Path, slots: Sequence[Path], cache: Path) -> list[Test]:
    """Return what every default test enters, from the cache where its file has not changed."""
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(str(path.relative_to(root)) for path in (root / "tests").rglob("test_*.py"))
    files = [file for file in files if not file.startswith(("tests/benchmarks/", "tests/mutants/"))]
    kept = {
        file: cache / f"{file.replace('/', '.')}-{hashlib.sha256((root / file).read_bytes()).hexdigest()[:12]}.json"
        for file in files
    }

    def start(file: str) -> Callable[[Path], int]:
        def inside(slot: Path) -> int:
            flags = [flag for flag in FLAGS if flag != "-x"]
            return fork(
                slot, slot / "log", lambda: pytest.main([*flags, file], [Recorder(slot / "ganbench", kept[file])])
            )

        return inside

    for file, _ in run_all(((f, 1800.0, start(f)) for f in files if not kept[f].exists()), slots):
        print(f"recorded {file}", file=sys.stderr, flush=True)
    found = [json.loads(path.read_text()) for path in kept.values() if path.exists()]
    return [
        Test(name, test["seconds"], frozenset(re.sub(r"\.<locals>", "", one) for one in test["entered"]))
        for tests in found
        for name, test in tests.items()
    ]


def judge(
    pristine: Path, drawn: Sequence[Mutant], modules: Mapping[str, str], tests: Sequence[Test], slots: Sequence[Path]
) -> dict[Mutant, bool]:
    """Return for each mutant whether any test notices it."""

    def start(mutant: Mutant, chosen: dict[str, float]) -> Callable[[Path], int]:
        def inside(slot: Path) -> int:
            for name in ("ganbench", "tests"):
                shutil.rmtree(slot / name)
                shutil.copytree(pristine / name, slot / name)
            (slot / "ganbench" / mutant.module).write_text(mutant.apply(modules[mutant.module]))
            files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
            return fork(slot, slot / "log", lambda: pytest.main([*FLAGS, *files], [Chosen(chosen)]))

        return inside

    choices = {mutant: choose(mutant, tests) for mutant in drawn}
    jobs = ((m, 90 + 5 * sum(chosen.values()), start(m, chosen)) for m, chosen in choices.items() if chosen)
    killed = dict.fromkeys(drawn, False)
    for done, (mutant, code) in enumerate(run_all(jobs, slots), 1):
        killed[mutant] = code not in (PASSED, NONE)
        told = "killed" if killed[mutant] else "SURVIVED"
        where = f"ganbench/{mutant.module}:{mutant.line}"
        print(f"{done}/{len(drawn)} {told} {where} {mutant.kind}: {mutant.text}", file=sys.stderr, flush=True)
    return killed


def summary(
    killed: Mapping[Mutant, bool], modules: Mapping[str, str], equivalents: Mapping[tuple[str, str, str], str]
) -> tuple[str, float]:
    """Return the scores by module and the survivors with their diffs as a text, and the score of all in percent.

    Mutants that are known as equivalent are listed with their reasons and not counted.
    """
    known = {m: equivalents.get((m.module, *m.changed(modules[m.module]))) for m, dead in killed.items() if not dead}
    counted = {mutant: dead for mutant, dead in killed.items() if dead or not known[mutant]}
    total, dead = Counter(m.module for m in counted), Counter(m.module for m in counted if counted[m])
    lines = [f"{name:38} {dead[name]:4} of {n:4} {100 * dead[name] / n:6.1f} %" for name, n in sorted(total.items())]
    share = 100 * sum(dead.values()) / len(counted) if counted else 100.0
    lines.append(f"{'all':38} {sum(dead.values()):4} of {len(counted):4} {share:6.1f} %")
    lines += [f"\nequivalent: ganbench/{m.module}:{m.line} {m.kind}: {known[m]}" for m in known if known[m]]
    for mutant in sorted((m for m in known if not known[m]), key=lambda m: (m.module, m.line)):
        source = modules[mutant.module]
        changes = difflib.unified_diff(source.splitlines(), mutant.apply(source).splitlines(), n=1, lineterm="")
        lines += [f"\nsurvivor: ganbench/{mutant.module}:{mutant.line} {mutant.kind}", *list(changes)[3:]]
    return "\n".join(lines), share


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, run, print; return 1 where the score is under the one asked for."""
    asked = _parser().parse_args(arguments)
    root = asked.root.resolve()
    modules = {n: s for n, s in deciding(root / "ganbench").items() if re.search(asked.module, n)}
    drawn = sample(modules, asked.sample, asked.seed)
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    sys.dont_write_bytecode = True
    for name in HEAVY if root == ROOT else ():
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        slots = [copy_project(root, Path(folder).resolve() / str(place)) for place in range(asked.processes)]
        tests = record(root, slots, asked.cache)
        # the tests as they are now, whatever is edited in the meantime
        pristine = copy_project(root, Path(folder).resolve() / "pristine")
        killed = judge(pristine, drawn, modules, tests, slots)
    text, share = summary(killed, modules, read_equivalents())
    print(text)
    return int(share < asked.least)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=200, help="how many mutants (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--module", default="", help="a regular expression for paths in the package: analysis/gate")
    parser.add_argument("--least", type=float, default=0.0, help="the score in percent under which the exit code is 1")
    parser.add_argument("--processes", type=int, default=2, help="mutants that are tried at a time (default 2)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ganbench-mutants")
    parser.add_argument("--root", type=Path, default=ROOT, help="another project with a package `ganbench`")
    return parser


if __name__ == "__main__":
    sys.exit(main())
