"""Each limit on what a user writes, at its last value that is read and at the first that is not."""

from pathlib import Path

import pytest

from ganbench import reading
from ganbench.errors import UserError
from ganbench.reading import (
    DEEPEST,
    LARGEST_VALUE,
    LONGEST_NAME,
    LONGEST_NUMBER,
    LONGEST_TEXT,
    listed,
    parse_overrides,
    read_suite,
    read_yaml,
)


def nested(depth):
    return "[" * depth + "]" * depth


BORDERS = {
    # the list counts as one of its values
    "values": (lambda n: f"[{','.join('1' * (n - 1))}]", LARGEST_VALUE, f"more than {LARGEST_VALUE} values"),
    "repeated": (lambda n: f"[&a [{','.join('1' * 98)}], {','.join(['*a'] * 99)}, {','.join('1' * (n - 9901))}]",
        LARGEST_VALUE, f"more than {LARGEST_VALUE} values"),
    "levels": (nested, DEEPEST, f"more than {DEEPEST} lists or mappings within each other"),
    "digits": (lambda n: "9" * n, LONGEST_NUMBER, f"a number with more than {LONGEST_NUMBER} digits"),
    "characters": (lambda n: "x" * n, LONGEST_TEXT, f"at most {LONGEST_TEXT} are read"),
}  # fmt: skip


@pytest.mark.parametrize("limit", BORDERS)
def test_the_last_value_within_a_limit_is_read_and_the_next_is_not(limit):
    make, most, said = BORDERS[limit]
    read_yaml(make(most), "it")
    with pytest.raises(UserError, match=said):
        read_yaml(make(most + 1), "it")


def test_a_list_that_is_too_long_is_refused_where_it_becomes_so():
    with pytest.raises(UserError, match=f"at line {LARGEST_VALUE + 1}: more than {LARGEST_VALUE} values"):
        read_yaml("[\n" + "1,\n" * (LARGEST_VALUE + 20) + "]", "it")


def test_the_limits():
    assert (LONGEST_TEXT, LARGEST_VALUE, DEEPEST, LONGEST_NUMBER, LONGEST_NAME) == (100_000, 10_000, 20, 100, 100)


def test_brothers_are_no_deeper_than_one_of_them():
    assert read_yaml(f"[{', '.join([nested(DEEPEST - 1)] * 30)}]", "it")


def test_suite_files_have_the_limits_of_texts_and_of_names(tmp_path):
    text = "description: x\n#"
    for name, length, fits in (
        ("a" * LONGEST_NAME, LONGEST_TEXT, True),
        ("a" * (LONGEST_NAME + 1), 100, False),
        ("b", LONGEST_TEXT + 1, False),
    ):
        file = tmp_path / f"{name}.yaml"
        file.write_text(text + "x" * (length - len(text)))
        if fits:
            assert read_suite(file) == (name, {"description": "x"})
        else:
            with pytest.raises(UserError, match=r"at most 100 characters|more than 100000 characters"):
                read_suite(file)
    (tmp_path / "c.yml").write_text("steps: 5")
    assert read_suite(str(tmp_path / "c.yml")) == ("c", {"steps": 5})


@pytest.mark.parametrize("text", ["[1]", "3", "{1: 2}", "{a: 1, 2: 3}", ""])
def test_a_suite_is_a_mapping_of_keys(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=r"must be a mapping of keys to values"):
        read_suite(tmp_path / "a.yaml")


@pytest.mark.parametrize("value", ["1e-4", "+1e4", "-2E+3", "1.e2", "1.5e3", "0e1"])
def test_numbers_as_everybody_writes_them(value):
    assert read_yaml(value, "it") == float(value)
    assert isinstance(read_yaml(value, "it"), float)


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "é"])
def test_lines_and_tabs_are_no_odd_characters(text):
    assert read_yaml(f'"{text!r}"'.replace("'", ""), "it") == text
    for odd in ('"a\\rb"', '{a: ["\\e"]}', '{"\\x7f": 1}', "a: [1, {b: '\\u200b\u200b'}]"):
        with pytest.raises(UserError, match=r"which cannot be printed|not allowed"):
            read_yaml(odd, "it")


def test_errors_tell_the_line():
    with pytest.raises(UserError, match=r"^Cannot read it at line 2: "):
        read_yaml("a: 1\nb: [", "it")
    with pytest.raises(UserError, match=r"^Cannot read it at line 3: the key 'b' stands there twice\.$"):
        read_yaml("a: 1\nb: 1\nb: 2", "it")
    assert read_yaml("{1: a, '1': b}", "it") == {1: "a", "1": "b"}


@pytest.mark.parametrize("words", ["loss=hinge", b"x", {"loss": 1}, 5, ["a=1", 5]])
def test_overrides_are_a_list_of_texts(words):
    with pytest.raises(UserError, match=r"'overrides' is a list of texts"):
        parse_overrides(words)
    assert listed(iter(["a", "b"]), "overrides", "") == ["a", "b"]


@pytest.mark.parametrize(("word", "value"), [
    ("k=1,2", [1, 2]), ("k=[1, 2]", [1, 2]), ("k= [1,2]", [1, 2]), ('k="a,b"', "a,b"), ("k='a,b'", "a,b"),
    ("k={a: 1, b: 2}", {"a": 1, "b": 2}), ("k=a=b", "a=b"), (" k =1", 1),
])  # fmt: skip
def test_a_value_with_a_comma_is_a_list_unless_it_is_quoted(word, value):
    assert parse_overrides([word]) == {"k": value}


@pytest.mark.parametrize("words", [["k"], ["=1"], [" =1"], ["k=1", " k=2"]])
def test_overrides_that_do_not_read(words):
    with pytest.raises(UserError, match=r"is written key=value|is given twice"):
        parse_overrides(words)


def test_suites_lie_in_the_installed_package_or_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "beside" / "package"
    package.mkdir(parents=True)
    monkeypatch.setattr(reading, "__file__", str(package / "reading.py"))
    assert reading.suite_folder() == package / "suites"
    assert reading.suite_names() == []
    (tmp_path / "beside" / "suites").mkdir()
    assert reading.suite_folder() == tmp_path / "beside" / "suites"
    (package / "suites").mkdir()
    assert reading.suite_folder() == package / "suites"
    for name in ("b.yaml", "a.yaml", "c.txt"):
        (package / "suites" / name).write_text("steps: 5")
    assert reading.suite_names() == ["a", "b"]
    assert reading.suite_file("a") == package / "suites" / "a.yaml"
    assert read_suite("b") == ("b", {"steps": 5})


@pytest.mark.parametrize("name", [None, 5, b"smoke", ["smoke"], Path])
def test_a_suite_is_named_by_a_text_or_a_path(name):
    with pytest.raises(UserError, match=r"^A suite is a shipped suite's name or a YAML file, got "):
        reading.suite_file(name)
    assert reading.suite_file(Path("smoke")).name == "smoke.yaml"
    with pytest.raises(UserError, match=r"^Unknown suite 'smok'\. Did you mean 'smoke'\?"):
        reading.suite_file("smok")
