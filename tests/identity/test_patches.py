"""What a loaded module has that its file does not give is named; what a module does to itself is no patch."""

import ast
import types

import pytest

from ganbench.identity.patches import patch_in

TEXT = """
import os.path as renamed
import json.decoder
from abc import ABCMeta
from functools import wraps
LIMIT, = 4,
SCALE = 2.0
NAME: str = "a"
TABLE = (1, 2)
LISTED = [1]
MAPPED = {"a": 1}
COMPUTED = 1 + len("ab")
TWICE = 1
TWICE = 2
GROWN = 1
GROWN += 1
FIRST = SECOND = 3
for COUNT in range(2):
    LOOPED = 1
    def looped(x): return x
with open(renamed.devnull) as STREAM: pass
if True:
    CHOSEN = 1
    class Chosen: pass
while False: pass
try: TRIED = 1
except ValueError: pass
GONE = 1
del GONE
GLOBAL = 1
BOUND = 1
def imported(x): return x
from json import dumps as imported
def json(x): return x
try: import json.encoder
except ImportError: pass
CHOSEN = 1
LOOPED = 1
print(end="") if (BOUND := 1) else None
def set_global():
    global GLOBAL
    GLOBAL = 2
def plain(x, y=1): return x * SCALE
async def later(x): return x
@wraps(plain)
def decorated(x): return x
class Base:
    gain = 1.5
    field: int = 1
    def method(self): return 1
    @classmethod
    def of(cls): return 1
    @property
    def size(self): return 1
    def __init_subclass__(cls): pass
    class Inner:
        def deep(self): return 1
class Abstract(metaclass=ABCMeta):
    def method(self): return 1
class Meta(type): pass
class Made(metaclass=Meta):
    def method(self): return 1
class Pair(tuple):
    def method(self): return 1
class Looser(Base):
    def method(self):
        here = 1
        def inner(): return here
        return inner
"""


def loaded(text=TEXT):
    module = types.ModuleType("mine")
    exec(compile(text, "mine.py", "exec", dont_inherit=True), vars(module))
    return module


def found(module, text=TEXT):
    return patch_in(module, ast.parse(text), text.encode())


def other(self, x=0):
    return 2


def test_a_module_as_its_file_says_is_no_patch():
    assert found(loaded()) == ""
    module = loaded()
    module.__file__ = "elsewhere.py"
    assert found(module) == ""


PATCHES = {
    # what is bound once, and is a literal, a function or a method without decorators
    "SCALE": 3.0, "NAME": "b", "TABLE": (1, 3), "plain": other, "later": other, "set_global": len,
    "Base.gain": 1.0, "Base.method": other, "Base.__init_subclass__": other, "Base.Inner.deep": other,
    "Abstract.method": other, "Looser.method": other, "Pair.method": other,
    # added to a class of the file
    "Base.added": other, "Abstract.added": other, "Looser.added": other, "Base.Inner.added": other,
    # another type where a class was
    "Base": 3, "Base.Inner": 3,
}  # fmt: skip


def put(module, name, value):
    *owners, last = name.split(".")
    owner = module
    for each in owners:
        owner = getattr(owner, each)
    setattr(owner, last, value)


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_is_named(name):
    module = loaded()
    put(module, name, PATCHES[name])
    # an abstract class with keywords in its head takes what is added: a metaclass may have made it
    assert found(module) == ("" if name == "Abstract.added" else name)


def test_names_bound_by_one_assignment_are_each_looked_at():
    for name in ("FIRST", "SECOND"):
        module = loaded()
        setattr(module, name, 4)
        assert found(module) == name


OWN = {
    # fields with a type, of which a class makes what it wants; in place, by the module itself, more than once, below
    # the first level, by a metaclass, or not by a literal
    "LISTED": [1, 2], "MAPPED": {}, "COMPUTED": 9, "TWICE": 9, "GROWN": 9, "LOOPED": 9, "looped": other, "COUNT": 9,
    "STREAM": None, "CHOSEN": 9, "Chosen": 3, "TRIED": 9, "GONE": 9, "GLOBAL": 9, "BOUND": 9, "renamed": None,
    "json": None, "ABCMeta": None, "wraps": None, "decorated": other, "Base.size": 3, "Base.of": other,
    "Made.method": other, "Made.added": other, "Pair.added": other, "Base.number": 3, "extra": other, "LIMIT": 5,
    "Base.field": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_what_may_have_been_meant_is_no_patch(name):
    module = loaded()
    put(module, name, OWN[name])
    assert found(module) == ""


@pytest.mark.parametrize("name", ["SCALE", "plain", "Base", "Base.method"])
def test_what_is_gone_is_a_patch(name):
    module = loaded()
    *owners, last = name.split(".")
    delattr(getattr(module, owners[0]) if owners else module, last)
    assert found(module) == name


def test_an_equal_value_of_another_kind_is_a_patch():
    for value in (2, 2.0000000001, True, "2.0"):
        module = loaded()
        module.SCALE = value
        assert found(module) == "SCALE"


def test_a_function_of_other_code_that_has_the_same_name_is_a_patch():
    changed = loaded(TEXT.replace("x * SCALE", "x / SCALE"))
    assert found(changed) == "plain"
    assert found(loaded(TEXT.replace("return here", "return -here"))) == "Looser.method"


def test_source_that_does_not_compile_names_nothing():
    module = loaded()
    module.SCALE = 3.0
    assert patch_in(module, ast.parse(TEXT), b"def f(:") == ""
    assert patch_in(module, ast.parse(TEXT), b"\0") == ""
