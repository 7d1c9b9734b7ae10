"""The build's hook: puts the revision of the checkout into the wheel and the archive, where there is no git to ask.

It writes nothing into the checkout. An archive brings the file along, so that a wheel built from it has it too.
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "ganbench/_revision.json"


class RevisionHook(BuildHookInterface[Any]):
    """Records `ganbench.provenance.own_revision()` as it is when the package is built."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built; an editable install asks git itself."""
        root = Path(self.root)
        if version == "editable" or (root / NAME).exists():
            return
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "_revision.json"
        file.write_text(json.dumps({"revision": revision_of(root)}) + "\n", encoding="utf-8")
        build_data["force_include"][str(file)] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Forget the file."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


def revision_of(root: Path) -> str:
    """Return the revision of a checkout as the package itself would; empty where there is no git."""
    spec = importlib.util.spec_from_file_location("ganbench_revision", root / "ganbench" / "revision.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.revision(root / "ganbench" / "__init__.py", within=root / "ganbench", foreign=True))
