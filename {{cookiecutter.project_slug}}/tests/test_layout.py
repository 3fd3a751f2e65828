"""Who may import whom: cli -> train -> steps -> wings -> engine."""

import ast
from pathlib import Path

import pytest

import {{ cookiecutter.__package }}

PACKAGE = Path(str({{ cookiecutter.__package }}.__file__)).parent
STEPS = {"hyperparameters", "loaders", "models", "utils", "criterion", "optimizer", "visualize"}
WING = "{{ cookiecutter.__wing }}"
MAY_IMPORT = {
    "engine": {"engine"},
    "report": {"engine", "report"},
    WING: {"engine", WING},
    "steps": {"engine", "report", WING, "steps"},
    "train": {"engine", "steps"},
    "cli": {"engine", "report", WING, "steps", "train", "cli"},
    "__main__": {"cli"},
    "__init__": {"cli"},
}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def group_of(name: str) -> str:
    return "steps" if name in STEPS else name


def imported_by(module: Path) -> set[str]:
    """The modules of this package that a module imports, with dots, wherever in the file."""
    found = set[str]()
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folders = list(module.parent.parts)[: len(module.parts) - node.level]
            base = [*folders, *(node.module.split(".") if node.module else [])]
            names = [[*base, alias.name] for alias in node.names]
            known = [name for name in names if is_module(name)]
            found |= {".".join(name) for name in (known or [base])}
    return found


def is_module(name: list[str]) -> bool:
    path = PACKAGE.joinpath(*name)
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_its_place_allows(module: Path) -> None:
    allowed = MAY_IMPORT[group_of(module.with_suffix("").parts[0])]
    assert {group_of(name.partition(".")[0]) for name in imported_by(module)} <= allowed


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {".".join(m.with_suffix("").parts): imported_by(m) for m in MODULES}
    while leaves := [name for name in graph if not graph[name] & graph.keys() - {name}]:
        for name in leaves:
            del graph[name]
    assert not graph


def test_the_engine_has_nothing_in_its_init_file() -> None:
    tree = ast.parse((PACKAGE / "engine" / "__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1 and ast.get_docstring(tree)
