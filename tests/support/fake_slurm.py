"""A Slurm for tests that is this machine: sbatch, srun, sacct, squeue, scontrol and scancel as one small program.

Jobs are processes, each kept by one of its own that starts it again where it was requeued. `preempt` is what the
scheduler of a cluster does. Only what ganbench, submitit and docs/cluster.md ask for is there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scontrol", "scancel")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


def install(folder: Path) -> str:
    """Lay the commands out in a folder, which keeps the jobs too, and return what PATH is to begin with."""
    (folder / "bin").mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in COMMANDS:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec env FAKE_SLURM="{folder}" "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)
    return str(folder / "bin")


class Jobs:
    """The jobs of a folder, by "12", or "12_3" for one of an array."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "jobs"

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if "." not in path.name)

    def state(self, job: str) -> str:
        return (self.folder / job / "state").read_text()

    def starts(self, job: str) -> int:
        """How often it was started."""
        return len((self.folder / job / "starts").read_text())

    def open(self) -> list[str]:
        """Those that have not ended."""
        return [job for job in self.names if self.state(job) not in ENDED]

    def preempt(self, job: str) -> None:
        """Take a job's processor away without notice, and queue it again."""
        (self.folder / job / "requeue").touch()
        self.kill(job)

    def kill(self, job: str) -> None:
        with suppress(OSError, ValueError):
            os.killpg(int((self.folder / job / "pid").read_text()), signal.SIGKILL)

    def wait(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        until = time.monotonic() + seconds
        while self.open():
            if time.monotonic() > until:
                raise TimeoutError(f"not ended: {self.open()}")
            time.sleep(0.1)


def sbatch(jobs: Jobs, script: str) -> None:
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)$", text, re.MULTILINE))
    number = str(1 + len({name.partition("_")[0] for name in jobs.names}))
    first, last = re.match(r"(\d+)-(\d+)", options["array"]).groups() if "array" in options else ("", "")
    for task in range(int(first), int(last) + 1) if first else [None]:
        place = jobs.folder / (number if task is None else f"{number}_{task}")
        place.mkdir()
        (place / "script").write_text(text)
        (place / "state").write_text("PENDING")
        (place / "output").write_text(options.get("output", f"slurm-{place.name}.out").strip("'"))
        (place / "starts").write_text("")
        with (place / "keeper.log").open("wb") as log:
            command = [sys.executable, __file__, "keep", place.name]
            subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    print(f"Submitted batch job {number}")


def keep(jobs: Jobs, job: str) -> None:
    """Stay beside a job: start it, start it again where it is requeued, and note its end."""
    place, (number, _, task) = jobs.folder / job, job.partition("_")
    unique = str(1000 * int(number) + int(task)) if task else number
    own = {"SLURM_JOB_ID": unique} | ({"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": task} if task else {})
    while True:
        _write(place / "starts", (place / "starts").read_text() + "x")
        with Path(_named((place / "output").read_text(), job)).open("ab") as log:
            command = ["bash", str(place / "script")]
            shell = subprocess.Popen(command, env={**os.environ, **own}, start_new_session=True, stdout=log, stderr=log)
        _write(place / "pid", str(shell.pid))
        _write(place / "state", "RUNNING")
        code = shell.wait()
        if jobs.state(job) == "CANCELLED":
            return
        if not (place / "requeue").exists():
            _write(place / "state", "COMPLETED" if code == 0 else "FAILED")
            return
        (place / "requeue").unlink()
        _write(place / "state", "PENDING")


def srun(jobs: Jobs, *words: str) -> None:
    left, job = list(words), _own()
    files = {}
    while left and left[0].startswith("--"):
        option = left.pop(0)
        if option in ("--output", "--error"):
            files[option] = os.open(_named(left.pop(0), job), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _write(jobs.folder / job / "step", str(os.getpid()))
    for place, option in ((1, "--output"), (2, "--error")):
        if option in files:
            os.dup2(files[option], place)
    os.execvp(left[0], left)


def sacct(jobs: Jobs, *words: str) -> None:
    asked = {words[at + 1] for at, word in enumerate(words) if word == "-j"}
    rows = [f"{job}|{jobs.state(job)}|here" for job in jobs.names if job.partition("_")[0] in asked]
    print("\n".join(["JobID|State|NodeList", *rows]))


def squeue(jobs: Jobs, *_: str) -> None:
    print("\n".join(["JOBID STATE", *(f"{job} {jobs.state(job)}" for job in jobs.open())]))


def scontrol(jobs: Jobs, verb: str, job: str) -> None:
    assert verb == "requeue"
    (jobs.folder / job / "requeue").touch()


def scancel(jobs: Jobs, *words: str) -> None:
    """Signal the step of a job, which is not its shell, as Slurm does; without a signal, end it."""
    name = words[words.index("--signal") + 1] if "--signal" in words else ""
    for job in [word for word in words if word in jobs.names]:
        if name:
            os.kill(int((jobs.folder / job / "step").read_text()), getattr(signal, f"SIG{name.removeprefix('SIG')}"))
        elif job in jobs.open():
            _write(jobs.folder / job / "state", "CANCELLED")
            jobs.kill(job)


def _own() -> str:
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}" if task else os.environ["SLURM_JOB_ID"]


def _named(pattern: str, job: str) -> str:
    number, _, task = job.partition("_")
    return pattern.replace("%A", number).replace("%a", task).replace("%j", job).replace("%t", "0")


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(file)


if __name__ == "__main__":
    {f.__name__: f for f in (sbatch, keep, srun, sacct, squeue, scontrol, scancel)}[sys.argv[1]](
        Jobs(Path(os.environ["FAKE_SLURM"])), *sys.argv[2:]
    )
