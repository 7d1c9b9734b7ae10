"""Work that is done on another machine: the letter that asks for it, what is done there, how its files come back.

Whoever does a job writes into a place of its own, an attempt. What is complete moves into the study by a rename, so
that two machines may do the same job at the same time, and one that was thought to be gone may come back: the first
that is complete stays. An attempt begins where the furthest of the others has a checkpoint. So no lock is held over a
network, and no clock is asked.
"""

from __future__ import annotations

import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ganbench
from ganbench.errors import UserError
from ganbench.executors.base import Task, Tasks
from ganbench.executors.isolate import Event
from ganbench.executors.serving import Server
from ganbench.executors.work import Job
from ganbench.files import append_line, file_name, remove, replace_file, write_text, writing_to
from ganbench.results import copying, planfile
from ganbench.results.population import PopulationFolder
from ganbench.results.store import ATTEMPTS, Store

Letter = dict[str, Any]
Answer = dict[str, Any]

TRIES = 3
"""How often a job is sent before it counts as failed: a machine that goes away is no fault of the job's."""

SEEN_SECONDS = 30.0
"""How long a file that another machine has written may stay unseen on a shared disk: NFS keeps names for up to 60 s by
default, and looks again at once where a folder is listed anew."""


# ------------------------------------------------------------------------------------------ where the work is done


def there(letter: Letter, emit: Callable[[Event], None] = lambda event: None) -> Answer:
    """Do the job of a letter on this machine; return its last event, its files unless the study's disk is shared here.

    An answer with "unfit" says why this machine must not train the plan: it has other code or data than the plan was
    made with. Nothing that a plug-in does ends this process: the job is done in another one.
    """
    study, asked = Path(letter["study"]), letter["asked"]
    where = platform.node()
    if letter["ganbench"] != ganbench.__version__:
        return {"unfit": f"it has ganbench {ganbench.__version__}, not {letter['ganbench']}", "where": where}
    shared = (study / ATTEMPTS / letter["token"]).is_dir()
    base = study / ATTEMPTS / letter["token"] if shared else Path(tempfile.mkdtemp(prefix="ganbench-"))
    try:
        place = base / f"{file_name(asked['name'])}-{secrets.token_hex(4)}"
        store = _lay_out(place, letter, base)
        if shared:
            _go_on(store, asked["name"], study, base)
        events: list[Event] = []

        def take(event: Event) -> None:
            events.append(event)
            emit({**event, "where": where})

        if not asked["until"] and store.population(asked["name"]).verify(store.read_plan()):
            # it was done already, and the word of it got lost
            return _answer(store, {"event": "finished"}, events, where, shared=shared)
        server = Server(place, letter["device"], [str(file) for file in _plugin_files(letter, base)])
        last = server.perform(asked, take)
        if last["event"] == "unfit":
            return {"unfit": last["error"], "where": where}
        return _answer(store, last, events, where, shared=shared)
    finally:
        if not shared:
            shutil.rmtree(base, ignore_errors=True)


def _answer(store: Store, last: Event, events: list[Event], where: str, *, shared: bool) -> Answer:
    return {
        "last": last, "where": where, "step": max((event.get("step", 0) for event in events), default=0),
        "told": [event for event in events if event["event"] == "told"],
        **({"place": store.path.name} if shared else {"files": _read_all(store.path)}),
    }  # fmt: skip


def _lay_out(place: Path, letter: Letter, base: Path) -> Store:
    """Make the study of an attempt: the plan, what it is trained with, and what is known of its problem."""
    place.mkdir()
    write_text(place / "plan.yaml", letter["plan"])
    append_line(place / "environments.jsonl", letter["environment"])
    for name, content in letter["problem"].items():
        (place / "problems").mkdir(exist_ok=True)
        (place / "problems" / name).write_bytes(content)
    return Store(place)


