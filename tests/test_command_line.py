"""What holds for every command: -h, -o wherever there is --out, progress in the log of a job, what export writes."""

import shlex
import sys

import pytest
from typer.main import get_command

from ganbench import cli, provenance, terminal
from ganbench.suite import resolve

TINY = [
    "problem=ring8",
    "steps=20",
    "batch_size=16",
    "probe_every=10",
    "samples=64",
    "neighbours=32",
    "network.mlp.width=8",
]
COMMANDS = get_command(cli.app).commands


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def test_out_is_o_everywhere():
    options = {name: [option.opts for option in one.params] for name, one in COMMANDS.items()}
    with_out = {name: next(opts for opts in of if "--out" in opts) for name, of in options.items()
                if any("--out" in opts for opts in of)}  # fmt: skip
    assert set(with_out) >= {"run", "confirm", "report", "export", "check", "baseline", "merge", "archive", "config"}
    assert {name: opts for name, opts in with_out.items() if "-o" not in opts} == {}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_h_is_help(command, name):
    code, out, err = command(name, "-h")
    assert (code, err) == (0, "")
    assert out == command(name, "--help")[1]
    assert f"ganbench {name}" in out


def test_h_of_the_program(command):
    assert command("-h") == command("--help")


def test_a_run_by_o_is_recorded_without_its_place(command, tmp_path):
    code, _, err = command("run", *TINY, "seeds=1", "-o", "study", "--workers", "1")
    assert (code, err) == (0, "")
    from ganbench import api

    assert api.load(tmp_path / "study").provenance["command"] == shlex.join(
        ["ganbench", "run", *TINY, "seeds=1", "--workers", "1"]
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run a=1 -o x b=2", "run a=1 b=2"),
        ("run a=1 --out x b=2", "run a=1 b=2"),
        ("run -ox b=2", "run b=2"),
        ("run --out=x b=2", "run b=2"),
    ],
)
def test_where_it_goes_is_no_part_of_the_command(monkeypatch, words, told):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ganbench", *words.split()])
    assert provenance.command() == f"ganbench {told}"


class Log:
    """A console that is no terminal."""

    is_terminal, is_jupyter = False, False

    def __init__(self):
        self.lines = []

    def print(self, text, **_):
        self.lines.append(text)


def test_the_log_of_a_job_has_a_line_now_and_then(monkeypatch, tmp_path):
    from rich.console import Console

    console = Console(file=open(tmp_path / "log", "w"), width=200)  # noqa: SIM115
    clock = [0.0]
    monkeypatch.setattr(terminal, "QUIET", 30.0)
    monkeypatch.setattr("ganbench.terminal.time.monotonic", lambda: clock[0])
    plan = resolve(None, [*TINY, "loss=hinge,minimax", "seeds=2"])
    with terminal.Progress(plan, "cpu", tmp_path / "study", console) as progress:
        (name,) = progress.course.size
        for second in range(0, 100, 5):
            clock[0] = float(second)
            progress.watch(name, {"event": "progress", "step": second // 5, "alive": 4 - (second > 50)})
    console.file.close()
    lines = (tmp_path / "log").read_text().splitlines()
    # at 30, 60 and 90 seconds, after 6, 12 and 18 of 20 steps
    assert [line.partition(" run-steps/s")[0] for line in lines] == [
        "30 %, 0/1 populations, 0 diverged, 1",
        "60 %, 0/1 populations, 1 diverged, 1",
        "90 %, 0/1 populations, 1 diverged, 1",
    ]


def test_what_is_asked_for_is_written(command):
    assert command("run", *TINY, "seeds=1", "--out", "study", "--workers", "1")[0] == 0
    code, out, err = command("export", "study", "--latex", "--markdown", "--methods", "--hf", "-o", "paper")
    assert (code, err) == (0, "")
    names = ["ranking.tex", "ranking.md", "methods.md", "model-index.yaml"]
    assert out.splitlines() == [f"Wrote paper/{name}" for name in names]
    code, out, _ = command("export", "study", "--methods", "--format", "csv", "-o", "both")
    assert out.splitlines() == ["Wrote both/results.csv", "Wrote both/methods.md"]
    code, _, err = command("export", "study", "--figures", "gif", "-o", "no")
    assert (code, err) == (2, "Error: Unknown format of figures 'gif'. Available: pdf, png, svg.\n")
    assert command("completion", "bash")[1].startswith("# Completion of ganbench for bash")
