"""What mkdocstrings is told of our docstrings: lines from >>> on are an example, with what it prints."""

from __future__ import annotations

from typing import Any

try:
    from griffe import Extension
except ImportError:  # whoever tests `fenced` needs none
    Extension = object


def fenced(text: str) -> str:
    """Return a docstring with its examples as blocks of code: from >>> to the next empty line."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        begins, ends = not inside and line.lstrip().startswith(">>>"), inside and not line.strip()
        lines += ["", "```pycon"] * begins + ["```"] * ends
        inside = (inside or begins) and not ends
        lines.append(line)
    return "\n".join(lines + ["```"] * inside)


class Examples(Extension):  # type: ignore[misc] # nothing but object where there is no griffe
    """Fences the examples of every object."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change an object's docstring, as griffe has read it."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
