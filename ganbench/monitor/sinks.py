"""Where else a watched loop's probes go: trackers, each through its own client, and callbacks of two trainers.

A sink gets every probe: its finite columns under "ganbench/", and the verdict so far with the findings as a text. The
clients are imported when a sink is made; each is an extra: `pip install 'ganbench[wandb]'`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol

from ganbench.errors import UserError, told

PREFIX = "ganbench"
Log = Callable[[str], Any]


class Sink(Protocol):
    """What takes a watched loop's probes."""

    def probe(self, step: int, columns: Mapping[str, float], text: str) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Scalars and a text in a directory of TensorBoard's, or through a SummaryWriter that there is already.

    Extra `tensorboard`; add_scalar(tag, scalar_value, global_step) and add_text of torch.utils.tensorboard.
    """

    def __init__(self, writer: Any = "runs/ganbench") -> None:
        self._own = not hasattr(writer, "add_scalar")
        module = _client("torch.utils.tensorboard", "tensorboard") if self._own else None
        self._writer = writer if module is None else module.SummaryWriter(str(writer))

    def probe(self, step: int, columns: Mapping[str, float], text: str) -> None:
        """Write one probe."""
        for name, value in _finite(columns).items():
            self._writer.add_scalar(name, value, step)
        self._writer.add_text(f"{PREFIX}/verdict", text, step)

    def close(self) -> None:
        """Close a writer of its own; flush another's."""
        if self._own:
            self._writer.close()
        else:
            self._writer.flush()


class WandB:
    """A run of Weights & Biases: `run`, or one that `wandb.init(**settings)` begins.

    Extra `wandb`. Probes have a step of their own as their axis, ganbench/step, so that they get along with what the
    loop logs itself: Run.log without `step`, Run.define_metric.
    """

    def __init__(self, run: Any = None, **settings: Any) -> None:
        self._own = run is None
        self._run = _client("wandb", "wandb").init(**settings) if run is None else run
        self._run.define_metric(f"{PREFIX}/step")
        self._run.define_metric(f"{PREFIX}/*", step_metric=f"{PREFIX}/step")

    def probe(self, step: int, columns: Mapping[str, float], text: str) -> None:
        """Log one probe."""
        self._run.log({f"{PREFIX}/step": step, f"{PREFIX}/verdict": text, **_finite(columns)})

    def close(self) -> None:
        """Finish a run of its own; leave another's open."""
        if self._own:
            self._run.finish()


class MLflow:
    """The active run of MLflow, or one that `mlflow.start_run(**settings)` begins; the verdict is a tag of the run.

    Extra `mlflow`; log_metrics(metrics, step) and set_tag(key, value).
    """

    def __init__(self, **settings: Any) -> None:
        self._client = _client("mlflow", "mlflow")
        self._own = self._client.active_run() is None
        if self._own:
            self._client.start_run(**settings)

    def probe(self, step: int, columns: Mapping[str, float], text: str) -> None:
        """Log one probe."""
        self._client.log_metrics(_finite(columns), step=step)
        self._client.set_tag(f"{PREFIX}.verdict", text)

    def close(self) -> None:
        """End a run of its own; leave another's open."""
        if self._own:
            self._client.end_run()


def lightning_callback(make: Callable[[Any], Any], losses: Callable[[Any], Mapping[str, Any]] | None = None) -> Any:
    """Return a callback for `lightning.Trainer(callbacks=[...])` that watches its module.

    make: lightning module -> Monitor, called when training begins and the networks are on their device. losses: what
    `training_step` returned -> the keywords of `Monitor.step`; by default what it returned, where that is a mapping.
    """

    class Watching(_lightning().Callback):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.monitor = make(pl_module)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.monitor.step(**(losses(outputs) if losses else _keywords(outputs)))

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.monitor.close()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            if hasattr(self, "monitor"):
                self.monitor.ended_by(exception)

    return Watching()


def trainer_callback(make: Callable[[Any], Any]) -> Any:
    """Return a callback for `transformers.Trainer(callbacks=[...])` that watches its model.

    make: model -> Monitor, called when training begins. A step is an optimizer's step; what the Trainer logs is told
    with the next one, d_loss and g_loss as such and other numbers as columns.
    """

    class Watching(_client("transformers", "transformers").TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.monitor = make(more["model"])
            self.logged: dict[str, Any] = {}

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            self.logged = _keywords(logs)

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.monitor.step(**self.logged)
            self.logged = {}

        def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.monitor.close()

    return Watching()


class Sinks:
    """All sinks of a loop. One that raises is named and left out from then on: training goes on."""

    def __init__(self, sinks: Iterable[Sink], log: Log) -> None:
        self._sinks, self._log = list(sinks), log
        for sink in self._sinks:
            if not (callable(getattr(sink, "probe", None)) and callable(getattr(sink, "close", None))):
                raise UserError(
                    f"A sink has the methods probe(step, columns, text) and close(), {type(sink).__name__} has not: "
                    "ganbench.monitor.sinks has TensorBoard, WandB and MLflow."
                )

    def probe(self, step: int, columns: Mapping[str, float], text: str) -> None:
        """Hand a probe to each."""
        self._each(lambda sink: sink.probe(step, columns, text))

    def close(self) -> None:
        """Close each."""
        self._each(lambda sink: sink.close())

    def _each(self, tell: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                tell(sink)
            except Exception as error:  # a client may raise anything: no network, no room, no licence
                self._sinks.remove(sink)
                self._log(f"ganbench: the sink {type(sink).__name__} is left out from here on: {told(error)}")


def _finite(columns: Mapping[str, float]) -> dict[str, float]:
    return {f"{PREFIX}/{name}": float(value) for name, value in columns.items() if math.isfinite(value)}


def _keywords(outputs: Any) -> dict[str, Any]:
    """Return what of a mapping `Monitor.step` can be told: numbers, under names that are none of its measures'."""
    numbers = {} if not isinstance(outputs, Mapping) else {
        str(name): value for name, value in outputs.items()
        if (getattr(value, "numel", lambda: 0)() == 1 or isinstance(value, int | float)) and not isinstance(value, bool)
    }  # fmt: skip
    return {f"trainer_{name}" if name in ("loss", "step", "epoch") else name: value for name, value in numbers.items()}


def _lightning() -> Any:
    try:
        return import_module("lightning")
    except ImportError:
        # its older name
        return _client("pytorch_lightning", "lightning")


def _client(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        extra = package if package in ("lightning", "transformers") else f"'ganbench[{package}]'"
        raise UserError(f"This needs {package}, which is not installed ({error}): pip install {extra}.") from error
