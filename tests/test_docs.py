"""The documentation holds together: links and anchors lead somewhere, and the site has what it names."""

import importlib.util
import json
import re
import unicodedata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="the docs are not part of this installation")

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def pages():
    own = [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *(ROOT / "reports").glob("*.md"),
        *(ROOT / "reports/reference").glob("*.md"),
    ]
    return sorted(own)


def prose(text):
    """Return markdown without code: what looks like a link there is none."""
    return re.sub(r"(`+).*?\1", "", FENCE.sub("", text), flags=re.DOTALL)


def slug(heading):
    """Return the anchor that GitHub gives to a heading: lower case, without marks, blanks as dashes."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    kept = (c for c in text if c in "-_ " or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "Pc")
    return "".join(kept).replace(" ", "-")


def anchors(text):
    """Return the anchors of a page; of a heading that is there again GitHub numbers the later ones."""
    found = {}
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", FENCE.sub("", text), re.MULTILINE):
        name = slug(heading)
        found[name] = found.get(name, -1) + 1
    named = re.findall(r"""<a (?:id|name)=["']([^"']+)["']""", text)
    return {f"{name}-{n}" if n else name for name, most in found.items() for n in range(most + 1)} | set(named)


def lost(text, folder):
    """Return the links of a page that lead nowhere."""
    found = []
    for target in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else None
        if file is not None and not file.exists():
            found.append(target)
            continue
        body = text if file is None else file.read_text(encoding="utf-8") if file.suffix == ".md" else None
        if anchor and body is not None and anchor not in anchors(body):
            found.append(target)
    return found


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in pages()])
def test_every_link_leads_somewhere(page):
    file = ROOT / page
    assert lost(file.read_text(encoding="utf-8"), file.parent) == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path):
    (tmp_path / "a.md").write_text("# Two words, `code` & more\n## Again\n## Again\n")
    here = "[x](a.md) [y](a.md#two-words-code--more) [z](a.md#again-1) [own](#top) `[no](link.md)`\n# Top"
    assert lost(here, tmp_path) == []
    assert lost("[x](b.md) ![p](b.png) [y](a.md#again-2) [o](#top)", tmp_path) == [
        "b.md", "b.png", "a.md#again-2", "#top"
    ]  # fmt: skip


# ---- the site


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, which names a function of Python's."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def settings():
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Loader)


def named(nav):
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in named(part)]


def test_the_navigation_names_pages_that_are_there_and_each_once():
    pages_ = named(settings()["nav"])
    assert len(set(pages_)) == len(pages_)
    assert [page for page in pages_ if not (DOCS / page).exists()] == []
    tabs = [next(iter(part)) for part in settings()["nav"]]
    assert tabs == ["Start here", "Tutorials", "How to", "Reference", "Explanations", "Is this normal?", "Gallery"]


def test_every_page_is_reached_from_the_navigation_or_from_another_page():
    texts = "".join(page.read_text(encoding="utf-8") for page in pages())
    reached = {*named(settings()["nav"]), *(Path(target.partition("#")[0]).name for target in LINK.findall(texts))}
    assert {page.name for page in DOCS.glob("*.md")} - reached == set()


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("ganbench_docs_site", DOCS / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_into_the_repository_go_to_copies(site):
    text = "[a](../examples/ring.py) [b](../examples) [c](zoo.md#loss) [d](../CONTRIBUTING.md#tests) ![e](report.png)"
    assert site.moved(text, "index.md") == (
        "[a](repository/examples/ring.py) b [c](zoo.md#loss) [d](repository/CONTRIBUTING.md.txt) ![e](report.png)"
    )
    assert ROOT / "examples" / "ring.py" in site.linked()


def test_a_notebook_becomes_a_page(site, tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": [{"data": {"text/plain": ["2"]}}]},
        {"cell_type": "code", "source": "draw()", "outputs": [{"data": {"image/png": "QUJD\n", "text/plain": "x"}}]},
        {"cell_type": "code", "source": "show()", "outputs": [{"data": {"text/html": ["<b>", "x</b>"]}}, {"text": ""}]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert site.notebook(tmp_path / "a.ipynb") == (
        "# Title\ntext\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n\n```python\ndraw()\n```\n\n"
        "![What the cell draws](data:image/png;base64,QUJD)\n\n```python\nshow()\n```\n\n<b>x</b>\n"
    )


def test_examples_of_docstrings_become_blocks_of_code():
    spec = importlib.util.spec_from_file_location("ganbench_docs_docstrings", DOCS / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.fenced("Two.\n\n>>> 1 + 1\n2\n>>> [0]\n[0]") == (
        "Two.\n\n\n```pycon\n>>> 1 + 1\n2\n>>> [0]\n[0]\n```"
    )
    assert module.fenced("One.\n>>> f()\n1\n\nAnd [more].") == "One.\n\n```pycon\n>>> f()\n1\n```\n\nAnd [more]."
    assert module.fenced("None.") == "None."


def test_the_reference_names_what_there_is():
    for name in re.findall(r"^::: ([\w.]+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            found = getattr(importlib.import_module(module), attribute)
        assert found.__doc__, name
