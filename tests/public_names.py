"""Finds code that reaches into other packages instead of using what they make public.

Private names, functions of others that are replaced, a changed ``sys.modules``, and the C library.
A name is private if it begins with one underscore and the package itself does not define it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

# Documented in spite of their underscore, and made to be set.
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}
MAY_BE_SET = ("sys.excepthook", "sys.unraisablehook", "sys.dont_write_bytecode", "torch.backends.")
CHANGES = {"clear", "pop", "popitem", "setdefault", "update", "__setitem__", "__delitem__"}
LOADERS = {"CDLL", "PyDLL", "LoadLibrary"}


def problems_of(package: Path) -> list[str]:
    """What is wrong in the modules of a package, each with its file and line."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(package.rglob("*.py"))}
    own = PUBLIC.union(*map(names_defined_in, trees.values()))
    problems = []
    for path, tree in trees.items():
        checker = Checker(own, package.name)
        checker.visit(tree)
        name = path.relative_to(package.parent).as_posix()
        problems += [f"{name}:{line}: {problem}" for line, problem in checker.problems]
    return problems


def names_defined_in(tree: ast.AST) -> Iterator[str]:
    """Functions, classes, variables, and attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = dotted(node)
            yield name.removeprefix("self.").removeprefix("cls.")


def dotted(node: ast.AST) -> str:
    """``a.b.c`` as it is written; nothing for what is no name."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def text_of(node: ast.AST) -> str:
    """The content of a literal text; nothing for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


class Checker(ast.NodeVisitor):
    """Collects the problems of a module; ``own``: the names that its package defines."""

    def __init__(self, own: set[str], package: str) -> None:
        self.own, self.package = own, package
        self.imported = set[str]()
        self.problems: list[tuple[int, str]] = []

    def add(self, node: ast.expr | ast.stmt, problem: str) -> None:
        self.problems.append((node.lineno, problem))

    def check_names(self, node: ast.expr | ast.stmt, names: list[str]) -> None:
        for name in names:
            is_private = name.startswith("_") and not (name[:2] == name[-2:] == "__")
            if is_private and name not in self.own:
                self.add(node, f"{name} is private")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.check_names(node, alias.name.split("."))
            self.imported.add(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = [alias.name for alias in node.names]
        module = (node.module or "").split(".")
        self.imported |= {alias.asname or alias.name for alias in node.names}
        if not node.level and module[0] != self.package:
            self.check_names(node, [*module, *names])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.check_names(node, [node.attr])
        name = dotted(node)
        if not isinstance(node.ctx, ast.Load):
            self.check_replaced(node, name)
        if name.startswith("sys.modules.") and node.attr in CHANGES:
            self.add(node, "sys.modules is changed")
        self.generic_visit(node)

    def check_replaced(self, node: ast.expr, name: str) -> None:
        if name.partition(".")[0] in self.imported and not name.startswith(MAY_BE_SET):
            self.add(node, f"{name} is replaced")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if dotted(node.value) == "sys.modules" and not isinstance(node.ctx, ast.Load):
            self.add(node, "sys.modules is changed")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = dotted(node.func).rpartition(".")[2]
        first, second, *_ = [*node.args, ast.Constant(0), ast.Constant(0)]
        if function in ("getattr", "hasattr", "setattr", "delattr"):
            self.check_names(node, [text_of(second)])
        if function in ("setattr", "delattr"):
            self.check_replaced(node, f"{dotted(first)}.{text_of(second)}")
        if function in ("import_module", "__import__"):
            self.check_names(node, text_of(first).split("."))
        if function in LOADERS and (ast.unparse(first) == "None" or "libc." in text_of(first)):
            self.add(node, "the C library is called")
        self.generic_visit(node)
