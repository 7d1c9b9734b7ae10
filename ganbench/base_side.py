"""The other side of a check: trains what it is told with the code that its own process imports.

`ganbench.against` runs this file by its path, with another tree's folders first on the path or by another environment's
interpreter: the package that it imports need not be the one that it lies in.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

# by its place and not by this file's: see above
from ganbench import api, interrupts, registry
from ganbench.errors import UserError


def reached() -> dict[str, str]:
    """Return the files of the modules that this process has loaded or its plug-ins reach, by the modules' names."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    found = {name: str(Path(file).resolve()) for name, file in files.items() if isinstance(file, str)}
    for plugin in registry.known().values():
        if not plugin.is_own:
            # an earlier version of this package tells nothing
            found |= {name: str(Path(file).resolve()) for name, file in getattr(plugin.identity, "files", {}).items()}
    return found


def train(order: dict[str, Any]) -> dict[str, Any]:
    """Train the variants of a suite that are asked for, all of them for None, and return where the code came from."""
    plan = api.make_plan(None, order["overrides"], order["plugins"])
    if order["variants"] is not None:
        plan = replace(plan, variants=tuple(v for v in plan.variants if v.id in order["variants"]))
    # an earlier version of this package takes as long as it takes
    at_most = getattr(interrupts, "at_most", nullcontext)
    with suppress(getattr(interrupts, "TimeIsUpError", TimeoutError)), at_most(order.get("seconds")):
        api.execute_plan(
            plan, out=order["out"], device=order["device"], workers=order["workers"], fresh=True, by="check"
        )
    return {"files": reached()}


def main() -> None:
    """Do what the file that the command names asks for, and write the answer into another."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = train(order)
    except UserError as error:
        answer = {"error": str(error)}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
