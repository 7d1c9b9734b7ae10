"""Trackers get what a probe found through the calls that their clients document: stand-ins record those calls."""

import math
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

import ganbench
from ganbench.monitor.sinks import MLflow, TensorBoard, WandB, lightning_callback, trainer_callback


class SummaryWriter:
    """The signatures of torch.utils.tensorboard.SummaryWriter that are used."""

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        self.log_dir, self.scalars, self.texts, self.state = log_dir, [], [], "open"

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        self.scalars.append((tag, scalar_value, global_step))

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        self.texts.append((tag, text_string, global_step))

    def flush(self):
        self.state = "flushed"

    def close(self):
        self.state = "closed"


class Run:
    """The signatures of wandb.Run that are used."""

    def __init__(self, settings):
        self.settings, self.logged, self.axes, self.finished = settings, [], {}, False

    def log(self, data, step=None, commit=None):
        assert step is None, "a step of W&B's own would have to grow with whatever the loop logs"
        self.logged.append(data)

    def define_metric(self, name, step_metric=None, step_sync=None, hidden=None, summary=None, goal=None):
        self.axes[name] = step_metric

    def finish(self, exit_code=None, quiet=None):
        self.finished = True


@pytest.fixture
def client(monkeypatch):
    def install(name, **contents):
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return install


@pytest.fixture
def watched(tmp_path):
    def run(*sinks, steps=20, **options):
        settings = {"every": 10, "out": tmp_path / "it", "log": None, "sinks": sinks} | options
        monitor = ganbench.Monitor(**settings)
        for _ in range(steps):
            monitor.step(d_loss=1.25, g_loss=0.5)
        monitor.close()
        return monitor

    return run


def test_tensorboard(client, watched):
    client("torch.utils.tensorboard", SummaryWriter=SummaryWriter)
    sink = TensorBoard("runs/mine")
    watched(sink)
    writer = sink._writer
    assert writer.log_dir == "runs/mine"
    assert [one for one in writer.scalars if one[0].endswith("_loss")] == [
        (f"ganbench/{name}", value, step) for step in (1, 10, 20) for name, value in (("d_loss", 1.25), ("g_loss", 0.5))
    ]
    # the time of a step is not known at the first
    assert all(math.isfinite(value) for _, value, _ in writer.scalars)
    assert [(tag, step) for tag, _, step in writer.texts] == [("ganbench/verdict", step) for step in (1, 10, 20)]
    assert writer.state == "closed"


def test_a_writer_that_there_is_stays_open(watched):
    writer = SummaryWriter()
    watched(TensorBoard(writer))
    assert writer.state == "flushed"
    assert len(writer.texts) == 3


def test_wandb_has_an_axis_of_its_own(client, watched):
    client("wandb", init=lambda **settings: Run(settings))
    sink = WandB(project="mine")
    watched(sink)
    run = sink._run
    assert run.settings == {"project": "mine"}
    assert run.axes == {"ganbench/step": None, "ganbench/*": "ganbench/step"}
    assert [data["ganbench/step"] for data in run.logged] == [1, 10, 20]
    assert [data["ganbench/d_loss"] for data in run.logged] == [1.25] * 3
    assert run.logged[0]["ganbench/verdict"] == "No verdict yet."
    assert run.finished
    theirs = Run({})
    watched(WandB(theirs))
    assert not theirs.finished
    assert theirs.logged


@pytest.mark.parametrize("active", [None, "a run"])
def test_mlflow(client, watched, active):
    calls = []
    client(
        "mlflow",
        active_run=lambda: active,
        start_run=lambda run_id=None, experiment_id=None, run_name=None: calls.append(("start", run_name)),
        log_metrics=lambda metrics, step=None: calls.append((step, metrics["ganbench/g_loss"])),
        set_tag=lambda key, value: calls.append(key),
        end_run=lambda status="FINISHED": calls.append("end"),
    )
    watched(MLflow(run_name="mine"))
    told = [(1, 0.5), "ganbench.verdict", (10, 0.5), "ganbench.verdict", (20, 0.5), "ganbench.verdict"]
    assert calls == (told if active else [("start", "mine"), *told, "end"])


