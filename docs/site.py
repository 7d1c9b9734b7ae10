"""What mkdocs is told beside mkdocs.yml: the notebook as a page, and the files outside of docs/ that pages link to.

A link into the repository, `../examples/ring.py`, becomes one to a copy in the site; one to a folder is text.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
COPIES = "repository"


def notebook(file: Path) -> str:
    """Return a notebook as markdown: its texts, its code, and what the code printed, drew or showed."""
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [shown for output in cell.get("outputs", ()) if (shown := _output(output))]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    if "text/html" in data:
        return "".join(data["text/html"])
    text = "".join(data.get("text/plain", output.get("text", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""


def outside(target: str, folder: Path) -> Path | None:
    """Return the path in the repository that a relative link of a page leads to, where that is not in docs/."""
    if re.match(r"[a-z]+:", target) or target.startswith("/"):
        return None
    path = (folder / target).resolve()
    inside = path.is_relative_to(ROOT / "docs") or not path.is_relative_to(ROOT)
    return None if inside or not path.exists() else path


def linked() -> set[Path]:
    """Return the files outside of docs/ that pages link to."""
    texts = [(file, file.read_text(encoding="utf-8")) for file in sorted((ROOT / "docs").glob("*.md"))]
    found = {outside(match[2], file.parent) for file, text in texts for match in LINK.finditer(text)}
    return {path for path in found if path is not None and path.is_file()}


def copy(path: Path) -> str:
    """Return where a file of the repository lies in the site: markdown as text, for its own links lead nowhere."""
    return f"{COPIES}/{path.relative_to(ROOT).as_posix()}{'.txt' * (path.suffix == '.md')}"


def moved(text: str, page: str) -> str:
    """Return the markdown of a page with its links out of docs/ led to the copies."""

    def place(match: re.Match[str]) -> str:
        path = outside(match[2], (ROOT / "docs" / page).parent)
        if path is None:
            return match[0]
        if path.is_dir():
            return match[1]
        return f"[{match[1]}]({posixpath.relpath(copy(path), posixpath.dirname(page) or '.')})"

    return LINK.sub(place, text)


# ---- called by mkdocs


def on_files(files: Any, config: Any) -> Any:
    """Add the notebook's page and the copies."""
    # mkdocs is there where it calls this
    from mkdocs.structure.files import File

    files.append(File.generated(config, "tutorial.md", content=notebook(ROOT / "docs" / "tutorial.ipynb")))
    for path in sorted(linked()):
        files.append(File.generated(config, copy(path), abs_src_path=str(path)))
    return files


def on_config(config: Any) -> Any:
    """Name the notebook's page in the navigation, where mkdocs.yml names the notebook."""
    config.nav = json.loads(json.dumps(config.nav).replace("tutorial.ipynb", "tutorial.md"))
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links where they go in the site."""
    return moved(markdown.replace("(tutorial.ipynb)", "(tutorial.md)"), page.file.src_uri)