def _go_on(store: Store, name: str, study: Path, attempts: Path) -> None:
    """Take over what another attempt of the same population has, the furthest of them."""
    plan = store.read_plan()
    others = [Store(path).population(name) for path in attempts.glob(f"{file_name(name)}-*")]
    best = copying.furthest([Store(study).population(name), *others], plan)
    # another may write it, or clear it away: what is not whole is trained again
    with suppress(OSError):
        if best and copying.reach(best, plan)[0]:
            copying.copy(best, store.population(name))
            # what is known of its problem, too: where all is done already nobody finds it out again
            shutil.copytree(best.path.parents[1] / "problems", store.path / "problems", dirs_exist_ok=True)


def _plugin_files(letter: Letter, base: Path) -> list[Path]:
    """Return where the plug-in files of a letter are here: where they were, if they are the same, else laid out."""
    found = []
    for number, (path, content) in enumerate(letter["files"].items()):
        file = Path(path)
        if not (file.is_file() and file.read_bytes() == content):
            # a folder for each: two files may be called the same
            file = base / f"plugins-{number}" / file.name
            file.parent.mkdir(exist_ok=True)
            with replace_file(file) as target:
                target.write_bytes(content)
        found.append(file)
    return found


def _read_all(place: Path) -> dict[str, bytes]:
    names = [path for part in ("populations", "problems") for path in (place / part).rglob("*") if path.is_file()]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in names}


# ------------------------------------------------------------------------------------------ where the study is


class Post:
    """The letters of a study's tasks, and what is done with the answers."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks, self.token = tasks, secrets.token_hex(8)
        self.attempts = tasks.store.path.resolve() / ATTEMPTS
        self.text = planfile.dump(tasks.plan)
        self.files = {path: Path(path).read_bytes() for path in tasks.plan.plugin_files}
        self.environment = (tasks.store.environments() or [{}])[-1]

    @contextmanager
    def opened(self) -> Iterator[Post]:
        """Make room for attempts, take over what an earlier command has left of them, and clear up at the end."""
        for place in sorted(self.attempts.glob("*/*/plan.yaml")):
            for folder in Store(place.parent).populations():
                self._adopt(folder, self.tasks.store.population(folder.id))
        remove(self.attempts)
        (self.attempts / self.token).mkdir(parents=True)
        try:
            yield self
        finally:
            shutil.rmtree(self.attempts, ignore_errors=True)

    def letter(self, task: Task) -> Letter:
        """Return what another machine needs to do a task: plain data and bytes."""
        store, plan = self.tasks.store, self.tasks.plan
        problem = store.problem(plan.label(task.job.runs[0].variant))
        known = {file.name: file.read_bytes() for file in problem.files} if problem.exists() else {}
        return {
            "study": str(store.path.resolve()), "token": self.token, "plan": self.text, "files": self.files,
            "device": self.tasks.device, "asked": task.job.asked, "environment": self.environment, "problem": known,
            "ganbench": ganbench.__version__,
        }  # fmt: skip

    def take(self, task: Task, answer: Answer) -> None:
        """End a task as its answer says; UserError where the machine that was asked must not do it."""
        if "unfit" in answer:
            raise UserError(f"The worker on {answer['where']} cannot train this plan: {answer['unfit']}.")
        place = self.attempts / self.token / answer.get("place", f"{file_name(task.job.name)}-{secrets.token_hex(4)}")
        task.where, last = answer["where"], answer["last"]
        for event in answer["told"]:
            task.take(event)
        task.step = max(task.step, answer["step"])
        with writing_to(self.tasks.store.path):
            for name, content in answer.get("files", {}).items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)
            if not task.job.until:
                lost = self._keep(Store(place), task, ended=last["event"] == "finished")
                last = {"event": "failed", "error": lost} if lost else last
        task.take(last)
        task.end()
        shutil.rmtree(place, ignore_errors=True)

    def lost(self, task: Task, why: str) -> None:
        """End a task of which no answer will come, with what the furthest of its attempts has."""
        with writing_to(self.tasks.store.path):
            self.keep(task)
        task.end(why)

    def keep(self, task: Task) -> None:
        """Have in the study what the furthest attempt of a task has that is out."""
        if not task.job.until:
            places = (self.attempts / self.token).glob(f"{file_name(task.job.name)}-*")
            best = copying.furthest((Store(place).population(task.job.name) for place in places), self.tasks.plan)
            if best:
                self._adopt(best, self.tasks.store.population(task.job.name))

    def _keep(self, attempt: Store, task: Task, *, ended: bool) -> str:
        """Take an attempt's files into the study, and say what is wrong with them, or nothing."""
        store, plan, name = self.tasks.store, self.tasks.plan, task.job.name
        source, own = attempt.population(name), store.population(name)
        if ended and not _seen(lambda: attempt.population(name).verify(plan)):
            return "its files did not come back whole"
        label = plan.label(task.job.runs[0].variant)
        record = attempt.problem(label).read()
        if "real" in record and not store.problem(label).exists():
            store.problem(label).write({k: v for k, v in record.items() if k != "real"}, record["real"])
        return self._adopt(source, own)

    def _adopt(self, source: PopulationFolder, own: PopulationFolder) -> str:
        """Have what is further in the study's place; say in what two complete ones differ, or nothing."""
        plan = self.tasks.plan
        if not source.path.is_dir():
            return ""
        if own.path.is_dir() and own.verify(plan):
            differs = copying.difference(own, source) if source.verify(plan) else ""
            return f"it was trained twice, and the two differ in {differs}" if differs else ""
        if copying.furthest([own, source], plan) is source:
            own.path.parent.mkdir(exist_ok=True)
            with own.made_whole() as unfinished:
                source.path.rename(unfinished.path)
        return ""


