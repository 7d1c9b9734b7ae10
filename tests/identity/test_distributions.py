"""An installed package's identity: its version while its files are those that its record names, else their content."""

import base64
import hashlib
import os

import pytest

from ganbench.identity import contents, distributions
from ganbench.identity.distributions import Installed, closure, owner


def entry(path, content, size=None):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content) if size is None else size}\n"


def install(site, name, files, requires=(), record=None, version="1.0"):
    """Write a package as pip does, its record last; record: what that says instead."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    (info / "INSTALLER").write_text("pip")
    notes = entry(f"{info.name}/INSTALLER", b"pip") + f"{info.name}/RECORD,,\n"
    (info / "RECORD").write_text((record or "".join(entry(*pair) for pair in files.items())) + notes)
    return Installed(info)


def later(file, reference, seconds=5):
    stamp = reference.stat().st_mtime + seconds
    os.utime(file, (stamp, stamp))


def test_only_what_has_a_hash_and_is_no_note_of_the_installer_counts(tmp_path):
    one = install(tmp_path, "one", {"one/a.py": b"1"}, record=entry("one/a.py", b"1") + "one/a.pyc,,\nodd\n")
    assert list(one.entries) == ["one/a.py"]
    assert one.identity == "1.0"


def test_a_note_of_the_installer_that_changes_changes_nothing(tmp_path):
    one = install(tmp_path, "one", {"one/a.py": b"1"})
    (one.info / "INSTALLER").write_text("another")
    assert one.identity == "1.0"


def test_another_size_is_a_change_whenever_it_was_written(tmp_path):
    one = install(tmp_path, "one", {"one/a.py": b"12"}, record=entry("one/a.py", b"1"))
    later(one.info / "RECORD", one.info / "RECORD")
    assert one.identity.startswith("1.0+")


def test_what_was_written_after_the_record_is_read(tmp_path):
    one = install(tmp_path, "one", {"one/a.py": b"1"})
    file = tmp_path / "one" / "a.py"
    later(file, one.info / "RECORD")
    assert one.identity == "1.0", "written again, and the same"
    file.write_bytes(b"2")
    later(file, one.info / "RECORD")
    assert Installed(one.info).identity.startswith("1.0+")


@pytest.mark.parametrize("large", [True, False])
def test_a_large_file_is_believed_by_its_size_and_its_time_of_writing(tmp_path, monkeypatch, large):
    one = install(tmp_path, "one", {"one/a.so": b"1234"})
    record = (one.info / "RECORD").stat()
    file = tmp_path / "one" / "a.so"
    while True:
        # until the clock of the file system has moved on: the time of a change cannot be set
        file.write_bytes(b"5678")
        os.utime(file, (record.st_mtime - 5, record.st_mtime - 5))
        if file.stat().st_ctime_ns > record.st_ctime_ns:
            break
    monkeypatch.setattr(distributions, "LARGE", 3 if large else 4)
    assert (one.identity == "1.0") is large


def test_what_is_missing_or_not_published_is_told_by_content(tmp_path):
    one = install(tmp_path, "one", {"one/a.py": b"1", "one/b.py": b"2"})
    (one.info / "direct_url.json").write_text("{}")
    assert one.identity.startswith("1.0+")
    whole = one.identity
    (tmp_path / "one" / "b.py").unlink()
    assert Installed(one.info).identity not in (whole, "1.0")


def test_a_package_is_what_it_needs_without_extras(tmp_path):
    needs = ["Two_Pkg>=1", "three.pkg ; python_version > '3'", "four ; extra == 'docs'", "absent", "ganbench"]
    for name in ("three-pkg", "four", "ganbench", "alone"):
        install(tmp_path, name, {f"{name}.py": b"1"})
    install(tmp_path, "two-pkg", {"two.py": b"1"}, ["one"], version="2.0")
    one = install(tmp_path, "one", {"one.py": b"1"}, [*needs, ";odd"])
    assert list(one.requirements) == ["two-pkg", "three-pkg", "absent", "ganbench"]
    assert closure(one) == {"one": "1.0", "two-pkg": "2.0", "three-pkg": "1.0"}


def test_a_file_belongs_to_the_package_whose_record_lists_it(tmp_path):
    install(tmp_path, "one", {"one/a.py": b"1", "a.py": b"1"})
    install(tmp_path, "two", {"two/one/a.py": b"1"})
    found = {path: owner(tmp_path, path) for path in ("one/a.py", "a.py", "two/one/a.py", "py", "one/a")}
    assert {path: one and one.name for path, one in found.items()} == {
        "one/a.py": "one", "a.py": "one", "two/one/a.py": "two", "py": None, "one/a": None,
    }  # fmt: skip


@pytest.mark.parametrize(("written", "name"), [
    ("plain", "plain"), ("A_b.C--d", "a-b-c-d"), ("", "one-1-0"), (None, "one-1-0"),
])  # fmt: skip
def test_a_package_is_called_as_pip_calls_it(tmp_path, written, name):
    one = install(tmp_path, "one", {"one/a.py": b"1"})
    line = "" if written is None else f"Name: {written}\n"
    (one.info / "METADATA").write_text(f"Metadata-Version: 2.1\n{line}Version: 1.0\n")
    assert Installed(one.info).name == name


@pytest.mark.parametrize(("line", "name"), [
    ("two", ["two"]), ("two>=1,<3", ["two"]), (" Two_b.c [x] ; python_version > '3'", ["two-b-c"]),
    ("two; extra == 'x'", []), ("two[extra]", ["two"]), ("-odd", []), ("", []),
])  # fmt: skip
def test_what_a_package_needs_is_read_without_extras(tmp_path, line, name):
    one = install(tmp_path, "one", {"one/a.py": b"1"}, requires=[line] if line else [])
    assert list(one.requirements) == name


def test_packages_that_need_each_other_are_each_there_once(tmp_path):
    one = install(tmp_path, "one", {"one.py": b"1"}, requires=["two", "gone", "ganbench"])
    install(tmp_path, "two", {"two.py": b"2"}, requires=["one", "three"], version="2.0")
    install(tmp_path, "three", {"three.py": b"3"}, version="3.0")
    install(tmp_path, "four", {"four.py": b"4"})
    install(tmp_path, "ganbench", {"own.py": b"5"})
    distributions._infos.cache_clear()
    assert closure(one) == {"one": "1.0", "two": "2.0", "three": "3.0"}
    owner.cache_clear()
    assert owner(tmp_path, "two.py").name == "two"
    assert owner(tmp_path, "wo.py") is None
    assert owner(tmp_path, "two.p") is None


def test_the_hash_of_a_changed_package_is_of_each_file_as_it_is(tmp_path):
    one = install(tmp_path, "one", {"a.py": b"1", "b.py": b"2"})
    plain = {path: digest for path, (digest, _) in one.entries.items()}
    (tmp_path / "a.py").write_bytes(b"12")
    changed = distributions._recorded_hash(tmp_path / "a.py")
    assert changed == entry("a.py", b"12").split(",")[1]
    assert one.identity == f"1.0+{contents.combined({**plain, 'a.py': changed}.items())}"
    (tmp_path / "b.py").unlink()
    expected = contents.combined({"a.py": changed, "b.py": "missing"}.items())
    assert Installed(one.info).identity == f"1.0+{expected}"
    local = install(tmp_path / "local", "two", {"c.py": b"3"})
    (local.info / "direct_url.json").write_text("{}")
    assert local.identity == f"1.0+{contents.combined({'c.py': entry('c.py', b'3').split(',')[1]}.items())}"


@pytest.mark.parametrize("size", [1, None])
def test_a_size_that_is_not_recorded_tells_nothing(tmp_path, size):
    record = "" if size is None else str(size)
    digest = entry("a.py", b"12").split(",")[1]
    one = install(tmp_path, "one", {"a.py": b"12"}, record=f"a.py,{digest},{record}\n")
    assert one.identity == "1.0", "the same content, whatever its size is said to be"
    assert distributions.LARGE == 16 * 2**20
