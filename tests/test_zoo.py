"""The lists of plug-ins in the docs are those of the registry."""

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


def test_every_kind_that_training_is_made_of_is_shown():
    assert set(zoo.SHOWN) == set(registry.KINDS) - {"metric", "diagnostic", "verdict"}


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match=r"README\.md needs one"):
        zoo.with_table("# nothing")
