"""Letters to other machines and their answers: what is sent, what is done there, what comes home, what a loss costs."""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from same import equal

import ganbench
from ganbench import api
from ganbench.errors import UserError
from ganbench.executors import remote, work
from ganbench.executors.base import Task, Tasks
from ganbench.executors.blame import Failure
from ganbench.executors.remote import Engine, Post, pump, there
from ganbench.results import copying, planfile
from ganbench.results.store import ATTEMPTS, Store

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=4",
        "probe_every=2", "loss=hinge", "normalization=none,spectral"]  # fmt: skip


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return api.run(None, GRID, out=tmp_path_factory.mktemp("local") / "study", workers=1)


@dataclass
class Worker:
    """Stands for worker processes: leaves what was trained before, and notes what it was given."""

    trained: Store
    events: list = field(default_factory=list)
    last: dict = field(default_factory=lambda: {"event": "finished"})
    leaves: bool = True
    started: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    found: list = field(default_factory=list)

    def __call__(self, study, device, files):
        self.started.append((study, device, files))
        return self

    def perform(self, asked, take):
        place, name = self.started[-1][0], asked["name"]
        self.asked.append(asked)
        own = Store(place).population(name)
        self.found.append((own.whole_steps(), own.checkpoint.read_text() if own.checkpoint.exists() else ""))
        for event in self.events:
            take(event)
        if self.leaves:
            own.remove()
            shutil.copytree(self.trained.population(name).path, own.path)
            shutil.copytree(self.trained.path / "problems", place / "problems", dirs_exist_ok=True)
        return self.last


@pytest.fixture
def worker(local, monkeypatch, tmp_path):
    monkeypatch.setattr(remote.platform, "node", lambda: "node-7")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    found = Worker(local.store)
    monkeypatch.setattr(remote, "Server", found)
    return found


@dataclass
class Office:
    """A study that is to be trained, and what it was told."""

    store: Store
    tasks: Tasks
    told: list
    ended: list


@pytest.fixture
def office(local, tmp_path):
    store, told = Store(tmp_path / "study"), []
    store.begin(local.plan)
    tasks = Tasks(
        store, local.plan, work.populations(local.plan, "cpu"), "cpu", lambda name, event: told.append((name, event))
    )
    return Office(store, tasks, told, [])


@pytest.fixture
def noting(office, monkeypatch):
    """The same, where nothing follows from how a job ended: it is noted."""
    monkeypatch.setattr(
        office.tasks.schedule, "ended", lambda job, failure: office.ended.append((job, failure)) or iter(())
    )
    return office


def trial(office):
    job = office.tasks.schedule.waiting[0]
    return Task(work.Job(job.name, job.runs, until=3), office.tasks)


def begun(local, name, place, until, checkpoint="", problems=False):
    """Lay out a population that was trained up to a step, with a checkpoint of this content or without one."""
    folder = Store(place).population(name)
    shutil.copytree(local.store.population(name).path, folder.path)
    folder.rewind(until)
    if checkpoint:
        folder.checkpoint.write_text(checkpoint)
    if problems:
        shutil.copytree(local.path / "problems", place / "problems")
    return folder


# ------------------------------------------------------------------------------------------ where the work is done


PROGRESS = [{"event": "progress", "step": 3, "alive": 2}, {"event": "told", "text": "hm"},
            {"event": "progress", "step": 7}, {"event": "progress", "step": 5}]  # fmt: skip


