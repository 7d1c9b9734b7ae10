"""The data of a report's page, read as its script reads them, by other code than that which wrote them."""

import json
import re
import zlib

LETTERS = [chr(code) for code in range(ord("!"), ord("~") + 1) if chr(code) not in ('"', "<", "\\")]
PLACES = {letter: place for place, letter in enumerate(LETTERS)}


def data_of(page):
    """Return what the page's script has of all studies, after it has unpacked what it needs at once."""
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    for study in data["studies"]:
        study |= json.loads(inflated(study["about"]))
        for problem, blocks in study["blocks"].items():
            study["samples"][problem] |= blocks
    return data


def inflated(text):
    return zlib.decompress(bytes_of(text))


def bytes_of(text):
    """Two letters are a number of 13 bits; one that is left over has the bits that are missing of the last byte."""
    places = [PLACES[letter] for letter in text]
    bits = "".join(f"{first * 91 + second:013b}" for first, second in zip(places[::2], places[1::2], strict=False))
    if len(places) % 2:
        bits += f"{places[-1]:0{-len(bits) % 8}b}"
    whole = len(bits) // 8
    return int(bits[: 8 * whole] or "0", 2).to_bytes(whole, "big")
