from pathlib import Path

import pytest

from ganbench import metrics

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are not part of this installation")
@pytest.mark.parametrize("name", sorted(set(metrics.__all__)))
def test_every_public_metric_is_in_the_docs(name):
    assert f"`{name}`" in DOCS.read_text() or f"`{name}(real)`" in DOCS.read_text()
