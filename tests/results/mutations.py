"""Studies that anything may have happened to: seeded changes of files of a real one."""

import json
import os
import random
import shutil
from pathlib import Path

VALUES = [
    None, True, False, 0, -1, 1.5, 10**400, 1e308, float("nan"), float("inf"), "", "x", "../../x", "\x00\u202e\n",
    [], {}, [[]], {"a": 1}, [None], "a" * 10_000,
]  # fmt: skip
JUNK = [
    b"",
    b"null\n",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"{}",
    b"- - - -\n",
    b"a: &a [*a]\n",
    b"!!python/name:os.system\n",
]


def mutate(study: Path, seed: int) -> list[str]:
    """Change one to three things in a study's files and return what was done."""
    draw = random.Random(seed)
    return [_change(study, draw) for _ in range(draw.randint(1, 3))]


def _change(study: Path, draw: random.Random) -> str:
    files = sorted(file for file in study.rglob("*") if file.is_file() and not file.is_symlink())
    if not files:
        return "nothing is left"
    file, how = draw.choice(files), draw.choice(WAYS)
    how(file, draw, files)
    return f"{how.__name__} {file.relative_to(study)}"


def _truncate(file, draw, files):
    content = file.read_bytes()
    file.write_bytes(content[: draw.randint(0, len(content))])


def _flip(file, draw, files):
    content = bytearray(file.read_bytes())
    for _ in range(draw.randint(1, 8) if content else 0):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _replace(file, draw, files):
    file.write_bytes(draw.choice(JUNK))


def _delete(file, draw, files):
    file.unlink()


def _swap(file, draw, files):
    shutil.copyfile(draw.choice(files), file.with_name("swapped"))
    file.with_name("swapped").replace(file)


def _folder(file, draw, files):
    file.unlink()
    file.mkdir()


def _pipe(file, draw, files):
    file.unlink()
    os.mkfifo(file)


def _insert(file, draw, files):
    content = file.read_bytes()
    at = draw.randint(0, len(content))
    file.write_bytes(content[:at] + bytes(draw.randrange(256) for _ in range(draw.randint(1, 9))) + content[at:])


def _line(file, draw, files):
    lines = file.read_bytes().split(b"\n")
    at = draw.randrange(len(lines))
    lines[at : at + 1] = draw.choice([[], [lines[at]] * 2, [draw.choice(lines)], [b"null"], [b" " * 3 + lines[at]]])
    file.write_bytes(b"\n".join(lines))


def _value(file, draw, files):
    """Put another value at some place of a file of JSON, or of its lines; elsewhere change a digit."""
    try:
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        at = draw.randrange(len(lines))
        content = json.loads(lines[at])
    except (ValueError, RecursionError):
        return _digit(file, draw)
    places = list(_places(content))
    if places:
        owner, key = draw.choice(places)
        owner[key] = draw.choice(VALUES)
        if isinstance(owner, dict) and draw.random() < 0.3:
            owner[draw.choice(["step", "", "../x"])] = owner.pop(key)
    else:
        content = draw.choice(VALUES)
    lines[at] = json.dumps(content)
    return file.write_text("\n".join(lines) + "\n")


def _digit(file, draw):
    content = file.read_bytes()
    digits = [at for at, byte in enumerate(content) if byte in b"0123456789"]
    if digits:
        at = draw.choice(digits)
        new = draw.choice([b"9", b"-1", b"1e9", b"x", b"[1]", b"99999999999999999999", b"{}", b"null", b"../../x"])
        file.write_bytes(content[:at] + new + content[at + 1 :])


def _places(content):
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        yield content, key
        yield from _places(value)


WAYS = [_truncate, _flip, _replace, _delete, _swap, _folder, _pipe, _insert, _line, _value, _value, _value]