def test_on_a_shared_disk_the_answer_names_the_place_of_its_files(worker, office, local):
    worker.events = PROGRESS
    heard = []
    with Post(office.tasks).opened() as post:
        letter = post.letter(office.tasks.next())
        answer = there(letter, heard.append)
        place = post.attempts / post.token / answer["place"]
        name = letter["asked"]["name"]
        assert answer == {
            "last": {"event": "finished"}, "where": "node-7", "step": 7, "told": [{"event": "told", "text": "hm"}],
            "place": place.name,
        }  # fmt: skip
        assert place.name.startswith(f"{name}-")
        assert worker.started == [(place, "cpu", [])]
        assert worker.asked == [letter["asked"]]
        assert (place / "plan.yaml").read_text() == letter["plan"]
        assert Store(place).environments() == [letter["environment"]]
        assert not copying.difference(Store(place).population(name), local.store.population(name))
    assert heard == [{**event, "where": "node-7"} for event in PROGRESS]
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_elsewhere_the_files_come_with_the_answer_and_nothing_stays(worker, office, local):
    letter = Post(office.tasks).letter(office.tasks.next()) | {"study": "/not/here"}
    answer = there(letter)
    name = letter["asked"]["name"]
    parts = [local.store.population(name).path, local.path / "problems"]
    assert set(answer) == {"last", "where", "step", "told", "files"}
    assert answer["files"] == {
        file.relative_to(local.path).as_posix(): file.read_bytes() for part in parts for file in part.iterdir()
    }
    assert worker.started[0][0].parent.name.startswith("ganbench-")
    assert worker.started[0][0].parent.parent == Path(tempfile.gettempdir())
    assert not list(Path(tempfile.gettempdir()).iterdir())


@pytest.mark.parametrize(("events", "step"), [([], 0), ([{"event": "told", "text": "hm"}], 0)])
def test_who_has_not_told_of_a_step_has_made_none(worker, office, events, step):
    worker.events = events
    answer = there(Post(office.tasks).letter(office.tasks.next()) | {"study": "/not/here"})
    assert (answer["step"], answer["told"]) == (step, events)


def test_a_machine_that_clears_its_temporary_files_away_still_answers(worker, office, monkeypatch):
    def perform(asked, take):
        shutil.rmtree(tempfile.gettempdir())
        return {"event": "failed", "error": "E"}

    monkeypatch.setattr(worker, "perform", perform)
    answer = there(Post(office.tasks).letter(office.tasks.next()) | {"study": "/not/here"})
    assert (answer["last"], answer["files"]) == ({"event": "failed", "error": "E"}, {})


def test_what_another_attempt_has_completed_is_not_trained_again_but_tried(worker, office):
    with Post(office.tasks).opened() as post:
        task = office.tasks.next()
        first, again = there(post.letter(task)), there(post.letter(task))
        assert len(worker.asked) == 1
        assert again["last"] == {"event": "finished"}
        assert again["place"] != first["place"]
        assert Store(post.attempts / post.token / again["place"]).population(task.job.name).verify(office.tasks.plan)
        there(post.letter(Task(work.Job(task.job.name, task.job.runs, until=3), office.tasks)))
        assert [asked["until"] for asked in worker.asked] == [0, 3]


def test_another_version_or_environment_is_refused(worker, office):
    letter = Post(office.tasks).letter(office.tasks.next())
    assert there(letter | {"ganbench": "0.0.1"}) == {
        "unfit": f"it has ganbench {ganbench.__version__}, not 0.0.1", "where": "node-7"
    }  # fmt: skip
    assert not worker.started
    worker.last = {"event": "unfit", "error": "it has torch 1.0"}
    assert there(letter) == {"unfit": "it has torch 1.0", "where": "node-7"}


@pytest.mark.parametrize(("own", "others", "found"), [
    ((), [], ([], "")),
    ((), [(2, "first"), (4, "second")], ([0, 2, 4], "second")),
    ((4, "study"), [(2, "first")], ([0, 2, 4], "study")),
    ((2, "study"), [(2, "first")], ([0, 2], "study")),
    ((), [(2, "")], ([], "")),
])  # fmt: skip
def test_an_attempt_goes_on_where_the_furthest_with_a_checkpoint_is(worker, office, local, own, others, found):
    with Post(office.tasks).opened() as post:
        task = office.tasks.next()
        if own:
            begun(local, task.job.name, office.store.path, *own)
        for number, other in enumerate(others):
            begun(local, task.job.name, post.attempts / post.token / f"{task.job.name}-{number}", *other)
        there(post.letter(task))
    assert worker.found == [found]


def test_what_an_attempt_goes_on_from_brings_what_is_known_of_its_problem(worker, office, local):
    """A letter knows the description alone; the samples beside it are found with the attempt."""
    worker.leaves = False
    (description,) = (local.path / "problems").glob("*.json")
    with Post(office.tasks).opened() as post:
        task = office.tasks.next()
        begun(local, task.job.name, post.attempts / post.token / f"{task.job.name}-0", 4, "x", problems=True)
        answer = there(post.letter(task) | {"problem": {description.name: b"{}"}})
        problems = post.attempts / post.token / answer["place"] / "problems"
        assert {file.name: file.read_bytes() for file in problems.iterdir()} == {
            file.name: file.read_bytes() for file in (local.path / "problems").iterdir()
        }
    assert worker.found == [([0, 2, 4], "x")]


