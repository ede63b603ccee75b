"""Break modules in small ways, one at a time, and report the breaks that no test notices.

    pip install -e .[mutants]
    python -m tests.support.mutants  # every module of TESTS: about two hours on two cores
    python -m tests.support.mutants nerf/losses/photometric.py --jobs=2  # one module
    python -m tests.support.mutants nerf/losses/photometric.py --list  # print mutants, run nothing

The operators are those of cosmic-ray
(https://cosmic-ray.readthedocs.io/en/latest/reference/operators.html): arithmetic, comparison,
boolean and unary operators are replaced, numbers change by one, conditions are negated, loops are
emptied. These contain the five operators of Offutt et al. ("An experimental determination of
sufficient mutant operators", TOSEM 1996) but for ABS. Some mutants say nothing about tests and are
left out: those of decorators, of annotations, of what is asserted (also by `strict=True`) and of
error messages; bitwise in the place of arithmetic operators, which no float accepts; and `is` in
the place of a comparison.

COUNT mutants of each module are drawn by a fixed seed, first one at each place;
`equivalent_mutants.py` lists those of them that change nothing. Each runs in a copy of the working
tree, in a process forked from one that has imported JAX, against the tests of TESTS: those of the
module and some that compose it. A test that fails, hangs or cannot be collected kills a mutant.
Shapes are not checked meanwhile: that takes half of the time, and right values are what is asked
for. The working tree is never written.
"""

import argparse
import ast
import contextlib
import dataclasses
import difflib
import importlib.util
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.equivalent_mutants import EQUIVALENT, Equivalent

ROOT = Path(__file__).parents[2]
COUNT = 40  # mutants of each module
COPIED = ("nerf", "tests", "configs", "benchmarks", "docs", "data", "pyproject.toml")
PRELOADED = (
    "jax",
    "flax.nnx",
    "optax",
    "scipy.stats",
    "hypothesis",
    "beartype",
    "pytest",
    "PIL.Image",
)
PATIENCE = (
    20.0,
    1.5,
)  # seconds that a mutant has, and how many times the seconds that the tests take without one

# Tests of each module, quick ones first, and no long simulations.
QUICK = (
    "formulas or equal_scores or changing_sides or are_said_to_be or best_is or stands_for"
    " or one_seed_each"
)
STATISTICS = [
    "tests/comparing/test_difference_formulas.py",
    "tests/comparing/test_statistics.py",
    "-k",
    QUICK,
]
LENSES, CAMERAS, GRIDS = (
    "tests/cameras/test_lenses.py",
    "tests/cameras/test_cameras.py",
    "tests/sampling/test_occupancy_grid.py",
)
COMPOSED = "tests/rendering/test_composition.py"
FOG = f"{COMPOSED}::test_fog_in_unbounded_space_is_as_thick_as_its_path_through_the_box_is_long"
LOSSES = [
    "tests/losses/test_losses.py",
    f"{COMPOSED}::test_rays_that_did_not_fit_count_neither_in_the_loss_nor_in_its_gradient",
]
SAMPLING = [
    "tests/sampling/test_sampling.py",
    f"{COMPOSED}::test_the_fine_stage_visits_empty_intervals_as_often_as_its_padding_says",
    f"{COMPOSED}::test_no_stage_uses_the_jitter_of_another",
]
INTERLEVEL = ["tests/losses/test_interlevel.py"]
GEOMETRY = ["tests/geometry/test_geometry.py"]
TESTS = {
    "nerf/comparing/statistics.py": STATISTICS,
    "nerf/comparing/standard_errors.py": STATISTICS,
    "nerf/losses/photometric.py": LOSSES,
    "nerf/losses/depth.py": LOSSES,
    "nerf/losses/distortion.py": LOSSES,
    "nerf/losses/interlevel.py": INTERLEVEL,
    "nerf/losses/antialiased_interlevel.py": INTERLEVEL,
    "nerf/geometry/neus.py": GEOMETRY,
    "nerf/geometry/volsdf.py": GEOMETRY,
    "nerf/geometry/occupancy.py": GEOMETRY,
    "nerf/meshes/open_surface.py": ["tests/meshes/test_open_surface.py"],
    "nerf/fields/surface.py": ["tests/fields/test_surface.py"],
    "nerf/losses/eikonal.py": ["tests/fields/test_surface.py", "tests/rendering/test_surface.py"],
    "nerf/rendering/surface.py": ["tests/rendering/test_surface.py"],
    "nerf/rendering/intervals.py": [*GEOMETRY, COMPOSED, "tests/encodings/test_cones.py"],
    "nerf/sampling/stratified.py": SAMPLING,
    "nerf/sampling/importance.py": SAMPLING,
    "nerf/sampling/annealed.py": ["tests/sampling/test_annealed.py"],
    "nerf/fields/density.py": ["tests/fields/test_density.py"],
    "nerf/rendering/compositing.py": ["tests/rendering/test_compositing.py", FOG],
    "nerf/rendering/waves.py": ["tests/rendering/test_waves.py"],
    "nerf/rendering/packing.py": [GRIDS, "-k", "compaction"],
    "nerf/rendering/model.py": [
        COMPOSED,
        f"{GRIDS}::test_rendering_only_live_intervals_gives_the_exhaustive_picture",
        f"{GRIDS}::test_training_on_live_intervals_has_the_exhaustive_gradient"
        "_and_says_which_rays_are_whole",
        f"{GRIDS}::test_sightings_are_the_weights_of_intervals_in_the_cells_of_their_middles",
    ],
    "nerf/evaluation/surfaces.py": ["tests/evaluation/test_surfaces.py"],
    "nerf/meshes/chamfer.py": ["tests/meshes/test_chamfer.py"],
    "nerf/cameras/lenses.py": [LENSES],
    "nerf/cameras/cameras.py": [
        CAMERAS,
        f"{LENSES}::test_a_mixed_batch_is_what_each_lens_gives_alone",
        f"{LENSES}::test_two_lenses_in_one_batch_have_each_their_own_rays",
        f"{LENSES}::test_orthographic_rays_are_parallel_and_begin_where_their_pixel_is",
        f"{LENSES}::test_the_lens_stays_known_inside_a_compiled_function_that_moves_the_cameras",
    ],
}

