"""What users get wrong: one clean sentence from Python as from the command line, before anything is written."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from overriding import over
from torch import nn

import ganbench
from ganbench import api, registry
from ganbench.errors import UserError, clean, quoted, told, unknown
from ganbench.executors.local import pick_workers
from ganbench.executors.work import trial
from ganbench.measure.evaluate import Evaluator
from ganbench.monitor import Monitor
from ganbench.reading import DEEPEST, LARGEST_VALUE, LONGEST_TEXT, read_yaml, write_yaml
from ganbench.suite import MOST_RUNS, MOST_VARIANTS, resolve
from ganbench.training import loop
from ganbench.training.building import make_problem
from ganbench.training.memory import check_fits
from ganbench.training.population import Population

ROOT = Path(__file__).parents[1]


def sentence(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# ------------------------------------------------------------------------------------------ texts of errors


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("  of two  spaces ", "of two  spaces"),
        ("two\nlines\r\n\tand more", "two lines and more"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\ud800", "\\ud800"),
        ("a\x00b\x07", "a\\x00b\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("Grüße, 你好", "Grüße, 你好"),
    ],
)
def test_texts_are_one_printable_line(text, cleaned):
    assert clean(text) == cleaned
    assert str(UserError(text)) == cleaned
    assert cleaned.encode()


def test_long_texts_lose_their_middle():
    text = clean("head" + "x" * 10**7 + "tail")
    assert len(text) == 1000
    assert text.startswith("headx")
    assert text.endswith("xtail")
    assert clean("x" * 1000) == "x" * 1000
    assert len(str(unknown("loss", "y" * 10**6, ["hinge"]))) < 200
    assert len(quoted(["z" * 1000] * 1000)) == 120


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad\nvalue"), "ValueError: bad value"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(0), "SystemExit: 0"),
        (RuntimeError("\ud800"), "RuntimeError: \\ud800"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (MuteError(), "MuteError: a MuteError without a text"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] can't allocate memory: you tried to allocate 32000 bytes. Error code 12"),
         "not enough memory for 32000 bytes"),
    ],
)  # fmt: skip
def test_what_a_library_raises_is_told_and_never_raises_again(error, said):
    assert told(error) == said


def test_what_cannot_be_written_is_named_by_its_type():
    assert quoted(16**5000) == "a int"


# ------------------------------------------------------------------------------------------ YAML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!int x", "the tag 'tag:yaml.org,2002:int' is not allowed, values are plain"),
        ("a: !own b", "the tag '!own' is not allowed"),
        ("a: 1\nb: 2\na: 3", "at line 3: the key 'a' stands there twice"),
        ("{x: {a: 1, 'a': 2}}", "the key 'a' stands there twice"),
        ("&a [*a]", "nothing before it is called '&a'"),
        ("*b", "nothing before it is called '&b'"),
        ("9" * 5000, "a number with more than 100 digits"),
        ("0x" + "f" * 5000, "a number with more than 100 digits"),
        ("2001-13-45", "it holds a number or a date that there is not"),
        ("[" * 2000, f"more than {DEEPEST} lists or mappings within each other"),
        ("[" + "1," * (LARGEST_VALUE + 5) + "]", f"more than {LARGEST_VALUE} values"),
        ("x" * (LONGEST_TEXT + 1), f"at most {LONGEST_TEXT} are read"),
        ('"\\ud800"', "it holds the character '\\ud800', which cannot be printed"),
        ('["a\\x1bb"]', "which cannot be printed"),
        ('{"a\\0": 1}', "which cannot be printed"),
    ],
)
def test_yaml_that_is_no_suite(text, said):
    assert said in sentence(read_yaml, text, "it")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # read as another number than was meant, or as none: by YAML 1.1 these are 8, 90, 90.5, and texts
        ("010", "010"), ("-007", "-007"), ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("-.5", -0.5), ("1.5e3", 1500.0),
        ("1e3", 1000.0), ("1E-4", 0.0001), (".5e1", 5.0), ("1.e2", 100.0),
        # as Python writes them
        ("0", 0), ("-0", 0), ("+5", 5), ("1_000", 1000), ("0x10", 16), ("0b11", 3), ("1.", 1.0), ("0.10", 0.1),
        (".inf", float("inf")), ("-.INF", -float("inf")), ("1e", "1e"), ("1.2.3", "1.2.3"), ("\u0661", "\u0661"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_it_is_meant_or_is_a_text(text, value):
    read = read_yaml(text, "it")
    assert (type(read), read) == (type(value), value)
    assert repr(read_yaml(write_yaml([read]), "it")) == repr([read])
    if isinstance(value, str):
        assert f"got '{value}'" in sentence(resolve, None, [f"steps={text}"])


def test_a_few_aliases_are_fine_and_a_billion_laughs_are_not():
    assert read_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 1}, e: 2}", "it") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 1, "e": 2},
    }
    laughs = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert f"more than {LARGEST_VALUE} values" in sentence(read_yaml, "\n".join(laughs), "it")
    merged = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    assert f"more than {LARGEST_VALUE} values" in sentence(read_yaml, "\n".join(merged), "it")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a" * 400, "Unknown suite 'aaa"),
        ("a" * 4000 + ".yaml", "There is no suite file 'aaa"),
        ("a\x00.yaml", "There is no suite file 'a\\x00.yaml'."),
        ("smoke.yml", "There is no suite file 'smoke.yml'. The shipped suite is 'smoke'."),
        ("\ud800", "Unknown suite '\\ud800'."),
        ("../smoke", "Unknown suite '../smoke'. Did you mean 'smoke'?"),
        ("", "Unknown suite ''."),
        (3, "A suite is a shipped suite's name or a YAML file, got 3."),
        (b"smoke", "A suite is a shipped suite's name or a YAML file, got b'smoke'."),
    ],
)
def test_names_of_suites(name, said):
    assert sentence(resolve, name).startswith(said)


def test_files_that_are_no_suites(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    (tmp_path / "large.yaml").write_text("description: " + "x" * LONGEST_TEXT)
    (tmp_path / ("n" * 200 + ".yaml")).write_text("loss: hinge")
    (tmp_path / "mine.conf").write_text("loss: hinge")
    (tmp_path / "MINE.YAML").write_text("loss: hinge")
    assert sentence(resolve, tmp_path / "mine.conf").endswith("by its name: that of a suite's file ends in .yaml.")
    assert resolve(tmp_path / "MINE.YAML").variants == resolve(None, ["loss=hinge"]).variants
    assert sentence(resolve, tmp_path / "folder.yaml") == f"There is no suite file '{tmp_path / 'folder.yaml'}'."
    assert sentence(resolve, tmp_path / "empty.yaml") == "The suite 'empty.yaml' must be a mapping of keys to values."
    assert "it has more than 100000 characters" in sentence(resolve, tmp_path / "large.yaml")
    assert "at most 100 characters" in sentence(resolve, tmp_path / ("n" * 200 + ".yaml"))


def test_a_path_is_a_suite_too(tmp_path):
    (tmp_path / "mine.yaml").write_text("loss: hinge")
    assert resolve(tmp_path / "mine.yaml").hash == resolve(str(tmp_path / "mine.yaml")).hash


# ------------------------------------------------------------------------------------------ overrides and grids


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["loss=hinge", "loss=minimax"],
         "The key 'loss' is given twice: say once what it is to be, several values as loss=A,B."),
        (["steps=5", " steps =5"], "The key 'steps' is given twice"),
        (["problem=[[]]"], "The key 'problem' has the wrong type: it takes names of problems, got []."),
        (["problem={a: 1}"], "The key 'problem' has the wrong type"),
        (["loss=[[hinge]]"], "The key 'loss' has the wrong type: input should be a valid string, got ['hinge']."),
        (["network.mlp.width=[[8]]"], "The key 'network.mlp.width' has the wrong type: it takes int, got [8]."),
        (["network.mlp.width={a: 8}"], "Unknown part of the schedule of 'network.mlp.width' 'a'."),
        (["problem.ring8.std=1e999"], "The key 'problem.ring8.std' must be a finite number, got inf."),
        (["problem.ring8.std=-.inf"], "The key 'problem.ring8.std' must be a finite number, got -inf."),
        (["network.mlp.width=" + "9" * 50], "The key 'network.mlp.width' must be at most 9223372036854775807"),
        (["optimizer.adam.decay=" + "x" * 101], "takes a line of at most 100 characters"),
        (["steps=" + "9" * 40], "The key 'steps' must be at most 1000000000"),
        (["batch_size=10000000"], "The key 'batch_size' must be at most 1000000, got 10000000."),
        (["latent_dim=10000000"], "The key 'latent_dim' must be at most 1000000"),
        (["samples=10000000"], "The key 'samples' must be at most 1000000"),
        (["seeds=[99999999999999999999]"], "The key 'seeds' must be at most 9223372036854775807"),
        (["seeds=[true]"], "The key 'seeds' has the wrong type"),
        (["regularizer="], "The key 'regularizer' is given no value: an override is written key=value."),
        (["steps= "], "The key 'steps' is given no value"),
        (["LOSS=hinge"], "Unknown key 'LOSS'. Did you mean 'loss'?"),
        (["\uff2c\uff4f\uff53\uff53=hinge"], "Did you mean 'loss'?"),
        (["loss=HINGE"], "Unknown loss 'HINGE'. Did you mean 'hinge'?"),
        (["smoke"], "Cannot read 'smoke': an override is written key=value, for example loss=hinge,minimax; a suite is "
         "named by suite=smoke."),
        (["margins=0"], "The key 'margins' maps names to numbers"),
        (["lоss=hinge"], "Unknown key 'lоss'. Did you mean 'loss'?"),  # noqa: RUF001 - the point
    ],
)  # fmt: skip
def test_overrides(overrides, said):
    for call in (lambda: resolve(None, overrides), lambda: ganbench.run(None, overrides, out="never")):
        assert sentence(call).startswith(said) or said in sentence(call)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("seeds=1", "'overrides' is a list of texts, for example [\"loss=hinge\", \"seeds=3\"]; got 'seeds=1'."),
        ({"seeds": 1}, "'overrides' is a list of texts"),
        ([("seeds", 1)], "got ('seeds', 1) in it."),
        (3, "got 3."),
        (None, "got None."),
    ],
)
def test_overrides_of_python_are_a_list_of_texts(tmp_path, overrides, said):
    assert said in sentence(ganbench.run, "smoke", overrides, out=tmp_path / "s")
    assert said in sentence(resolve, "smoke", overrides)
    assert not list(tmp_path.iterdir())


def test_plugins_of_python_are_a_list_too():
    assert sentence(api.make_plan, None, [], "my_loss.py").startswith("'plugins' is a list of texts")


def test_two_suites_are_one_too_many():
    assert sentence(api.make_plan, "smoke", ["suite=theory"]) == "One suite at a time, got smoke, theory."


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_numbers_of_workers(workers):
    assert sentence(pick_workers, resolve(None), "cpu", workers).startswith("The number of workers must be at least 1")


def numbers(count):
    return ",".join(map(str, range(1, count + 1)))


def test_a_grid_that_is_too_large_is_refused_with_its_count_and_before_it_is_built(monkeypatch):
    monkeypatch.setattr("ganbench.suite._expand", lambda grid: pytest.fail("built"))
    million = [f"{axis}={numbers(100)}" for axis in ("steps", "batch_size", "latent_dim")]
    said = f"The grid has 1000000 variants, and a plan holds at most {MOST_VARIANTS}: split it, or sweep less."
    assert sentence(resolve, None, million) == said
    runs = [f"steps={numbers(21)}", "seeds=10000"]
    assert sentence(resolve, None, runs).startswith(f"The grid has 210000 runs, and a plan holds at most {MOST_RUNS}")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["loss=hinge,minimax", "loss.hinge.margin=1,2,3", "problem=ring8,digits", "steps=1,2"],
        ["normalization=none,group", "g_normalization=none,group", "normalization.group.groups=1,2,4"],
        [
            "regularizer=none,r1,lazy_r1",
            "regularizer.r1.gamma=1,2",
            "regularizer.lazy_r1.lazy=2,3,4",
            "normalization=batch",
        ],
        ["optimizer=adam,sgd", "optimizer.adam.g_lr=1e-3,1e-4", "optimizer.adam.decay=none,sqrt", "trick=none,packing"],
    ],
)
def test_the_count_is_what_is_built(monkeypatch, overrides):
    plan = resolve(None, overrides)
    built = len(plan.variants) + len(plan.skipped)
    monkeypatch.setattr("ganbench.suite.MOST_VARIANTS", built)
    resolve(None, overrides)
    monkeypatch.setattr("ganbench.suite.MOST_VARIANTS", built - 1)
    assert sentence(resolve, None, overrides).startswith(f"The grid has {built} variants")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("per_problem: 0", "The key 'per_problem' must map"),
        ("per_problem: {ring8: {3: 4}}", "The key 'per_problem' must map"),
        ("per_problem: {ring8: {problem: digits}}", "The key 'problem' cannot differ for the problem 'ring8'."),
        ("per_problem: {ring8: {per_problem: {}}}", "Unknown key 'per_problem'."),
        ("per_problem: {ring8: {network.mlp.width: [[1]]}}", "The key 'network.mlp.width' has the wrong type"),
        ("loss: hinge\nloss: minimax", "the key 'loss' stands there twice"),
        ("margins: {score: .1, score: .2}", "the key 'score' stands there twice"),
        ("margins: {1: 2}", "Unknown margin '1'."),
    ],
)
def test_suites(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    assert said in sentence(resolve, tmp_path / "mine.yaml")


# ------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("trick", ["none", "packing", "feature_matching"])
@pytest.mark.parametrize(("samples", "batch"), [(64, 128), (128, 64), (64, 64), (65, 126)])
def test_a_probe_plays_as_many_real_as_fake_samples(samples, batch, trick):
    settings = ["seeds=2", f"batch_size={batch}", "network.mlp.width=4", f"trick={trick}"]
    runs = resolve(None, [*settings, "loss=relativistic_pairing,hinge"]).runs
    population = Population(runs, make_problem(runs[0].variant), torch.device("cpu"))
    prober = loop.Prober(population, Evaluator(population.problem, samples, samples), "medium")
    least = min(samples, batch) // 2 * 2 if trick == "packing" else min(samples, batch)
    sizes = [part.shape[1] for part in (prober.real, prober.held_out, prober.played)]
    # packs of two
    assert sizes == [least] * 3
    columns, _ = prober.probe()
    assert columns["d_loss"].isfinite().all()


def test_more_images_a_batch_than_are_held_out_can_be_probed():
    runs = resolve(None, ["problem=digits", "network=dcgan", "network.dcgan.width=2", "batch_size=512", "seeds=1",
                          "loss=relativistic_pairing"]).runs  # fmt: skip
    population = Population(runs, make_problem(runs[0].variant), torch.device("cpu"))
    prober = loop.Prober(population, Evaluator(population.problem, 1000, 100))
    assert prober.real.shape[1] == prober.held_out.shape[1] == prober.played.shape[1] == 500
    assert prober.probe()[0]["d_loss"].isfinite().all()


@pytest.mark.parametrize("loss", ["relativistic_pairing", "relativistic_average", "hinge"])
@pytest.mark.parametrize(("samples", "batch"), [(64, 128), (128, 64), (32, 1000)])
def test_a_watched_loop_is_probed_at_one_size(tmp_path, loss, samples, batch):
    monitor = Monitor(
        nn.Linear(4, 2), nn.Linear(2, 1), real=torch.randn(200, 2), latent=4, out=tmp_path / "s", loss=loss, every=1,
        samples=samples, batch_size=batch, neighbours=32,
    )  # fmt: skip
    monitor.step()
    assert monitor.series["d_loss"].notna().all()


def test_a_training_of_few_steps_can_be_tried():
    for steps in (1, 2, 3, 4, 5):
        cost = trial(resolve(None, [f"steps={steps}", "seeds=1", "network.mlp.width=4"]).runs, "cpu")
        assert cost.seconds > 0


def test_what_cannot_fit_is_told_before_it_is_tried():
    check_fits("a", 2**20, "cpu")
    assert sentence(check_fits, "a", 2**60, "cpu").startswith("One run of 'a' takes about 1.07e+09 GiB of memory, and ")


def test_a_network_that_no_machine_holds(tmp_path):
    told = sentence(ganbench.run, None, ["network.mlp.width=1000000000000", "seeds=1"], out=tmp_path / "s", workers=1)
    assert told.startswith("Cannot train 'ring8-nonsaturating-none-")
    assert "memory" in told or "overflow" in told
    assert not (tmp_path / "s").exists()


# ------------------------------------------------------------------------------------------ plug-in files


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def broken(:", "raised SyntaxError at import: invalid syntax (own.py, line 1)"),
        ("raise SystemExit(0)", "raised SystemExit at import: 0"),
        ("raise RuntimeError('\\ud800\\n\\x1b[2J')", "raised RuntimeError at import: \\ud800"),
        ("raise RuntimeError('x' * 10**6)", "raised RuntimeError at import: xxx"),
        ("raise MemoryError", "raised not enough memory at import"),
        ("def f(): f()\nf()", "raised RecursionError at import: maximum recursion depth exceeded"),
        (
            "from ganbench import register\n@register('loss')\ndef hinge(real, fake): pass",
            "'hinge' is already registered",
        ),
        (
            "from ganbench import register\n@register('loss', boundry=0)\ndef x(real, fake): pass",
            "Did you mean 'boundary'?",
        ),
        (
            "from ganbench import register\n@register('loss')\ndef x(real): pass",
            "it is called as (real_logits, fake_logits",
        ),
    ],
)
def test_files_of_plugins(tmp_path, code, said):
    file = tmp_path / "own.py"
    file.write_text(code)
    before = dict(registry.known())
    assert said in sentence(registry.load_file, file)
    assert registry.known() == before
    assert str(file) not in registry.loaded_files()


@pytest.mark.usefixtures("own_registry")
def test_half_a_file_is_not_kept(tmp_path):
    file = tmp_path / "half.py"
    loss = "from ganbench import register\n@register('loss')\ndef half(real, fake): pass\n"
    file.write_text(loss + "1 / 0")
    assert "ZeroDivisionError" in sentence(registry.load_file, file)
    assert "half" not in registry.names("loss")
    file.write_text(loss)
    registry.load_file(file)
    assert "half" in registry.names("loss")


@pytest.mark.parametrize("path", ["x" * 5000, "a\x00b.py", "\ud800.py", "", 3, None])
def test_paths_that_are_none(path):
    assert sentence(registry.load_file, path).startswith("There is no plug-in file")


def test_an_installed_plugin_that_raises_is_named(monkeypatch, own_registry):
    class Entry:
        name = "theirs"

        def load(self):
            raise SystemExit(0)

    monkeypatch.setattr("importlib.metadata.entry_points", lambda **query: [Entry()])
    own_registry.loaded.discard("entry points")
    assert sentence(registry.names, "loss") == "The installed plug-in 'theirs' raised SystemExit at import: 0"


# ------------------------------------------------------------------------------------------ read-only places


@pytest.fixture
def public():
    """A folder that every user may read; pytest keeps its own to itself."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# all that training and judging import is imported before the user becomes nobody, who may not read it
AS_NOBODY = """
import os, sys
from ganbench import api, UserError
overrides, warm, *places = sys.argv[1].split(), *sys.argv[2:]
api.run(None, overrides, out=warm, workers=1).report()
os.setgid(65534); os.setuid(65534)
for place in places:
    try: print('trained', api.run(None, overrides, out=place, workers=1))
    except UserError as error: print(error)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="another user is needed to be refused")
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(public, tmp_path, tiny):
    overrides = over([*tiny, "seeds=1", "steps=2", "probe_every=1"])
    ganbench.run(None, overrides, out=public / "done", workers=1)
    (public / "parent").mkdir(mode=0o555)
    (public / "secret").mkdir(mode=0o700)
    before = {path: path.stat().st_mtime_ns for path in public.rglob("*")}
    places = [str(public / name) for name in ("done", "parent/study", "secret/study")]
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, " ".join(overrides), str(tmp_path / "warm"), *places],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert len(said) == len(places)
    for line, place in zip(said, places, strict=True):
        assert line.startswith("Cannot ")
        assert place in line
        assert line.endswith(": Permission denied.")
    assert {path: path.stat().st_mtime_ns for path in public.rglob("*")} == before
