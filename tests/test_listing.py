"""What `ganbench list` reads from the source is what the registry holds."""

from ganbench import listing, registry
from ganbench.reading import description_of, read_suite, suite_names


def test_the_source_says_what_the_registry_does():
    read = {kind: sorted(rows) for kind, rows in listing.shipped().items()}
    held = {kind: [plugin for plugin in registry.plugins(kind) if plugin.is_own] for kind in registry.KINDS}
    assert read == {kind: sorted((plugin.name, plugin.legend) for plugin in own) for kind, own in held.items()}


def test_descriptions_are_those_of_the_suites():
    for name in suite_names():
        described = str(read_suite(name)[1]["description"]).strip()
        assert described
        assert description_of(name) == described


def test_a_description_is_the_suites_own_key_and_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("ganbench.reading.suite_folder", lambda: tmp_path)
    texts = {
        "late": "variants: [{description: a}]\nhypers: {description: b, loss: [description]}\ndescription: it",
        "none": "loss: description\nseeds: 3",
        "empty": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    assert {name: description_of(name) for name in texts} == {"late": "it", "none": "", "empty": ""}


def test_the_registry_is_asked_where_the_source_is_not_all(monkeypatch):
    whole = [(plugin.name, plugin.legend) for plugin in registry.plugins("metric")]
    assert listing.legends("metric") == listing.shipped()["metric"] != whole
    assert listing.legends("metric", every=True) == whole
    monkeypatch.setattr(listing, "_has_packages", lambda: True)
    assert listing.legends("metric") == whole
    monkeypatch.setattr(listing, "_has_packages", lambda: False)
    monkeypatch.setattr(listing, "shipped", lambda: {"metric": []})
    assert listing.legends("metric") == whole