ARITHMETIC, BITWISE = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"BitOr", "BitAnd", "BitXor"},
)
WITHOUT = (
    "RemoveDecorator",
    "VariableReplacer",
    "VariableInserter",
)  # the last two replace by random numbers


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A module with one break in it."""

    module: str
    operator: str
    line: int
    column: int
    source: str

    def diff(self) -> str:
        """Return the lines that changed, under the place in the file."""
        before = (ROOT / self.module).read_text(encoding="utf-8").splitlines()
        changed = difflib.unified_diff(before, self.source.splitlines(), lineterm="", n=0)
        lines = [
            line for line in changed if line[0] in "+-" and not line.startswith(("+++", "---"))
        ]
        return "\n".join([f"{self.module}:{self.line}: {self.operator}", *lines])

    def equivalent(self) -> str | None:
        """Return why the mutant behaves as the code does, where that is known."""
        original = compact((ROOT / self.module).read_text(encoding="utf-8"))
        for entry in EQUIVALENT.get(self.module, ()):
            changed = original.replace(compact(entry.code), compact(entry.mutant))
            if changed != original and changed == compact(self.source):
                return entry.reason
        return None


def compact(code: str) -> str:
    """Return code without spaces and line breaks, so that how it is wrapped does not matter."""
    return "".join(code.split())


def stale_entries(entries: Mapping[str, Sequence[Equivalent]], root: Path = ROOT) -> list[str]:
    """Return a line for each entry of `EQUIVALENT` whose code is not in its module exactly once."""
    lines = []
    for module, equivalents in entries.items():
        text = compact((root / module).read_text(encoding="utf-8"))
        for entry in equivalents:
            if (count := text.count(compact(entry.code))) != 1:
                lines.append(f"{module}: {entry.code}: {count} times in it: quote its present code")
    return lines


def says_nothing(operator: str) -> bool:
    """Return whether mutants of an operator are left out; see the module."""
    name, *kinds = operator.split("_")
    if name == "ReplaceBinaryOperator":
        return not any(set(kinds) <= group for group in (ARITHMETIC, BITWISE))
    if name == "ReplaceComparisonOperator":
        return len({"Is", "IsNot"} & set(kinds)) == 1
    if name == "ReplaceUnaryOperator":
        return "Delete" not in kinds  # +x is x, and the others are for other types
    return name in WITHOUT


def _quiet_spans(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Generate (start, end) of annotations, decorators, raised errors and what is asserted."""
    for node in ast.walk(tree):
        quiet: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            quiet = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            quiet = [*node.decorator_list, getattr(node, "returns", None)]
        elif isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
            quiet = [node]
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            quiet = [node.value]
        for part in quiet:
            if part is not None:
                yield (
                    (part.lineno, part.col_offset),  # type: ignore[attr-defined]
                    (part.end_lineno, part.end_col_offset),  # type: ignore[attr-defined]
                )