@pytest.mark.parametrize(
    ("sink", "module", "package"),
    [(TensorBoard, "torch.utils.tensorboard", "ganbench\\[tensorboard\\]"), (WandB, "wandb", "ganbench\\[wandb\\]"),
     (MLflow, "mlflow", "ganbench\\[mlflow\\]"), (lambda: trainer_callback(None), "transformers", "transformers")],
)  # fmt: skip
def test_a_client_that_is_missing_is_named_with_how_to_get_it(monkeypatch, sink, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ganbench.UserError, match=f"not installed .*pip install .*{package}"):
        sink()


def test_a_sink_that_fails_is_left_out_and_training_goes_on(watched):
    said = []

    class Broken:
        def probe(self, step, columns, text):
            raise ConnectionError("no network")

        def close(self):
            raise AssertionError("it has been left out")

    fine = SummaryWriter()
    monitor = watched(Broken(), TensorBoard(fine), log=said.append)
    assert monitor.steps == 20
    assert len(fine.texts) == 3
    assert [line for line in said if "Broken" in line] == [
        "ganbench: the sink Broken is left out from here on: ConnectionError: no network"
    ]


def test_what_is_no_sink_is_refused(tmp_path):
    with pytest.raises(ganbench.UserError, match=r"str has not: ganbench\.monitor\.sinks has TensorBoard"):
        ganbench.Monitor(out=tmp_path / "it", sinks=["tensorboard"])


class Callback:
    """Lightning's and Transformers' base classes alike: hooks that do nothing."""


def listening(out):
    return ganbench.Monitor(out=out, every=2, log=None)


def test_a_callback_of_lightning(client, tmp_path):
    client("lightning", Callback=Callback)
    callback = lightning_callback(lambda module: listening(tmp_path / module.name))
    module = SimpleNamespace(name="it")
    callback.on_train_start(None, module)
    for _ in range(4):
        outputs = {"d_loss": torch.tensor(2.0), "g_loss": 1.0, "loss": torch.tensor(3.0), "image": torch.zeros(2, 2)}
        callback.on_train_batch_end(None, module, outputs, None, 0)
    callback.on_train_end(None, module)
    series = ganbench.load(tmp_path / "it").series
    assert series["step"].tolist() == [1, 2, 4]
    assert series[["d_loss", "g_loss", "trainer_loss"]].to_numpy().tolist() == [[2.0, 1.0, 3.0]] * 3


def test_a_callback_of_lightning_records_an_exception_after_nan(client, tmp_path):
    client("lightning", Callback=Callback)
    callback = lightning_callback(lambda module: listening(tmp_path / "it"), lambda outputs: {"d_loss": outputs})
    callback.on_exception(None, None, KeyboardInterrupt())
    callback.on_train_start(None, None)
    callback.on_train_batch_end(None, None, 1.0, None, 0)
    callback.on_train_batch_end(None, None, math.nan, None, 1)
    callback.on_exception(None, None, ValueError("no number"))
    runs = ganbench.load(tmp_path / "it").runs
    assert runs[["status", "diverged_step"]].to_numpy().tolist() == [["diverged", 2]]


def test_a_callback_of_the_hugging_face_trainer(client, tmp_path):
    client("transformers", TrainerCallback=Callback)
    callback = trainer_callback(lambda model: listening(tmp_path / model))
    callback.on_train_begin(None, None, None, model="it")
    for _ in range(2):
        callback.on_log(None, None, None, logs={"g_loss": 0.5, "loss": 2.0, "epoch": 1.0, "grad_norm": 3.0})
        callback.on_step_end(None, None, None)
    callback.on_train_end(None, None, None)
    series = ganbench.load(tmp_path / "it").series
    assert series["step"].tolist() == [1, 2]
    assert series[["g_loss", "trainer_loss", "grad_norm"]].to_numpy().tolist() == [[0.5, 2.0, 3.0]] * 2