def test_what_is_known_of_the_problem_goes_with_the_letter(worker, office, local):
    worker.leaves = False
    shutil.copytree(local.path / "problems", office.store.path / "problems")
    letter = Post(office.tasks).letter(office.tasks.next()) | {"study": "/not/here"}
    known = {file.name: file.read_bytes() for file in (local.path / "problems").iterdir()}
    assert len(known) == 2
    assert letter["problem"] == known
    assert there(letter)["files"] == {f"problems/{name}": content for name, content in known.items()}


def test_plugin_files_are_laid_out_where_they_are_not_the_same(tmp_path):
    same, other, base = tmp_path / "same.py", tmp_path / "other" / "mine.py", tmp_path / "base"
    other.parent.mkdir()
    base.mkdir()
    same.write_bytes(b"y = 2\n")
    other.write_bytes(b"z = 0\n")
    letter = {"files": {"/elsewhere/mine.py": b"x = 1\n", str(same): b"y = 2\n", str(other): b"z = 3\n"}}
    for _ in range(2):  # a second job on the same disk finds them laid out
        first, second, third = remote._plugin_files(letter, base)
        assert second == same
        assert [(file.name, file.read_bytes()) for file in (first, third)] == [
            ("mine.py", b"x = 1\n"), ("mine.py", b"z = 3\n")
        ]  # fmt: skip
        assert first.is_relative_to(base)
        assert third.is_relative_to(base)
    assert other.read_bytes() == b"z = 0\n"


# ------------------------------------------------------------------------------------------ where the study is


def test_a_letter_holds_all_that_another_machine_needs(office, tmp_path, monkeypatch):
    mine = tmp_path / "mine.py"
    mine.write_bytes(b"x = 1\n")
    object.__setattr__(office.tasks.plan, "plugin_files", (str(mine),))
    try:
        post, task = Post(office.tasks), office.tasks.next()
        text = planfile.dump(office.tasks.plan)
    finally:
        object.__setattr__(office.tasks.plan, "plugin_files", ())
    monkeypatch.chdir(tmp_path)
    assert post.letter(task) == {
        "study": str(office.store.path), "token": post.token, "plan": text, "files": {str(mine): b"x = 1\n"},
        "device": "cpu", "asked": task.job.asked, "environment": {}, "problem": {}, "ganbench": ganbench.__version__,
    }  # fmt: skip


