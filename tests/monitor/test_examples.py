"""The examples run, and the tutorial's loop is watched by five lines that change none of its bits."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ganbench

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="examples are not installed")


def execute(source, **changes):
    for name, value in changes.items():
        source, count = re.subn(rf"(?m)^({name}, .* = )\d+", rf"\g<1>{value}", source)
        assert count == 1, name
    space = {"__name__": "__main__"}
    exec(compile(source, "example", "exec"), space)
    return space


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_five_lines_watch_the_tutorials_loop_and_change_none_of_its_bits():
    source = (EXAMPLES / "dcgan.py").read_text()
    marked = [line for line in source.splitlines() if "# ganbench" in line]
    assert len(marked) == 5
    plain = "\n".join(line for line in source.splitlines() if "# ganbench" not in line)
    assert "monitor" not in plain
    assert plain.count("ganbench") == 1, "in its docstring"
    ends = []
    for text in (source, plain):
        space = execute(text, epochs=2)
        ends.append([t for name in ("generator", "discriminator") for t in space[name].state_dict().values()])
    assert len(ends[0]) > 10
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    study = ganbench.load("reports/dcgan")
    assert study.runs["status"].tolist() == ["done"]
    assert study.series["step"].tolist() == [0, 56]


def test_the_tutorials_loop_at_a_thousand_times_its_learning_rate_is_stopped(monkeypatch):
    source = (
        (EXAMPLES / "dcgan.py").read_text().replace('out="reports/dcgan"', 'out="reports/dcgan", stop_on={"diverged"}')
    )
    source = source.replace("nn.Sigmoid()", "nn.Identity()").replace("BCELoss", "BCEWithLogitsLoss")
    source = source.replace("optim.Adam", "optim.SGD").replace(", betas=(beta1, 0.999)", "").replace("2e-4", "1e20")
    with pytest.raises(ganbench.TrainingStopped, match="diverged since step") as stopped:
        execute(source, epochs=4)
    assert stopped.value.step <= 56


RECIPES = {
    "ring.py": {"steps": 12}, "wgan_gp.py": {"steps": 12}, "conditional.py": {"epochs": 1},
    "pix2pix.py": {"epochs": 1}, "cyclegan.py": {"epochs": 1}, "tokenizer.py": {"steps": 12},
    "vocoder.py": {"steps": 12}, "super_resolution.py": {"epochs": 1}, "tabular.py": {"steps": 12},
    "distillation.py": {"steps": 12},
}  # fmt: skip
QUICK = {"conditional.py", "tabular.py", "distillation.py"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RECIPES]
)
def test_a_recipe_is_watched_by_five_lines_that_change_none_of_its_bits(name):
    source = (EXAMPLES / name).read_text().replace("1e-3, 500", "1e-3, 3")
    assert 1 <= source.count("# ganbench") <= 5
    plain = "\n".join(line for line in source.splitlines() if "# ganbench" not in line)
    assert "monitor" not in plain
    ends = []
    small = source.replace("out=", "samples=64, neighbours=16, out=")
    small = small.replace('"out": ', '"samples": 64, "neighbours": 16, "out": ')
    for text in (small, plain):
        space = execute(text, **RECIPES[name])
        ends.append([
            own for value in space.values() for module in (value.values() if isinstance(value, dict) else [value])
            if isinstance(module, torch.nn.Module) for own in module.state_dict().values()
        ])  # fmt: skip
    assert len(ends[0]) >= 8
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    (folder,) = Path("reports").iterdir()
    assert ganbench.load(folder).runs["status"].tolist() == ["done"]


def test_mixed_precision_with_accumulation():
    space = execute((EXAMPLES / "amp.py").read_text(), steps=60)
    assert space["monitor"].series["step"].tolist() == [0, 60]


def test_distributed_data_parallel_on_rank_0(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    space = execute((EXAMPLES / "ddp.py").read_text(), steps=60)
    assert space["monitor"].series["step"].tolist() == [0, 60]
    assert ganbench.load("reports/ddp").runs["status"].tolist() == ["done"]


class Trainer:
    """As much of Lightning as the example needs, so that its own lines run."""

    def __init__(self, max_epochs, **_):
        self.max_epochs, self.should_stop = 1, False

    def fit(self, module, loader):
        module.trainer, module.device = self, torch.device("cpu")
        made = module.configure_optimizers()
        module.optimizers, module.manual_backward = lambda: made, lambda loss: loss.backward()
        module.on_train_start()
        for place, batch in enumerate(loader):
            module.training_step(batch, place)
        module.on_train_end()


def test_lightning(monkeypatch):
    fake = ModuleType("lightning")
    vars(fake).update(LightningModule=torch.nn.Module, Trainer=Trainer)
    monkeypatch.setitem(sys.modules, "lightning", fake)
    execute((EXAMPLES / "lightning_module.py").read_text())
    assert ganbench.load("reports/lightning").series["step"].tolist() == [0, 100]
