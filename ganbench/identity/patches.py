"""Whether a loaded module is what its file says: what was replaced after the import is in no file."""

from __future__ import annotations

import ast
from abc import ABCMeta
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def patch_in(module: ModuleType, tree: ast.Module, source: bytes) -> str:
    """Return the name of something in a loaded module that its source does not give; empty where there is nothing.

    Looked at: functions and methods without decorators, and constants written as literals, that are bound once.
    """
    try:
        code = compile(source, getattr(module, "__file__", None) or "module", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return ""
    return next(_patched(vars(module), tree.body, code, _rebound(tree), ""), "")


def _patched(loaded: Any, body: list[ast.stmt], code: CodeType, rebound: set[str], inside: str) -> Iterator[str]:
    codes = {part.co_name: part for part in code.co_consts if isinstance(part, CodeType)}
    times = Counter(name for statement in body for name in _bound(statement))
    for statement in body:
        for name in _bound(statement):
            if times[name] > 1 or name in rebound:
                continue
            value = loaded.get(name)
            if isinstance(statement, Definition) and not statement.decorator_list:
                yield from _differs(value, statement, codes.get(name), f"{inside}{name}")
            elif (written := _written(statement, inside)) is not None and not _agrees(value, written):
                yield f"{inside}{name}"


def _written(statement: ast.stmt, inside: str) -> ast.expr | None:
    """Return the value that an assignment writes down; None where a class may have made a field of it."""
    if isinstance(statement, ast.AnnAssign) and inside:
        return None
    return statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None


def _differs(value: Any, statement: Definition, code: CodeType | None, name: str) -> Iterator[str]:
    if code is None:
        return
    if not isinstance(statement, ast.ClassDef):
        # some methods are made class methods without a decorator
        value = getattr(value, "__func__", value)
        if not isinstance(value, FunctionType) or value.__code__ != code:
            yield name
    elif not isinstance(value, type):
        yield name
    elif type(value) in (type, ABCMeta):  # another metaclass may have made anything of the body
        members = vars(value)
        yield from _patched(members, statement.body, code, set(), f"{name}.")
        if tuple not in value.__mro__ and not statement.keywords:
            known = {bound for node in ast.walk(statement) for bound in _bound(node)}
            yield from (f"{name}.{key}" for key, member in members.items() if _is_added(member, key, known))


def _is_added(member: Any, key: str, known: set[str]) -> bool:
    return isinstance(member, FunctionType) and key not in known


def _agrees(value: Any, written: ast.expr) -> bool:
    try:
        literal = ast.literal_eval(written)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return True
    # what can change in place may have been meant to
    return isinstance(literal, (list, dict, set)) or repr(value) == repr(literal)


def _bound(statement: ast.AST) -> Iterator[str]:
    """Yield the plain names that a statement binds by itself; nothing else binds any."""
    if isinstance(statement, Definition):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _rebound(tree: ast.Module) -> set[str]:
    """Return the names that the module itself binds again: below its first level, by loops, imports or `global`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            names += node.names
        elif isinstance(node, ast.alias):
            names.append((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.For, ast.With, ast.If, ast.Try, ast.While)) and node in tree.body:
            names += [
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            ]
            names += [each.name for each in ast.walk(node) if isinstance(each, Definition)]
        elif isinstance(node, ast.Delete):
            names += [each.id for each in node.targets if isinstance(each, ast.Name)]
        elif isinstance(node, ast.NamedExpr):
            names.append(node.target.id)
    return set(names)