def _seen(holds: Callable[[], bool]) -> bool:
    """Wait for what another machine has written to be seen here."""
    until = time.monotonic() + SEEN_SECONDS
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


# ------------------------------------------------------------------------------------------ between the two


class Engine:
    """What brings letters to other machines, and answers back."""

    def room(self) -> int:
        """Return how many letters may be out now: enough that no worker waits, few enough to change one's mind."""
        raise NotImplementedError

    def submit(self, letters: list[Letter]) -> list[Any]:
        """Send letters; return what stands for the answer to each."""
        raise NotImplementedError

    def ended(self, handles: list[Any]) -> Iterator[tuple[Any, Answer | str]]:
        """Yield the answers that have come, or in a sentence why none will: at least one, or nothing after a while."""
        raise NotImplementedError

    def heard(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what jobs have told meanwhile: names of populations, and events."""
        return iter(())

    def cancel(self, handles: list[Any]) -> None:
        """Give up letters that are out."""


def pump(tasks: Tasks, engine: Engine) -> None:
    """Have every task done by an engine, and ended."""
    with Post(tasks).opened() as post:
        out: dict[Any, Task] = {}
        lost: Counter[Job] = Counter()
        try:
            while True:
                new: list[Task] = []
                while len(out) + len(new) < max(engine.room(), 1) and (task := tasks.next()):
                    new.append(task)
                handles = engine.submit([post.letter(task) for task in new]) if new else []
                out.update(zip(handles, new, strict=True))
                if not out:
                    return
                for handle, answer in list(engine.ended(list(out))):
                    task = out[handle]
                    if not isinstance(answer, str):
                        post.take(out.pop(handle), answer)
                        continue
                    lost[task.job] += 1
                    if lost[task.job] >= TRIES:
                        post.lost(out.pop(handle), answer)
                    else:
                        # still out where it cannot be sent, for there is nobody any more
                        (again,) = engine.submit([post.letter(task)])
                        out[again] = out.pop(handle)
                _tell(engine, out)
        finally:
            for task in out.values():
                # the command was interrupted, or its cluster is gone: the next one goes on from there
                with suppress(OSError):
                    post.keep(task)
            engine.cancel(list(out))


def _tell(engine: Engine, out: dict[Any, Task]) -> None:
    by_name = {task.job.name: task for task in out.values() if not task.job.until}
    for name, event in engine.heard():
        if (task := by_name.get(name)) and event["event"] == "progress":
            task.where = event.get("where", task.where)
            task.take({key: event[key] for key in ("event", "step", "alive") if key in event})


def needs(module: str, extra: str) -> UserError:
    """Return the error for an engine that is not installed."""
    return UserError(f"The executor '{extra}' needs {module}: pip install 'ganbench[{extra}]' for {sys.executable}.")
