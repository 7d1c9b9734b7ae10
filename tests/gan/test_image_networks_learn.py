"""Each network for images learns digits a little within seconds, in one run, and is trained by the command."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from overriding import over
from PIL import Image

from ganbench import api, registry
from ganbench.gan.networks.images import EITHER

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.exists():
    pytest.skip("docs are not installed", allow_module_level=True)


def _script():
    spec = importlib.util.spec_from_file_location("ganbench_docs_networks", DOCS / "networks.py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


networks = _script()
# perceptrons, and one whose waveforms have a page of their own
OTHERS = {"pictured_mlp", "unpaired_mlp", "vocoder"}


def test_every_network_has_a_way():
    convolutional = {plugin.name for plugin in registry.plugins("network") if {"image", "picture"} & set(plugin.needs)}
    assert set(networks.WAYS) == convolutional - OTHERS


def test_the_page_has_every_network_with_its_row_and_its_picture():
    page = (DOCS / "networks.md").read_text("utf-8")
    learned = page.partition("## What each learns")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", learned, re.MULTILINE) == list(networks.WAYS)
    assert f"]({networks.PICTURE.name})" in learned
    with Image.open(networks.PICTURE) as picture:
        assert picture.height == len(networks.WAYS) * (8 * networks.SCALE + 2)


@pytest.mark.slow
def test_a_study_of_all_of_them(tmp_path):
    either = [plugin.name for plugin in registry.plugins("network") if EITHER in plugin.provides]
    words = ["problem=digits,digits_labelled", f"network={','.join(either)}", "normalization=paper", "steps=2",
             "g_normalization=paper", "seeds=2", "batch_size=8", "samples=64", "neighbours=32",
             "probe_every=1"]  # fmt: skip
    study = api.run(None, over([*words, *(f"network.{name}.width=4" for name in either)]), out=tmp_path, workers=1)
    assert set(study.runs["status"]) == {"done"}
    assert len(study.runs) == 2 * 2 * len(either)
    assert study.series["frechet"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.WAYS)
def test_it_learns(name):
    learned = networks.learn(name)
    assert learned.after["frechet"] < learned.before["frechet"] / 2
    if "classes_covered" in learned.after:
        assert learned.after["classes_covered"] >= 2
