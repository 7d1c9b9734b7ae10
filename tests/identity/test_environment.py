"""What decides a result besides the plan, and hashes of files and folders."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import pytest
import torch

import ganbench
from ganbench.errors import UserError
from ganbench.identity import contents, environment
from ganbench.identity.environment import DECIDING, code_digest, differences

# the package's function of this name hides it
MODULE = sys.modules["ganbench.identity.environment"]

# ------------------------------------------------------------------------------------------ contents


def sha(content):
    return hashlib.sha256(content).hexdigest()[:12]


def test_a_hash_of_parts_is_of_their_names_and_texts_in_any_order():
    one = contents.combined([("a", "1"), ("bc", "23")])
    assert one == contents.combined([("bc", "23"), ("a", "1")]) == sha(b"1:a1:12:bc2:23")
    # no two lists of parts read the same
    others = [[("a", "1b"), ("c", "23")], [("a1", "b"), ("c", "23")], [("a", "1")], [], [("a", "1"), ("bc", "\ud800")]]
    assert len({one, *map(contents.combined, others)}) == 6
    assert contents.of_bytes(b"x") == sha(b"x")


def test_a_file_is_hashed_by_its_content_and_a_folder_by_names_and_contents(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a").write_bytes(b"1")
    (tmp_path / "in" / "deep" / "b").write_bytes(b"2")
    assert contents.of_path(tmp_path / "in" / "a") == sha(b"1")
    assert contents.of_path(tmp_path / "in") == contents.combined([("a", sha(b"1")), ("deep/b", sha(b"2"))])
    (tmp_path / "in" / "empty").mkdir()
    assert contents.of_path(tmp_path / "in") == contents.combined([("a", sha(b"1")), ("deep/b", sha(b"2"))])
    with pytest.raises(
        UserError, match=r"^Cannot read '.*none', which results depend on: No such file or directory\.$"
    ):
        contents.of_path(tmp_path / "none")


def test_a_file_that_changed_is_read_again(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    assert contents.of_path(file) == sha(b"1")
    file.write_bytes(b"22")
    assert contents.of_path(file) == sha(b"22")
    stat = file.stat()
    file.write_bytes(b"33")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert contents.of_path(file) == sha(b"33"), "size and time of writing are not all"
    (tmp_path / "b").write_bytes(b"44")
    (tmp_path / "b").replace(file)
    assert contents.of_path(file) == sha(b"44")


# ------------------------------------------------------------------------------------------ environment


def test_the_code_that_decides_has_one_hash():
    package = Path(ganbench.__file__).parent
    files = [package / name for name in DECIDING if name.endswith(".py")]
    files += [file for name in DECIDING if not name.endswith(".py") for file in (package / name).rglob("*.py")]
    assert len(files) > 50
    parts = [(file.relative_to(package).as_posix(), sha(file.read_bytes())) for file in files]
    assert code_digest() == contents.combined(parts)


def test_what_trains_is_code_torch_and_device(monkeypatch):
    assert environment("cpu") == {
        "code": code_digest(), "torch": torch.__version__, "device": MODULE._processor(),
    }  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert environment("cuda")["device"] == "a card"


def test_what_differs_is_told_in_words():
    now = {"code": "c", "torch": "2", "device": "d"}
    assert differences(now, dict(now)) == []
    assert differences({**now, "torch": "1", "other": "x"}, now) == ["another torch (1, now 2)"]
    assert differences({}, now) == [
        "another code of ganbench (None, now c)", "another torch (None, now 2)", "another device (None, now d)",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "name"), [
    ("processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Other\n", "Fast 9000"),
    ("vendor: a model name: x\n", None), ("", None), (None, None),
])  # fmt: skip
def test_the_name_of_a_processor(monkeypatch, tmp_path, text, name):
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(MODULE, "Path", lambda place: file)
    monkeypatch.setattr(platform, "processor", lambda: "plain")
    assert MODULE._processor() == (name or "plain")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert MODULE._processor() == (name or platform.machine())
