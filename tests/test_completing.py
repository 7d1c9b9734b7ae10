"""Completion: what it reads from the source is what registry and command line have; bash itself completes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganbench import completing, kinds, listing, registry, shells
from ganbench.errors import UserError
from ganbench.reading import suite_names
from ganbench.suite import settings_model

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def known():
    return completing.commands()


def names(line, known):
    return [name for name, _ in completing.candidates(line.split(" "), known)]


def test_the_source_has_the_hyper_parameters_of_the_registry():
    for kind in registry.KINDS:
        own = {plugin.name: plugin for plugin in registry.plugins(kind) if plugin.is_own}
        read = {one.name: one for one in listing.declared(kind)}
        assert set(read) == set(own)
        for name, one in read.items():
            assert list(one.hypers) == list(own[name].hypers), (kind, name)


def test_keys_are_those_of_a_suite():
    fields = set(settings_model().model_fields) - {"hypers", "per_problem"}
    assert set(completing.keys()) == {*fields, "suite", "tuning", "claims", "executor"}
    assert set(completing.OF_KIND) | set(kinds.axes()) <= set(completing.keys())


def test_commands_and_their_options(known):
    assert {"run", "check", "report", "config", "export", "publish", "completion"} <= set(known)
    assert names("ex", known) == ["export"]
    assert names("", known) == list(known)
    assert set(names("run --", known)) >= {"--out", "--plugin", "--dry-run", "--help"}
    assert names("run --device c", known) == ["cpu", "cuda"]
    assert names("run --out re", known) == [], "the shell offers files"
    assert names("report re", known) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run suite=smo", ["suite=smoke"]),
        ("run loss=wass", ["loss=wasserstein"]),
        ("run loss=hinge,wass", ["loss=hinge,wasserstein"]),
        ("run loss=[hinge,wass", ["loss=[hinge,wasserstein"]),
        ("run loss=*,-wass", ["loss=*,-wasserstein"]),
        ("run regularizer=r1+instance", ["regularizer=r1+instance_noise"]),
        ("check suite=smoke normalization=spec", ["normalization=spectral"]),
        ("run g_normalization=spec", ["g_normalization=spectral"]),
        ("run diagnostics=me", ["diagnostics=medium"]),
        ("run batch_s", ["batch_size="]),
        ("run optimizer.adam.d_", ["optimizer.adam.d_lr="]),
        ("run optimizer.adamw", ["optimizer.adamw."]),
        ("run margins.s", ["margins.score="]),
        ("run nonsense.x", []),
        ("list regu", ["regularizer"]),
        ("show loss hin", ["hinge"]),
    ],
)
def test_words(known, line, expected):
    assert names(line, known) == expected


def test_all_values_of_a_key(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    assert names("run suite=mi", known) == ["suite=mine.yaml"]
    (tmp_path / "mine.yaml").unlink()
    assert names("run suite=", known) == [f"suite={name}" for name in suite_names()]
    own = [plugin.name for plugin in registry.plugins("loss") if plugin.is_own]
    assert set(names("run loss=", known)) == {f"loss={name}" for name in own}
    assert ("loss=hinge", registry.get("loss", "hinge").legend) in completing.candidates(["run", "loss="], known)


def test_what_a_plugin_file_on_the_line_registers(known, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('from ganbench import register\n\n\n@register("loss")\ndef hing(real, fake, *, slope=1.0): ...\n')
    assert names(f"run --plugin {file} loss=hing", known) == ["loss=hinge", "loss=hing"]
    assert names(f"run --plugin {file} loss.hing.", known) == ["loss.hing.slope="]
    file.write_text("def (")
    assert names(f"run --plugin {file} loss=hing", known) == ["loss=hinge"]
    assert names("run --plugin missing.py loss=hing", known) == ["loss=hinge"]


def environment(folder):
    program = folder / "ganbench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganbench "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}


def test_nothing_heavy_is_imported_for_it():
    heavy = ("torch", "numpy", "pandas", "scipy", "pydantic", "matplotlib")
    code = "import sys; sys.argv = ['ganbench', '__complete', 'run', 'loss=hin']"
    code += "\nfrom ganbench.supervise import main; main()"
    code += f"\nimport json; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True, check=True)  # fmt: skip
    first, last = done.stdout.splitlines()
    assert first == f"loss=hinge\t{registry.get('loss', 'hinge').legend}"
    assert json.loads(last) == []


ASK = """
source <(ganbench completion bash)
for line in "ganbench exp" "ganbench run loss=hin" "ganbench run loss=hinge,wass" "ganbench run regularizer.r1.ga"; do
    COMP_LINE=$line COMP_POINT=${#line} COMP_WORDBREAKS=$' \\t\\n"=:'
    compopt() { printf '(open) '; }
    _ganbench ganbench
    printf '%s\\n' "${COMPREPLY[*]}"
done
complete -p ganbench
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash(tmp_path):
    done = subprocess.run(["bash", "-c", ASK], env=environment(tmp_path), text=True, capture_output=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "export", "(open) hinge", "(open) hinge,wasserstein", "(open) regularizer.r1.gamma=",
        "complete -o default -F _ganbench ganbench",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    file = tmp_path / "script"
    file.write_text(shells.script(shell))
    assert subprocess.run([shell, "-n", str(file)], capture_output=True, check=False).returncode == 0


def test_every_script_asks_the_same():
    for shell in shells.SHELLS:
        assert f" {shells.COMMAND} " in shells.script(shell)
    with pytest.raises(UserError, match=r"Unknown shell 'tcsh'\. Did you mean 'zsh'\? Available: bash, fish, zsh"):
        shells.script("tcsh")
