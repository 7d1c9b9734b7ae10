"""What docs/cluster.md shows is what works: its words are commands and settings that exist, and its shell steps run."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fake_slurm import Jobs, install

from ganbench import api
from ganbench.executing import taken
from ganbench.reading import parse_overrides

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cluster.md"
RELIABILITY = PAGE.with_name("reliability.md")
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of this installation")

SUITE = """
problem: ring8
normalization: [none, spectral, layer]
network.mlp.width: 8
seeds: 2
steps: 4
probe_every: 2
batch_size: 16
samples: 64
neighbours: 32
"""


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for own, text in found if own == language]


def steps_of_the_workflow():
    (text,) = blocks("yaml")
    jobs = yaml.safe_load(text)["jobs"]
    return {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}


def test_the_workflow_is_whole():
    steps = steps_of_the_workflow()
    assert [step.split()[0] for step in steps["shard"]] == ["pip", "ganbench"]
    assert [step.split()[:2] for step in steps["merge"]] == [["pip", "install"], ["ganbench", "merge"]]


def test_the_settings_that_are_shown_exist():
    lines = [line for block in blocks("") for line in block.splitlines() if "executor=" in line]
    assert len(lines) == 4
    for line in lines:
        words = [word for word in line.partition("#")[0].split() if word.startswith("executor")]
        assert taken({}, parse_overrides(words))["name"] in ("dask", "slurm")


def test_the_tests_that_are_said_to_hold_what_may_break_exist():
    """A name without a file, `::name`, is of the file that the same row has named last."""
    rows = [line for line in RELIABILITY.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    found = []
    for row in rows:
        file = ""
        for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", row):
            file = path or file
            if path or name:
                found.append((file, name))
    assert len(found) > 30
    assert [path for path, _ in found if not (ROOT / path).is_file()] == []
    assert [(p, name) for p, name in found if name and f"def {name}(" not in (ROOT / p).read_text("utf-8")] == []


def shell(folder, script, suite=SUITE, **variables):
    """Run a script where `ganbench` is the one of this checkout."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    program = bin_ / "ganbench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganbench "$@"\n')
    program.chmod(0o755)
    (folder / "tiny.yaml").write_text(suite)
    paths = os.pathsep.join([str(bin_), os.environ["PATH"]])
    variables |= {"PATH": paths, "PYTHONPATH": str(ROOT), "SUITE": "tiny.yaml", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**os.environ, **variables},
        text=True,
        capture_output=True,
        check=True,
    )


def assert_whole(folder):
    study = api.load(folder / "whole")
    assert set(study.runs["status"]) == {"done"}
    assert len(study.runs) == 6


@pytest.mark.slow
def test_the_steps_of_the_workflow_run(tmp_path):
    steps = steps_of_the_workflow()
    for number in range(1, 5):
        shell(tmp_path, steps["shard"][1].replace("${{ matrix.shard }}", str(number)))
    shell(tmp_path, steps["merge"][1])
    assert_whole(tmp_path)


@pytest.mark.slow
def test_the_array_of_slurm_runs(tmp_path):
    (script,) = blocks("bash")
    for number in range(1, 5):
        shell(tmp_path, script, SLURM_ARRAY_TASK_ID=str(number))
    shell(tmp_path, "ganbench merge part-* --out whole")
    assert_whole(tmp_path)


@pytest.mark.slow
def test_the_array_of_slurm_is_preempted_and_goes_on(tmp_path, monkeypatch):
    (script,) = blocks("bash")
    monkeypatch.setenv("PATH", os.pathsep.join([install(tmp_path / "slurm"), os.environ["PATH"]]))
    jobs, suite = (
        Jobs(tmp_path / "slurm"),
        SUITE.replace("steps: 4\n", "steps: 3000\n").replace("probe_every: 2", "probe_every: 100"),
    )
    (tmp_path / "array.sh").write_text(script)
    shell(tmp_path, "sbatch array.sh", suite, GANBENCH_CHECKPOINT_SECONDS="-1")
    try:
        _preempt_one_that_has_begun(jobs, tmp_path)
        jobs.wait(300.0)
    finally:
        for job in jobs.open():
            subprocess.run(["scancel", job], check=False)
    assert sorted(map(jobs.starts, jobs.names)) == [1, 1, 1, 2]
    assert {jobs.state(job) for job in jobs.names} == {"COMPLETED"}
    shell(tmp_path, "ganbench merge part-* --out whole", suite)
    assert_whole(tmp_path)


def _preempt_one_that_has_begun(jobs, folder):
    until = time.monotonic() + 120.0
    while not (found := sorted(folder.glob("part-*/populations/*/checkpoint.pt"))):
        assert time.monotonic() < until, "no shard has begun"
        time.sleep(0.02)
    jobs.preempt(f"1_{found[0].relative_to(folder).parts[0].removeprefix('part-')}")
