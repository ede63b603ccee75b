"""The library's shape: imports run along the pipeline, everything public is explained, and nothing is long."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module imports only what stands above it. A package's name stands for its __init__ and for every module of it that
# is not listed itself; those do not know each other.
PIPELINE = [
    "errors",
    "building",
    "pytrees",
    "files",
    "owners",
    "interrupts",
    "budgets",
    "progress",
    "tensors",
    "lenses",
    "cameras",
    "scenes.base",
    "scenes.tally",
    "scenes.rigid",
    "scenes.storage",
    "scenes.colour",
    "scenes.icc",
    "scenes.embedded",
    "scenes.decode",
    "scenes.images",
    "scenes.lookup",
    "scenes.hints",
    "scenes.frames",
    "scenes.normalise",
    "scenes.checks",
    "scenes.fits",
    "scenes.lens_keys",
    "scenes.transforms",
    "scenes.ply",
    "scenes.arrays",
    "scenes.folders",
    "scenes.colmap_model",
    "scenes.colmap_lenses",
    "scenes.solids",
    "scenes",
    "capture",
    "capture.child",
    "capture.mapping",
    "capture.upright",
    "capture.sources",
    "capture.video",
    "capture.photos",
    "capture.features",
    "capture.matches",
    "capture.evidence",
    "capture.findings",
    "capture.hypotheses",
    "capture.layout",
    "capture.looks",
    "capture.resection",
    "capture.check",
    "capture.picture",
    "spaces",
    "annealing",
    "gaussians",
    "encodings.interpolation",
    "encodings.fourier",
    "encodings",
    "fields.parts",
    "networks",
    "networks.cells",
    "networks.finer",
    "networks.kilonerf",
    "networks.local_codes",
    "networks.blobs",
    "fields",
    "sampling",
    "occupancy",
    "rendering",
    "poses",
    "exposure",
    "model",
    "losses",
    "lpips",
    "metrics",
    "tasks",
    "optimizers",
    "processes",
    "memory",
    "pixels",
    "views",
    "alignment",
    "checkpoints",
    "provenance",
    "config_checks",
    "config_files",
    "splits",
    "runs",
    "video",
    "evaluation",
    "interim",
    "health",
    "gradients",
    "training",
    "motion",
    "keyframe_reader",
    "foreign_paths",
    "keyframes",
    "film_cameras",
    "path_options",
    "paths",
    "coverage",
    "render_flags",
    "trips",
    "films",
    "export",
    "commands",
    "results",
    "studies",
    "forecast",
    "child_processes",
    "jobs",
    "standard_errors",
    "statistics",
    "answers",
    "report",
    "report.words",
    "report.table",
    "report.curves",
    "report.sweep",
    "report.pictures",
    "report.figure",
    "report.page",
    "report.scenes",
    "report.build",
]

MAY_BE_LONG = {"nerf/training/loop.py:_train"}  # one training function, to be read top to bottom

FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "nerf").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
EACH_FILE = pytest.mark.parametrize("name", FILES)


def module_of(name):
    """nerf/scenes/base.py -> scenes.base; nerf/scenes/__init__.py -> scenes."""
    return name.removeprefix("nerf/").removesuffix(".py").replace("/", ".").removesuffix("__init__").removesuffix(".")


MODULES = {module_of(name) for name in FILES}


def place(module):
    """Position in the pipeline of a module, by the longest name that it is or lies under; None if it has none."""
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((PIPELINE.index(name) for name in names if name in PIPELINE), None)


def imports_of(tree):
    """Modules of nerf that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("nerf.") for alias in node.names if alias.name.startswith("nerf."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module stands"
            if node.module == "nerf" or (node.module or "").startswith("nerf."):
                home = node.module.removeprefix("nerf").removeprefix(".")
                for alias in node.names:
                    inner = f"{home}.{alias.name}".removeprefix(".")
                    yield inner if inner in MODULES else home


def public(tree):
    """Classes and functions of a module that others may use, as (name, node)."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [(node.name, node) for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_the_pipeline_lists_every_module_once_and_none_that_is_not_there():
    assert len(PIPELINE) == len(set(PIPELINE))
    assert not [module for module in MODULES if module and place(module) is None]
    assert not [name for name in PIPELINE if name not in MODULES]


@EACH_FILE
def test_a_module_imports_only_what_stands_before_it_in_the_pipeline(name):
    module = module_of(name)
    found = list(imports_of(TREES[name]))
    if not module:
        assert not found, "the package itself imports nothing"
        return
    wrong = [other for other in found if place(other) is None or place(other) >= place(module)]
    assert not wrong, f"{name} stands before {wrong}, or beside"


def test_imports_are_found_wherever_they_are():
    tree = ast.parse(
        "import nerf.output.video\ndef f():\n    from nerf import metrics\n    from nerf.scenes.base import Scene\n"
    )
    assert list(imports_of(tree)) == ["video", "metrics", "scenes.base"]
    assert place("scenes.blender") == PIPELINE.index("scenes") > place("scenes.base")


@EACH_FILE
def test_everything_public_has_a_docstring(name):
    assert ast.get_docstring(TREES[name]), f"{name}: what is this module?"
    bare = [called for called, node in public(TREES[name]) if not ast.get_docstring(node)]
    assert not bare, f"{name}: without a docstring: {bare}"


@EACH_FILE
def test_files_and_functions_are_short(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 320
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno + 1 > 60}
    assert not {f for f in long if f"{name}:{f}" not in MAY_BE_LONG}, long