def test_the_place_of_a_study_is_told_in_full_and_its_latest_environment(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(Path("study"))
    store.begin(local.plan)
    for number in range(3):
        store.log_environment({"torch": str(number)})
    tasks = Tasks(store, local.plan, work.populations(local.plan, "cpu"), "cpu", lambda *_: None)
    post = Post(tasks)
    letter = post.letter(tasks.next())
    assert (letter["study"], letter["environment"]) == (str(tmp_path / "study"), {"torch": "2"})
    assert post.attempts == tmp_path / "study" / ATTEMPTS


def test_what_an_earlier_command_has_left_is_taken_over_and_cleared_up(office, local):
    first, second = (job.name for job in office.tasks.schedule.waiting)
    for name, token in ((first, "old"), (second, "older")):
        place = office.store.path / ATTEMPTS / token / f"{name}-x"
        begun(local, name, place, 4, "x")
        (place / "plan.yaml").write_text(planfile.dump(local.plan))
    with Post(office.tasks).opened() as post:
        assert [path.name for path in post.attempts.iterdir()] == [post.token]
        assert {folder.id for folder in office.store.populations()} == {first, second}
        assert all(folder.checkpoint.read_text() == "x" for folder in office.store.populations())
        shutil.rmtree(post.attempts)  # as somebody may who tidies up
    assert not (office.store.path / ATTEMPTS).exists()


def test_a_command_that_fails_clears_up_as_well(office):
    with pytest.raises(KeyboardInterrupt), Post(office.tasks).opened():
        raise KeyboardInterrupt
    assert not (office.store.path / ATTEMPTS).exists()


@pytest.mark.parametrize("apart", [False, True])
def test_what_comes_home_is_in_the_study_and_told(worker, noting, local, apart):
    worker.events = PROGRESS
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        letter = post.letter(task)
        post.take(task, there(letter | ({"study": "/not/here"} if apart else {})))
        assert not list((post.attempts / post.token).iterdir()), "the attempt is cleared away"
    assert noting.ended == [(task.job, None)]
    assert noting.told == [(task.job.name, PROGRESS[1]), (task.job.name, {"event": "finished"})]
    assert (task.where, task.step) == ("node-7", 7)
    assert noting.store.population(task.job.name).verify(local.plan)
    label = local.plan.label(task.job.runs[0].variant)
    mine, theirs = noting.store.problem(label).read(), local.store.problem(label).read()
    assert (mine.pop("real") == theirs.pop("real")).all()
    assert mine == theirs


def test_a_problem_that_is_known_stays_as_it_is(worker, noting, local):
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        answer = there(post.letter(task))
        label = local.plan.label(task.job.runs[0].variant)
        record = local.store.problem(label).read()
        real = record.pop("real")
        noting.store.problem(label).write(record, real + 1)
        post.take(task, answer)
    assert (noting.store.problem(label).read()["real"] == real + 1).all()


def test_who_is_unfit_ends_the_command_by_name(noting):
    with Post(noting.tasks).opened() as post, pytest.raises(UserError) as refused:
        post.take(noting.tasks.next(), {"unfit": "it has torch 1.0", "where": "node-7"})
    assert str(refused.value) == "The worker on node-7 cannot train this plan: it has torch 1.0."
    assert not noting.ended


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_of_a_trial_comes_home(worker, noting, apart):
    worker.leaves = not apart
    worker.events = PROGRESS
    worker.last = {"event": "failed", "error": "E", "guilty": ["a"]}
    with Post(noting.tasks).opened() as post:
        task = trial(noting)
        post.take(task, there(post.letter(task) | ({"study": "/not/here"} if apart else {})))
        assert not list((post.attempts / post.token).iterdir())
    assert noting.ended == [(task.job, Failure("E", step=7, guilty=("a",)))]
    assert not noting.told
    assert not noting.store.populations()


def test_files_that_do_not_come_back_whole_are_a_failure(worker, noting, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(remote, "time", clock)
    worker.leaves = False
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        post.take(task, there(post.letter(task)))
    assert noting.ended == [(task.job, Failure("its files did not come back whole"))]
    assert clock.now > 30


def test_files_that_a_shared_disk_shows_late_are_waited_for(worker, noting, local, monkeypatch):
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        answer = there(post.letter(task))
        place = post.attempts / post.token / answer["place"] / "populations"
        hidden = place.rename(place.with_name("unseen"))

        class Late(Clock):
            def sleep(self, seconds):
                super().sleep(seconds)
                if self.now == 105.0:
                    hidden.rename(place)

        clock = Late()
        monkeypatch.setattr(remote, "time", clock)
        post.take(task, answer)
    assert clock.now == 105.0
    assert noting.ended == [(task.job, None)]
    name = task.job.name
    assert not copying.difference(noting.store.population(name), local.store.population(name))


def test_a_failed_job_leaves_what_it_had_trained_in_the_study(worker, noting, local, monkeypatch):
    """Nobody waits for the files of a failed one to be whole, and its error is what it said."""
    monkeypatch.setattr(remote, "_seen", None)
    worker.leaves, worker.last = False, {"event": "failed", "error": "E"}
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        begun(local, task.job.name, post.attempts / post.token / f"{task.job.name}-0", 2, "x")
        post.take(task, there(post.letter(task)))
    own = noting.store.population(task.job.name)
    assert (own.whole_steps(), own.checkpoint.read_text()) == ([0, 2], "x")
    assert noting.ended == [(task.job, Failure("E"))]


def test_a_second_result_that_differs_is_a_failure_and_the_first_stays(worker, noting, local):
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        name = task.job.name
        own = noting.store.population(name)
        own.path.parent.mkdir()
        copying.copy(local.store.population(name), own)
        post.take(task, there(post.letter(task)))
        assert noting.ended.pop() == (task.job, None), "twice the same is no failure"
        answer = there(post.letter(task))
        file = Store(post.attempts / post.token / answer["place"]).population(name).path / "done.json"
        record = json.loads(file.read_text())
        del record["sealed"]  # as an earlier version wrote it
        file.write_text(json.dumps({**record, "diverged_step": [1, 1]}))
        post.take(task, answer)
    told = "it was trained twice, and the two differ in the steps at which runs diverged"
    assert noting.ended == [(task.job, Failure(told))]
    assert own.done()["diverged_step"] == local.store.population(name).done()["diverged_step"]


@pytest.mark.parametrize(("own", "attempt", "kept"), [
    ((2, "own"), (4, "other"), "other"), ((4, "own"), (2, "other"), "own"), ((2, "own"), (2, "other"), "own"),
    ((), (2, "other"), "other"),
])  # fmt: skip
def test_the_furthest_attempt_of_a_lost_job_stays(noting, local, own, attempt, kept):
    with Post(noting.tasks).opened() as post:
        task = noting.tasks.next()
        if own:
            begun(local, task.job.name, noting.store.path, *own)
        begun(local, task.job.name, post.attempts / post.token / f"{task.job.name}-1", 0, "least")
        begun(local, task.job.name, post.attempts / post.token / f"{task.job.name}-2", *attempt)
        post.lost(task, "its machine is gone")
    assert noting.store.population(task.job.name).checkpoint.read_text() == kept
    assert noting.ended == [(task.job, Failure("its machine is gone"))]


def test_of_a_lost_job_without_files_and_of_a_lost_trial_nothing_stays(noting, local):
    with Post(noting.tasks).opened() as post:
        task, tried = noting.tasks.next(), trial(noting)
        post.lost(task, "its machine is gone")
        begun(local, tried.job.name, post.attempts / post.token / f"{tried.job.name}-1", 2, "x")
        post.lost(tried, "its machine is gone too")
    assert not noting.store.populations()
    assert noting.ended == [
        (task.job, Failure("its machine is gone")), (tried.job, Failure("its machine is gone too"))
    ]  # fmt: skip


class Clock:
    """A second passes with every sleep."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds == 0.2
        self.now += 1.0


@pytest.mark.parametrize(("after", "seen"), [(0.0, True), (2.0, True), (30.5, True), (31.5, False)])
def test_what_another_machine_has_written_is_waited_for(monkeypatch, after, seen):
    """Half a minute, and one last look after it."""
    clock = Clock()
    clock.now = 0.0
    monkeypatch.setattr(remote, "time", clock)
    assert remote._seen(lambda: clock.now >= after) is seen
    assert clock.now == min(-(-after // 1), 31)


# ------------------------------------------------------------------------------------------ between the two


@dataclass
class Mail(Engine):
    """Does letters on the spot; of some machines nothing comes back."""

    most: int = 2
    lost: int = 0
    told: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)

    def room(self):
        return self.most

    def submit(self, letters):
        self.sent.append(letters)
        before = sum(map(len, self.sent[:-1]))
        return list(range(before, before + len(letters)))

    def ended(self, handles):
        letters = [letter for letters in self.sent for letter in letters]
        for handle in handles:
            self.lost -= 1
            yield handle, "its machine is gone" if self.lost >= 0 else there(letters[handle])

    def heard(self):
        told, self.told = self.told, []
        yield from told

    def cancel(self, handles):
        self.cancelled.append(handles)


def names(engine):
    return [[letter["asked"]["name"] for letter in letters] for letters in engine.sent]


@pytest.mark.parametrize(("most", "sent"), [(5, [2]), (2, [2]), (1, [1, 1]), (0, [1, 1])])
def test_as_much_is_out_as_there_is_room_for_and_at_least_one(worker, office, local, most, sent):
    engine = Mail(most)
    waiting = [job.name for job in office.tasks.schedule.waiting]
    pump(office.tasks, engine)
    assert [len(letters) for letters in names(engine)] == sent
    assert [name for letters in names(engine) for name in letters] == waiting
    assert [(name, event["event"]) for name, event in office.told] == [(name, "finished") for name in waiting]
    assert engine.cancelled == [[]]
    assert not (office.store.path / ATTEMPTS).exists()
    equal(api.load(office.store.path), local)


def test_a_job_that_is_lost_twice_is_sent_a_third_time_alone(worker, office, local):
    engine = Mail(1, lost=2)
    first, second = (job.name for job in office.tasks.schedule.waiting)
    pump(office.tasks, engine)
    assert names(engine) == [[first], [first], [first], [second]]
    assert {name: event["event"] for name, event in office.told} == {first: "finished", second: "finished"}


def test_a_job_that_is_lost_three_times_has_failed_and_the_others_go_on(worker, office, local):
    engine = Mail(1, lost=3)
    first, second = (job.name for job in office.tasks.schedule.waiting)
    pump(office.tasks, engine)
    assert names(engine) == [[first], [first], [first], [second]]
    assert office.told == [(first, {"event": "failed", "error": "its machine is gone"}),
                           (second, {"event": "finished"})]  # fmt: skip
    assert office.store.population(first).failed() == {"error": "its machine is gone", "details": ""}


def test_what_is_out_when_a_command_ends_is_given_up(worker, office):
    class Interrupted(Mail):
        def ended(self, handles):
            raise KeyboardInterrupt

    engine = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        pump(office.tasks, engine)
    assert engine.cancelled == [[0, 1]]


def test_what_was_out_when_a_command_ends_is_where_the_next_goes_on(worker, office, local):
    first, second = (job.name for job in office.tasks.schedule.waiting)
    attempts = office.store.path / ATTEMPTS

    class Gone(Mail):
        def submit(self, letters):
            if self.sent:
                raise OSError("the cluster is gone")
            return super().submit(letters)

        def ended(self, handles):
            (token,) = attempts.iterdir()
            begun(local, first, token / f"{first}-0", 0, "less")
            begun(local, first, token / f"{first}-1", 2, "more")
            yield handles[0], "its scheduler is gone"

        def cancel(self, handles):
            raise OSError("nobody is there to be told")

    with pytest.raises(OSError, match="nobody is there to be told"):
        pump(office.tasks, Gone())
    own = office.store.population(first)
    assert (own.whole_steps(), own.checkpoint.read_text()) == ([0, 2], "more")
    assert not office.store.population(second).path.exists()
    assert not attempts.exists()


def test_an_engine_that_forgets_a_letter_is_noticed(worker, office):
    class Forgetful(Mail):
        def submit(self, letters):
            return super().submit(letters)[:-1]

    with pytest.raises(ValueError, match="zip"):
        pump(office.tasks, Forgetful())


def test_progress_is_passed_on_with_where_it_is_made(worker, office):
    """Of jobs that are out, and of nothing else that is told."""
    first, second = (job.name for job in office.tasks.schedule.waiting)
    heard = []
    office.tasks.board.hear = lambda *words: heard.append(words)

    class Telling(Mail):
        def ended(self, handles):
            self.rounds = [*getattr(self, "rounds", ()), len(handles)]
            if len(self.rounds) == 1:
                self.told = [
                    (first, {"event": "progress", "step": 2, "alive": 1, "where": "node-3", "more": 0}),
                    (first, {"event": "progress", "step": 3}),
                    ("stranger", {"event": "progress", "step": 2}),
                    (second, {"event": "told", "text": "comes with the answer"}),
                ]
                return
            yield from super().ended(handles)

    pump(office.tasks, Telling())
    assert heard[:2] == [(first, 2, "node-3"), (first, 3, "node-3")]
    assert office.told[:2] == [
        (first, {"event": "progress", "step": 2, "alive": 1}), (first, {"event": "progress", "step": 3})
    ]  # fmt: skip
    assert [event["event"] for _, event in office.told[2:]] == ["finished", "finished"]


def test_the_progress_of_a_trial_is_nobodys(office):
    """Several trials of a population have its name, so that none of them is told of it."""
    task = trial(office)
    remote._tell(Mail(told=[(task.job.name, {"event": "progress", "step": 2})]), {0: task})
    assert task.step == 0


@pytest.mark.parametrize("ask", [lambda e: e.room(), lambda e: e.submit([]), lambda e: e.ended([])])
def test_what_an_engine_must_have_is_missed(ask):
    with pytest.raises(NotImplementedError):
        ask(Engine())


def test_an_engine_need_not_tell_or_cancel():
    assert list(Engine().heard()) == []
    Engine().cancel([])