@dataclasses.dataclass(frozen=True)
class _Change:
    """A change that an operator of cosmic-ray can make, which is its n-th."""

    operator: str
    occurrence: int


def _all_changes(source: str) -> dict[tuple[int, int], list[_Change]]:
    """Return the changes that can be made at each place (line, column) of a source text."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    quiet, nodes = list(_quiet_spans(ast.parse(source))), list(ast_nodes(get_ast(source)))
    found: dict[tuple[int, int], list[_Change]] = {}
    for name in plugins.operator_names():
        if says_nothing(name.removeprefix("core/")):
            continue
        operator = plugins.get_operator(name)()
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, place in enumerate(places):
            if not any(start <= place < end for start, end in quiet):
                found.setdefault(place, []).append(_Change(name, occurrence))
    return found


def draw(module: str, count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants of a module, one at each place before a second at any.

    None means the same as another.
    """
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / module).read_text(encoding="utf-8")
    chance = random.Random(f"{seed} {module}")
    left = {
        place: chance.sample(changes, len(changes))
        for place, changes in sorted(_all_changes(source).items())
    }
    meanings, drawn = {ast.dump(ast.parse(source))}, []
    while left and len(drawn) < count:
        for place in chance.sample(list(left), len(left)):
            change = left[place].pop()
            mutated = mutate_code(
                source, plugins.get_operator(change.operator)(), change.occurrence
            )
            with contextlib.suppress(SyntaxError):
                meaning = ast.dump(ast.parse(mutated))
                if meaning not in meanings and len(drawn) < count:
                    meanings.add(meaning)
                    drawn.append(
                        Mutant(module, change.operator.removeprefix("core/"), *place, mutated)
                    )
        left = {place: changes for place, changes in left.items() if changes}
    return sorted(drawn, key=lambda mutant: (mutant.line, mutant.column))


class Copy:
    """A copy of the working tree, in which one mutant at a time is tested."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(ROOT / name, folder / name)

    def write(self, module: str, source: str) -> None:
        """Replace a module, forget what was compiled of it: its time stamp may tell too little."""
        path = self.folder / module
        path.write_text(source, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()

    def start(self, tests: list[str], log: Path) -> int:
        """Fork a process that runs tests here, and return its number."""
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            code = self._run(tests)
        finally:
            os._exit(code)

    def _run(self, tests: list[str]) -> int:
        import pytest

        os.chdir(self.folder)
        sys.path[:] = [
            str(self.folder),
            *(path for path in sys.path if path and Path(path) != ROOT),
        ]
        for name in [
            name for name in sys.modules if name.partition(".")[0] == "tests"
        ]:  # of the working tree
            del sys.modules[name]
        options = [
            "-x",
            "-q",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            "-m",
            "not whole and not slow",
            "--hypothesis-seed=0",
        ]
        code = int(pytest.main([*options, *tests]))
        from nerf.cameras import lenses

        assert Path(lenses.__file__).is_relative_to(self.folder), "another tree was tested"
        return code


@dataclasses.dataclass
class Run:
    """A mutant that is being tested."""

    mutant: Mutant
    copy: Copy
    log: Path
    deadline: float


def _end(pid: int) -> None:
    """Kill a process and all that it started, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _baseline(module: str, copy: Copy, log: Path) -> float:
    """Return the seconds that the tests of a module take without a mutant."""
    began = time.monotonic()
    pid = copy.start(TESTS[module], log)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        _end(pid)
        raise
    if status:
        sys.exit(
            f"{log.read_text()}\n"
            f"tests.mutants: {module}: its tests fail without a mutant: fix them first"
        )
    return time.monotonic() - began


