"""Mutants of a module: small changes of its source that change what it does, found by its syntax tree.

What is only read (docstrings, annotations, legends, error texts, `__repr__`, f-strings, logging) is not changed.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TURNED = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin",
    "sum": "mean", "mean": "sum", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor", "amin": "amax",
    "amax": "amin", "nansum": "nanmean", "nanmean": "nansum", "nanmin": "nanmax", "nanmax": "nanmin", "mul": "div",
    "add": "sub", "clamp_min": "clamp_max", "sin": "cos", "cos": "sin", "ones": "zeros", "zeros": "ones",
    "ones_like": "zeros_like", "zeros_like": "ones_like",
}  # fmt: skip
BUILTINS = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "max"}
DROPPED = ("detach", "clone", "abs", "sqrt", "square", "flip")
TOLD = ("warn", "print", "info", "debug", "warning", "error", "cast", "unknown", "TypeVar", "Threshold", "Field")
"""Calls whose strings are for people; numbers in them are changed nevertheless."""
SILENT = ("__repr__", "__str__", "sentence")


@dataclass(frozen=True)
class Mutant:
    """One changed span of a module's source: bytes from start to end become `text`."""

    module: str
    function: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Return the module's source with the change."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()

    def changed(self, source: str) -> tuple[str, str]:
        """Return the lines before and after, without their indentation: what a list of equivalents knows it by."""
        old, new = source.splitlines(), self.apply(source).splitlines()
        opcodes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        pieces = [(old[a:b], new[c:d]) for tag, a, b, c, d in opcodes if tag != "equal"]
        before, after = ([line.strip() for piece in pieces for line in piece[side]] for side in (0, 1))
        return "\n".join(before), "\n".join(after)


def mutants(module: str, source: str) -> list[Mutant]:
    """Return all mutants of a module's source, in the order of the source."""
    found = _Finder(module, source)
    found.visit(ast.parse(source))
    unique = {(m.start, m.end, m.text): m for m in found.mutants}
    return [mutant for mutant in unique.values() if _compiles(mutant.apply(source))]


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


class _Finder(ast.NodeVisitor):
    """Walks over a tree with the names of the functions that it is in."""

    def __init__(self, module: str, source: str) -> None:
        self.module = module
        self.offsets = [0]
        for line in source.encode().splitlines(keepends=True):
            self.offsets.append(self.offsets[-1] + len(line))
        self.names: list[str] = []
        self.quiet = 0  # within what only people read: no strings
        self.mutants: list[Mutant] = []

    def change(self, node: ast.AST, kind: str, text: str) -> None:
        start = self.offsets[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.offsets[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        self.mutants.append(Mutant(self.module, ".".join(self.names), node.lineno, kind, start, end, text))  # type: ignore[attr-defined]

    def rewritten(self, node: ast.expr, kind: str, edit: Callable[[ast.AST], object]) -> None:
        """Replace an expression by a copy that `edit` has changed, in brackets."""
        other = copy.deepcopy(node)
        new = edit(other)
        text = ast.unparse(new if isinstance(new, ast.AST) else other)
        self.change(
            node, kind, f"({text})" if isinstance(node, ast.BinOp | ast.Compare | ast.BoolOp | ast.UnaryOp) else text
        )

    # ------------------------------------------------------------------------------------ what is left alone

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in SILENT:
            return
        self.names.append(node.name)
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
            self.visit(default)
        self.body(node.body)
        self.names.pop()
        for decorator in node.decorator_list:
            self.visit(decorator)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        self.body(node.body)
        self.names.pop()

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        self.rewritten(node.test, "negated condition", _negated)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text for people."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """What the type checker is told."""

    def visit_Import(self, node: ast.Import) -> None:
        """Nothing to change."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Nothing to change."""

    def visit_Raise(self, node: ast.Raise) -> None:
        self.change(node, "removed statement", "pass")

    # ------------------------------------------------------------------------------------ statements

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or _called(node.value) in TOLD:
            return
        if isinstance(node.value, ast.Call):
            self.change(node, "removed statement", "pass")
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Attribute | ast.Subscript) and self.names:
            self.change(node, "removed statement", "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.change(node, "removed statement", "pass")
        if type(node.op) in ARITHMETIC:
            other = copy.deepcopy(node)
            other.op = ARITHMETIC[type(node.op)]()
            self.change(node, "arithmetic", ast.unparse(other))
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                self.change(node, "return None", "return None")
            self.visit(node.value)

    def visit_While(self, node: ast.While) -> None:
        self.rewritten(node.test, "negated condition", _negated)
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.change(node, "continue to break", "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.change(node, "break to continue", "continue")

    # ------------------------------------------------------------------------------------ expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        for place, op in enumerate(node.ops):
            for new in COMPARED[type(op)]:
                self.rewritten(node, "comparison", lambda n, p=place, o=new: n.ops.__setitem__(p, o()))
        for side in (node.left, *node.comparators):
            for part in ast.walk(side):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and not self.quiet:
                    self.change(part, "compared string", repr(f"{part.value}_"))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = any(isinstance(s, ast.JoinedStr) or _is(s, str) for s in (node.left, node.right))
        if type(node.op) in ARITHMETIC and not text:
            self.rewritten(node, "arithmetic", lambda n: setattr(n, "op", ARITHMETIC[type(n.op)]()))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        self.rewritten(node, "boolean", lambda n: setattr(n, "op", other()))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        kind = {ast.Not: "removed not", ast.USub: "removed minus", ast.Invert: "removed not"}.get(type(node.op))
        if kind:
            self.rewritten(node, kind, lambda n: n.operand)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.rewritten(node.test, "negated condition", _negated)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.change(test, "dropped filter", "True")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.change(node, "flipped boolean", repr(not value))
        elif isinstance(value, int):
            self.change(node, "constant", repr(value + 1))
            if value > 1:
                self.change(node, "constant", repr(value * 2))
        elif isinstance(value, float):
            self.change(node, "constant", repr(0.9 * value if value else 0.1))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) and not self.quiet:
            self.change(node.slice, "compared string", repr(f"{node.slice.value}_"))
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                self.change(bound, "off by one", f"({ast.unparse(bound)}) + 1")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        told = name in TOLD or name.endswith(("Error", "Warning"))
        if isinstance(node.func, ast.Attribute) and name in TURNED:
            self.rewritten(node, "turned call", lambda n: setattr(n.func, "attr", TURNED[name]))
        elif isinstance(node.func, ast.Name) and name in BUILTINS:
            self.rewritten(node, "turned call", lambda n: setattr(n.func, "id", BUILTINS[name]))
        if isinstance(node.func, ast.Attribute) and name in DROPPED and not node.args and not node.keywords:
            self.rewritten(node, f"dropped {name}", lambda n: n.func.value)
        plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
        if plain and len(node.args) >= 2 and not told and ast.dump(node.args[0]) != ast.dump(node.args[1]):
            self.rewritten(node, "swapped arguments", lambda n: n.args.__setitem__(slice(0, 2), n.args[1::-1]))
        for place, keyword in enumerate(node.keywords if not told else []):
            if keyword.arg is not None:
                self.rewritten(node, "dropped keyword", lambda n, p=place: n.keywords.pop(p) and None)
        self.quiet += told
        self.generic_visit(node)
        self.quiet -= told


def _negated(test: ast.AST) -> ast.AST:
    return ast.UnaryOp(ast.Not(), test)  # type: ignore[arg-type]


def _called(node: ast.AST) -> str:
    """Return the last name of what is called, nothing where it is no call."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is(node: ast.AST, kind: type) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, kind)
