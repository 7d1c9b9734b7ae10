"""What keeps a page small: its data deflated and written in letters, its markup without what may be left out.

13 bits make two of 91 letters, which is 1.23 letters a byte where base64 takes 1.33. The letters are those of printable
ASCII that need no escape in a JSON string within a script element.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

LETTERS = "".join(chr(code) for code in range(33, 127) if chr(code) not in '"\\<')
BITS = 13
"""Of two letters: 2^13 = 8192 of 91 x 91 = 8281 pairs are used."""

APART = ("commands", "curves", "samples")
"""Parts of a study's data that are unpacked when they are asked for."""
BLOCKS = ("real", "packed", "sheets")
"""Parts of a problem's samples that are, the others being told at once."""


def as_json(value: object) -> str:
    """Return a value as JSON that can stand in a script element, which nothing in it ends; NaN is a ValueError."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=str).replace("<", "\\u003c")


def folded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's data as the page's script reads it: what it needs at once is `about`, deflated as a whole."""
    told = {key: value for key, value in data.items() if key not in APART}
    told["samples"] = {
        problem: {key: value for key, value in of.items() if key not in BLOCKS}
        for problem, of in data["samples"].items()
    }
    blocks = {
        problem: {key: value for key, value in of.items() if key in BLOCKS} for problem, of in data["samples"].items()
    }
    about = deflated(as_json(told).encode())
    return {"about": about, "commands": data["commands"], "curves": data["curves"], "blocks": blocks}


END = re.compile(r"</(?:td|th|tr|li|thead|tbody)>\s*(?=<(?:t[dhr]|tbody|li|/tr|/thead|/tbody|/table|/ul)\b)")
"""Tags that HTML lets a page leave out, for what follows says the same."""
QUOTED = re.compile(r' ([a-z-]+)="([A-Za-z0-9_.#%:-]+)"(?=[ >])')
"""An attribute whose value needs no quotes."""


def shortened(page: str) -> str:
    """Return a page without what HTML does not ask for in tables and tags; a browser makes the same of it."""
    body, start, rest = page.partition('<script type="application/json"')
    while (shorter := END.sub("", body)) != body:
        body = shorter
    return QUOTED.sub(r" \1=\2", body) + start + rest


def deflated(content: bytes) -> str:
    """Return bytes as letters after deflating them; the page's `unpack` is the inverse."""
    return lettered(zlib.compress(content, 9))


def lettered(content: bytes) -> str:
    """Return bytes as letters; up to five bits that are left make one letter by themselves."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    left = len(bits) % BITS
    alone = 0 < left <= 5
    whole = bits[: len(bits) - left] if alone else np.append(bits, np.zeros(-len(bits) % BITS, np.uint8))
    values = whole.reshape(-1, BITS) @ (1 << np.arange(BITS - 1, -1, -1))
    places = np.stack([values // len(LETTERS), values % len(LETTERS)], axis=1).ravel()
    if alone:
        places = np.append(places, bits[-left:] @ (1 << np.arange(left - 1, -1, -1)))
    return np.frombuffer(LETTERS.encode(), np.uint8)[places].tobytes().decode()