def run_mutants(mutants: list[Mutant], copies: list[Copy], logs: Path) -> dict[Mutant, str]:
    """Run the tests of a module's mutants, one in each copy at a time; return the fate of each."""
    module = mutants[0].module
    original = (ROOT / module).read_text(encoding="utf-8")
    took = _baseline(module, copies[0], logs / "log")
    print(
        f"{module}: {len(mutants)} mutants, {took:.0f} s without one", file=sys.stderr, flush=True
    )
    limit = PATIENCE[0] + PATIENCE[1] * took
    waiting, free, running = list(mutants), list(copies), {}
    fates: dict[Mutant, str] = {}
    try:
        while waiting or running:
            while waiting and free:
                mutant, copy = waiting.pop(0), free.pop()
                copy.write(module, mutant.source)
                log = copy.folder / "log"
                running[copy.start(TESTS[module], log)] = Run(
                    mutant, copy, log, time.monotonic() + limit
                )
            time.sleep(0.05)
            for pid, run in list(running.items()):
                if not (fate := _fate(pid, run)):
                    continue
                fates[run.mutant] = fate
                free.append(running.pop(pid).copy)
                place = f"{module}:{run.mutant.line}:{run.mutant.column}"
                print(
                    f"  {fate:<8} {place} {run.mutant.operator} {_killer(run.log)}",
                    file=sys.stderr,
                    flush=True,
                )
    finally:
        for pid in running:
            _end(pid)
        for copy in copies:
            copy.write(module, original)
    return fates


def _fate(pid: int, run: Run) -> str | None:
    """Return "killed", "survived" or "timeout" of a mutant; None while its tests run."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        if time.monotonic() < run.deadline:
            return None
        _end(pid)
        return "timeout"
    return "killed" if status else "survived"


def _killer(log: Path) -> str:
    """Return the name of the test that failed, from what pytest printed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (line.split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))), ""
    )


def _share_compiled(folder: Path) -> None:
    """Import what every mutant needs, and let what JAX compiles for one be found by the next."""
    os.environ.update(JAX_PLATFORMS="cpu", OMP_NUM_THREADS="1")
    for name in PRELOADED:
        importlib.import_module(name)
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def main() -> None:
    """Read the command line, test the mutants and print the survivors and the share killed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.mutants", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="as nerf/losses/photometric.py; default: all of TESTS",
    )
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="by which they are drawn")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tested at once")
    parser.add_argument("--list", action="store_true", help="print the mutants, and test none")
    flags = parser.parse_args()
    if importlib.util.find_spec("cosmic_ray") is None:
        sys.exit("tests.support.mutants: needs cosmic-ray: pip install -e .[mutants]")
    if stale := stale_entries(EQUIVALENT):
        sys.exit("\n".join(f"equivalent_mutants.py: {line}" for line in stale))
    modules = flags.modules or list(TESTS)
    if unknown := [module for module in modules if module not in TESTS]:
        parser.error(
            f"no tests are listed for {', '.join(unknown)}: choose from {', '.join(TESTS)}"
        )
    if flags.list:
        print(
            "\n".join(
                mutant.diff()
                for module in modules
                for mutant in draw(module, flags.count, flags.seed)
            )
        )
        return
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # so that nothing is left behind
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        _share_compiled(folder / "compiled")
        copies = [Copy(folder / f"tree{i}") for i in range(flags.jobs)]
        for module in modules:
            drawn = draw(module, flags.count, flags.seed)
            same = [mutant for mutant in drawn if mutant.equivalent()]
            for mutant in same:
                print(f"equivalent: {mutant.equivalent()}\n{mutant.diff()}")
            _report(
                run_mutants([mutant for mutant in drawn if mutant not in same], copies, folder),
                len(same),
            )


def _report(fates: dict[Mutant, str], equivalent: int) -> None:
    """Print the survivors of a module and the share killed."""
    survivors = [mutant for mutant, fate in fates.items() if fate == "survived"]
    late = sum(fate == "timeout" for fate in fates.values())
    for mutant in sorted(survivors, key=lambda mutant: mutant.line):
        print(mutant.diff())
    killed = len(fates) - len(survivors)
    module = next(iter(fates)).module
    print(
        f"{module}: {killed} of {len(fates)} killed ({killed / len(fates):.0%}),"
        f" {late} of them by time\n",
        flush=True,
    )


if __name__ == "__main__":
    main()
