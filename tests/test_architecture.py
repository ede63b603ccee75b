"""The library's shape: imports follow the list of folders.

Everything public is explained, and nothing is long.
"""

import ast
import functools
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module imports from folders above its own, and within it from modules that do not import it.
FOLDERS = [
    "foundation",
    "cameras",
    "scenes",
    "paths",
    "encodings",
    "networks",
    "fields",
    "geometry",
    "sampling",
    "rendering",
    "losses",
    "evaluation",
    "runs",
    "training",
    "output",
    "meshes",
    "pages",
    "splats",
    "comparing",
    "check",
    "capture",
    "viewer",
    "cli",
    "api",  # the library's functions, which are imported by name from `nerf`
    "__main__",
]

CODE = ("nerf", "benchmarks", "configs", "tests")
MAX_LINES = 400
MAX_FUNCTION_LINES = 50


@functools.cache
def tree_of(path):
    """Return the syntax tree of a file, which several tests look at."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of(path):
    """Return every node of a file's syntax tree."""
    return list(ast.walk(tree_of(path)))


FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "nerf").rglob("*.py"))}
EACH_FILE = pytest.mark.parametrize("name", FILES)
WITH_SHORT_FUNCTIONS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("nerf", "benchmarks", "configs")
    for path in (ROOT / folder).rglob("*.py")
)


def module_of(name):
    """nerf/scenes/base.py -> scenes.base; nerf/scenes/__init__.py -> scenes."""
    return (
        name.removeprefix("nerf/")
        .removesuffix(".py")
        .replace("/", ".")
        .removesuffix("__init__")
        .removesuffix(".")
    )


MODULES = {module_of(name) for name in FILES}


def folder_of(module):
    """Return the folder of nerf/ that a module lies in."""
    return module.partition(".")[0]


def imports_of(nodes):
    """Modules of nerf that a file imports, anywhere in it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("nerf.")
                for alias in node.names
                if alias.name.startswith("nerf.")
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module stands"
            if node.module == "nerf" or (node.module or "").startswith("nerf."):
                home = node.module.removeprefix("nerf").removeprefix(".")
                for alias in node.names:
                    inner = f"{home}.{alias.name}".removeprefix(".")
                    yield inner if inner in MODULES else home


@functools.cache
def imports():
    """Return for each module the modules of nerf that it imports."""
    return {module_of(name): set(imports_of(nodes_of(path))) for name, path in FILES.items()}


def public(tree):
    """Classes and functions of a module that others may use, as (name, node)."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [
        (node.name, node)
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_")
    ]


def test_every_module_lies_in_a_folder_of_the_list():
    folders = [path.name for path in (ROOT / "nerf").iterdir() if (path / "__init__.py").exists()]
    assert sorted(FOLDERS) == sorted([*folders, "api", "__main__"])
    assert not [module for module in MODULES if module and folder_of(module) not in FOLDERS]


@pytest.mark.long
@EACH_FILE
def test_a_module_imports_only_from_folders_above_its_own(name):
    module = module_of(name)
    found = imports()[module]
    if not module:
        assert found <= {"api"}, (
            "the package itself imports only the library's functions, when they are used"
        )
        return
    order = FOLDERS.index(folder_of(module))
    assert not [other for other in found if FOLDERS.index(folder_of(other)) > order], name


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_imports_itself_through_others(folder):
    inside = {module: others for module, others in imports().items() if folder_of(module) == folder}
    assert tuple(TopologicalSorter(inside).static_order())  # raises CycleError


def test_imports_are_found_wherever_they_are():
    tree = ast.parse(
        "import nerf.output.video\ndef f():\n    from nerf.runs import lock\n"
        "    from nerf.scenes.base import Scene\n"
    )
    assert list(imports_of(ast.walk(tree))) == ["output.video", "runs.lock", "scenes.base"]


@EACH_FILE
def test_everything_public_has_a_docstring(name):
    tree = tree_of(FILES[name])
    assert ast.get_docstring(tree), f"{name}: what is this module?"
    bare = [called for called, node in public(tree) if not ast.get_docstring(node)]
    assert not bare, f"{name}: without a docstring: {bare}"


@EACH_FILE
def test_files_are_short(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", WITH_SHORT_FUNCTIONS)
def test_functions_are_short(name):
    functions = [node for node in nodes_of(ROOT / name) if isinstance(node, ast.FunctionDef)]
    lengths = {f.name: f.end_lineno - f.lineno + 1 for f in functions}
    assert not {f: n for f, n in lengths.items() if n > MAX_FUNCTION_LINES}


def names_used(nodes):
    """Return what a file uses of other modules: (module, name) of its imports, and names.

    The latter are attributes, and the ends of strings, as configs name what to build.
    """
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+$", node.value)


def defined_names(tree):
    """Functions, classes and constants of a module; what is decorated may be used by that."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in ast.walk(target)]
            yield from (part.id for part in parts if isinstance(part, ast.Name))


@pytest.mark.long
def test_everything_defined_is_used():
    paths = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
        for folder in CODE
        for path in (ROOT / folder).rglob("*.py")
    }
    used = {name for path in paths.values() for name in names_used(nodes_of(path))}
    unused = []
    for module, path in paths.items():
        if module.startswith(("nerf.", "benchmarks.")):
            own = {
                node.id
                for node in nodes_of(path)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            }
            home = module.removesuffix(".__init__")
            unused += [
                f"{module}: {name}"
                for name in defined_names(tree_of(path))
                if name not in own | used and (home, name) not in used and name[:2] != "__"
            ]
    assert not unused


@pytest.mark.long
def test_every_package_that_is_imported_is_one_that_the_package_declares():
    imported = set()
    for path in FILES.values():
        for node in nodes_of(path):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    # A kernel has IPython, and a module imports it only there.
    imported -= {*sys.stdlib_module_names, "nerf", "configs", "IPython"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    optional = {one for extra, lines in extras if extra not in ("docs", "test") for one in lines}
    required = {distribution(line) for line in project["dependencies"]}
    declared = required | {distribution(line) for line in optional}
    providers = packages_distributions()
    undeclared = {
        module
        for module in imported
        if not declared & {distribution(name) for name in providers.get(module, [module])}
    }
    assert not undeclared
    assert "filelock" in required  # JAX needs it to bound the cache of compiled programs


def distribution(requirement):
    """Return the normal form of the distribution's name that a requirement begins with."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


PRODUCTS = {"einsum", "matmul", "dot", "vdot", "inner", "tensordot"}


@EACH_FILE
def test_products_on_a_device_say_their_precision(name):
    """By default GPUs and TPUs multiply numbers of float32 with a part of their bits."""

    def of_jax(node):
        return isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "jnp"

    for node in nodes_of(FILES[name]):
        if isinstance(node, ast.Call) and of_jax(node.func) and node.func.attr in PRODUCTS:
            said = {keyword.arg for keyword in node.keywords}
            assert said & {"precision", "preferred_element_type"}, f"line {node.lineno}"
        if isinstance(node, ast.FunctionDef) and any(of_jax(each) for each in ast.walk(node)):
            for each in ast.walk(node):
                operator = isinstance(each, ast.BinOp) and isinstance(each.op, ast.MatMult)
                assert not operator, f"line {each.lineno}: use jnp.matmul"
