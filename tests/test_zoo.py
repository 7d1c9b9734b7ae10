"""The lists of plug-ins in the docs are those of the registry."""

import re
from pathlib import Path

import pytest

from ganbench import register, registry, zoo

ROOT = Path(__file__).parents[1]


def test_readme_and_zoo_are_up_to_date():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = "run `python -m ganbench.zoo`"
    assert zoo.with_table(readme) == readme, told
    assert (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8") == zoo.page(), told
    verdicts = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    assert zoo.with_verdicts(verdicts) == verdicts, told


def test_a_new_plugin_makes_them_stale(own_registry):
    before = zoo.page(), zoo.readme_table()

    @register("loss", saturates=True)
    def steep(real, fake, *, slope: float = 2.0):
        """Steep | loss."""

    assert zoo.page() != before[0]
    assert zoo.readme_table() != before[1]
    assert "| `steep` | Steep \\| loss. | slope = 2.0 | saturates: True |" in zoo.page()


def test_every_kind_is_on_the_page_and_those_that_a_suite_chooses_from_in_the_readme():
    assert re.findall(r"^## (\w+)$", zoo.page(), re.MULTILINE) == list(registry.KINDS)
    rows = re.findall(r"^\| (\w+) \| \d+ \|", zoo.readme_table(), re.MULTILINE)
    assert set(rows) == set(registry.KINDS) - {"metric", "feature_space", "diagnostic", "verdict", "executor"}


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match=r"README\.md needs one"):
        zoo.with_table("# nothing")
