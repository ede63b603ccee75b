"""Messages name what is wrong and a fix that exists for the case at hand."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from nerf.capture.mapping import CaptureError, Estimate, Options
from nerf.capture.photos import make_scene, what_to_try
from nerf.cli.commands import describe_flag_error
from nerf.comparing.studies import parse_argument, wanted_runs
from nerf.foundation.instantiate import ConfigError, build, resolve
from nerf.rendering.model import Model
from nerf.runs.checkpoints import CheckpointError
from nerf.runs.config_checks import config_problems
from nerf.runs.config_files import config_names, hint_at_config, load_config
from nerf.runs.record import read_json
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.training.memory import OutOfMemory, check_fits
from nerf.training.nonfinite import suggest_fix


@pytest.mark.parametrize(
    "said, told",
    [
        (
            "flag --workdir=None: Flag --workdir must have a value other than None.",
            "--workdir: not given: this program requires it; --help describes it",
        ),
        (
            "Unknown command line flag 'scne'. Did you mean: scene ?",
            "Unknown command line flag 'scne'. Did you mean: scene ?",
        ),
        (
            "flag --max_seconds=abc: could not convert string to float: 'abc'",
            "--max_seconds=abc: not a number: --help lists the flags",
        ),
        (
            "flag --frames=1: 1 is not integer >= 3",
            "--frames=1: 1 is not integer >= 3: --help lists the flags",
        ),
    ],
)
def test_a_mistake_in_a_flag_is_one_line(said, told):
    assert describe_flag_error(said) == told


@pytest.mark.parametrize(
    "text, hint",
    [("ngpp", "'ngp'"), ("systems/bacon2", "'systems/bacon'"), ("sirn", "'systems/siren'")],
)
def test_a_config_is_found_by_the_last_part_of_its_name(text, hint):
    assert hint_at_config(text) == f"did you mean {hint}?"


def test_a_name_unlike_any_config_does_not_list_all_of_them():
    assert (
        hint_at_config("qqqqqq")
        == "give a name in configs/ (instances, labels, nerf, ngp, proposal, surface, tiny, "
        "systems/...), a file, or a run folder"
    )
    assert len(config_names()) > 20


@pytest.mark.parametrize(
    "change, line",
    [
        ("model=3", "--config.model=3: a section, with keys geometry, max_samples_per_ray, name"),
        ("steps.foo=3", "--config.steps.foo=3: steps is a value and has no keys: set steps itself"),
        (
            "scene=None",
            "--config.scene=None: cannot be switched off, as every config needs it:"
            " name what to build with scene.name",
        ),
        ("steps=abc", "--config.steps=abc: not a whole number: give one, as 100"),
    ],
)
def test_a_change_that_cannot_be_made_says_what_can(change, line):
    with pytest.raises(ConfigError) as error:
        load_config("ngp", [change])
    assert str(error.value).startswith(line)
    assert "None" not in str(error.value).rpartition(": ")[2]  # the model cannot be switched off


def test_a_section_that_may_be_switched_off_says_so():
    with pytest.raises(
        ConfigError,
        match="set one of them, as model.occupancy.decay, or switch it off with None",
    ):
        load_config("ngp", ["model.occupancy=3"])


def test_a_change_in_an_argument_of_compare_is_named_as_it_was_written():
    with pytest.raises(ConfigError, match=r"^ngp:foo=3: unknown key 'foo'"):
        wanted_runs([parse_argument("ngp:foo=3", (0,))], None, None, 8, None)


def test_numbers_that_are_too_small_are_named_with_their_own_limit():
    config = {
        **load_config("ngp"),
        "seed": -1,
        "steps": 0,
        "batch_size": 10,
        "log_every": 15,
        "steps_per_call": 10,
    }
    lines = list(config_problems(config, devices=4))
    assert lines == [
        "seed=-1: below 0: choose 0 or more",
        "steps=0: below 1: choose 1 or more",
        "batch_size=10: not divisible by 4 devices: choose 12",
        "log_every=15: not divisible by steps_per_call=10: choose multiples of it",
    ]


def test_a_plugin_that_lacks_a_package_names_the_package(tmp_path, monkeypatch):
    (tmp_path / "a_plugin.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match="it imports no_such_package, which is not installed: install that"
    ):
        resolve("a_plugin:x", ("a_plugin",))
    with pytest.raises(ConfigError, match="check the import path"):
        resolve("no_plugin.inner:x", ("no_plugin",))


def divided(parts, inner=None):
    return 1 // parts


def test_sizes_that_make_no_sense_are_named_with_their_section():
    spec = {"name": "tests.runs.test_run_messages:divided", "parts": 0, "inner": {"size": 3}}
    with pytest.raises(
        ConfigError,
        match=r"divided: cannot be built .*ZeroDivisionError.*: change parts=0, inner.size=3$",
    ):
        build(spec, plugins=("tests",))


def test_a_grid_proposes_a_number_of_parts_that_fits():
    with pytest.raises(ConfigError, match="update_every=4 does not divide 63\\^3 cells: choose 3$"):
        OccupancyGrid(63, update_every=4)
    OccupancyGrid(63, update_every=3)
    with pytest.raises(ConfigError, match="refresh_every=0: give at least 1 step$"):
        OccupancyGrid(8, refresh_every=0)


def test_a_grid_without_capacity_is_not_told_to_drop_stages():
    with pytest.raises(ConfigError, match="model.max_samples_per_ray: missing"):
        Model({}, ["main"], occupancy=OccupancyGrid(8))
    with pytest.raises(
        ConfigError, match="has 2: switch it off with --config.model.occupancy=None"
    ):
        Model({}, ["coarse", "fine"], occupancy=OccupancyGrid(8))


class Sized(jax.stages.Compiled):
    """A compiled function of which only the memory is known."""

    __slots__ = ("sizes",)

    def __init__(self, sizes):
        self.sizes = sizes

    def memory_analysis(self):
        return self.sizes


@pytest.mark.parametrize(
    "held, fix", [(1e6, "--config.batch_size"), (4e6, "--config.scene.max_side")]
)
def test_a_smaller_batch_is_proposed_only_where_it_helps(held, fix):
    names = (
        "argument_size_in_bytes",
        "output_size_in_bytes",
        "alias_size_in_bytes",
        "temp_size_in_bytes",
    )
    sizes = SimpleNamespace(**dict(zip(names, (held, 0, 0, 5e6), strict=True)))
    with pytest.raises(OutOfMemory, match=f"lower {fix}"):
        check_fits(Sized(sizes), 2e6)


def test_a_bad_batch_is_not_blamed_on_the_learning_rate():
    assert "capture.py --check" in suggest_fix(
        "step 3: a ray or a colour of the batch is not finite"
    )
    assert "learning_rate" in suggest_fix("step 3: the loss is not finite")


def test_files_of_a_run_that_are_absent_or_damaged_have_their_own_fix(tmp_path):
    file = tmp_path / "config.json"
    with pytest.raises(CheckpointError) as error:
        read_json(file)
    assert str(error.value) == f"{file}: no such file: give a run folder made by nerf train"
    file.write_text(json.dumps({"a": 1})[:-2])
    with pytest.raises(CheckpointError, match="damaged .*: restore it from a copy"):
        read_json(file)


def test_a_source_that_is_not_there_is_told_before_what_is_not_installed(tmp_path):
    with pytest.raises(CaptureError, match="no such file or folder"):
        make_scene(tmp_path / "none", tmp_path / "out", 10, 0.3, Options())
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CaptureError, match="not a video"):
        make_scene(tmp_path / "notes.txt", tmp_path / "out", 10, 0.3, Options())


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_the_mapper_that_was_used_is_not_proposed(tmp_path, mapper):
    found = Estimate(
        ["a", "b"],
        np.zeros((2, 3, 4)),
        [],
        [5, 4],
        dict.fromkeys("ab", 999),
        dict.fromkeys("ab", 99),
        tmp_path,
    )
    (line,) = what_to_try(["a", "b"], found, Options(mapper=mapper))
    assert ("--mapper=global" in line) == (mapper == "incremental")
