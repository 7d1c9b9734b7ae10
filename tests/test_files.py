"""Files are written all or nothing, under names that stay inside; what the system refuses is one sentence."""

import fcntl
import os
from pathlib import Path

import pytest

from ganbench.errors import UserError
from ganbench.files import (
    append_line,
    earlier,
    file_name,
    is_file,
    locked,
    remove,
    replace_file,
    write_text,
    writing_to,
)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    file = tmp_path / "plan.yaml"
    write_text(file, "old")

    def half():
        with replace_file(file) as target:
            target.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]
    with pytest.raises(RuntimeError), replace_file(tmp_path / "other"):
        raise RuntimeError  # before anything was written
    write_text(file, "né")
    assert file.read_bytes() == "né".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize("name", [".", "..", "/", "folder"])
def test_a_folder_is_not_written_over_nor_beside_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"^Cannot write to '.*': Is a directory\.$"), writing_to(Path(name)):
        write_text(Path(name), "text")
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_a_device_stays_one(tmp_path):
    here, (master, slave) = tmp_path / "link", os.openpty()
    os.mkfifo(tmp_path / "pipe")
    here.symlink_to("pipe")
    try:
        # a terminal of our own: a test that fails must not cost the machine its /dev/null
        for place in (Path(os.ttyname(slave)), here):
            with pytest.raises(UserError, match="It is no ordinary file"), writing_to(place):
                write_text(place, "text")
            assert not place.is_file()
    finally:
        os.close(master)
        os.close(slave)
    write_text(tmp_path / "pipe", "litter is replaced")
    assert (tmp_path / "pipe").is_file()


def test_a_temporary_file_is_hidden_and_beside_its_file(tmp_path):
    with replace_file(tmp_path / "a") as target:
        assert target.parent == tmp_path
        assert target.name.startswith(".a.")
        target.touch()
    assert earlier(tmp_path / "a") == tmp_path / "earlier-a"


def test_what_the_system_refuses_names_the_place(tmp_path):
    with (
        pytest.raises(UserError, match=r"^Cannot write to '.*place': No such file or directory\.$"),
        writing_to(tmp_path / "place"),
    ):
        (tmp_path / "none" / "file").touch()
    with pytest.raises(UserError, match=r"^Cannot write to '.*place': odd\.$"), writing_to(tmp_path / "place"):
        raise OSError("odd")


def test_a_lock_that_cannot_be_made_is_refused(tmp_path):
    for taken in (None, "busy"):
        with (
            pytest.raises(UserError, match=r"^Cannot write to '.*lock': No such file or directory\.$"),
            locked(tmp_path / "none" / "lock", taken),
        ):
            pytest.fail("nothing is held")


def test_a_lock_is_held_by_one_and_let_go_of(tmp_path):
    file = tmp_path / "lock"
    with locked(file, "busy"), pytest.raises(UserError, match=r"^busy$"), locked(file, "busy"):
        pytest.fail("held twice")
    with locked(file, None):
        descriptor = os.open(file, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    with locked(file, "busy"):
        pass


def test_a_line_is_never_glued_to_half_of_another(tmp_path):
    file = tmp_path / "lines"
    append_line(file, {"a": 1, "b": [2]})
    assert file.read_bytes() == b'{"a":1,"b":[2]}\n'
    file.write_bytes(file.read_bytes() + b'{"ha')
    append_line(file, {"c": 3})
    append_line(file, {"d": 4})
    assert file.read_bytes() == b'{"a":1,"b":[2]}\n{"ha\n{"c":3}\n{"d":4}\n'


def test_whatever_is_at_a_place_goes_and_what_a_link_leads_to_stays(tmp_path):
    kept = tmp_path / "kept"
    (kept / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("link", "file", "folder", "none"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "inner").is_dir()


@pytest.mark.parametrize("text", ["a", "ring8-s=1,(b)", "x" * 150, "é" * 75, "a.b"])
def test_a_name_that_can_be_a_files_is_kept(text):
    assert file_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", ".a", "a/b", "a\\b", "a\nb", "a\x7fb", "a\x9fb", "\ud800", "x" * 151,
                                  "é" * 76])  # fmt: skip
def test_another_is_replaced_and_told_apart(text):
    name = file_name(text)
    assert name != text
    assert len(name.encode()) <= 60 + 1 + 12
    assert name == file_name(text) != file_name(f"{text}/")
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=,()_-")
    if len(text) > 60 and text.isascii():
        assert name.startswith("x" * 60 + "-")


@pytest.mark.parametrize("path", ["", "x" * 10_000, "a\0b", 5, None, "."])
def test_what_cannot_be_a_path_is_no_file(path):
    assert is_file(path) is False
    assert is_file(__file__) is True
