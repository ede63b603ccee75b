"""Configs are found by name from anywhere.

A flag means what its user meant, or is refused with what is known.
"""

import json
import os

import pytest

from nerf.cli.commands import rewrite_words
from nerf.foundation.instantiate import ConfigError, section_problems
from nerf.runs.config_checks import check_config
from nerf.runs.config_files import config_names, find_config, load_config
from tests.conftest import ROOT


def value_of(config, key):
    for name in key.split("."):
        config = config[name]
    return config


@pytest.mark.parametrize(
    "name", ["tiny", "tiny.py", "configs/tiny", "configs/tiny.py", f"{ROOT}/configs/tiny"]
)
def test_a_config_is_found_by_its_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == ROOT / "configs" / "tiny.py"
    assert load_config(name)["steps"] == 200


def test_a_users_file_comes_before_a_config_of_the_project_and_home_is_expanded(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny.py").write_text("def get_config():\n    return {'steps': 7}\n")
    assert load_config("tiny") == load_config("~/tiny.py") == {"steps": 7}
    assert "systems/siren" in config_names() and "systems/base" not in config_names()


def test_the_config_of_a_run_is_a_config(tmp_path):
    config = load_config("tiny", ["batch_size=64"])
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_config(str(tmp_path)) == load_config(str(tmp_path / "config.json")) == config
    assert load_config(str(tmp_path), ["random_background=true"])["random_background"] is True


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("batch_size", "2e3", 2000),
        ("batch_size", "2_000", 2000),
        ("optimizer.learning_rate", "1", 1.0),
        ("random_background", "True", True),
        ("eval_split", "none", "none"),
        ("background", "black", [0.0, 0.0, 0.0]),
        ("background", "Grey", [0.5, 0.5, 0.5]),
        ("background", "1", [1.0, 1.0, 1.0]),
        ("background", "(0)", [0.0, 0.0, 0.0]),
        ("background", "0,0.5,1", [0, 0.5, 1]),
        ("background", "[1, 0, 0]", [1, 0, 0]),
        ("model.order", "fine,coarse", ["fine", "coarse"]),
        ("model.stages.fine.sampler.num_samples", "32", 32),
        (
            "model.early_stop_transmittance",
            "0.01",
            0.01,
        ),  # an argument that the config does not list
        ("model.max_samples_per_ray", "8", 8),
        ("losses.colour.name", "nerf.losses:Huber", "nerf.losses:Huber"),
    ],
)
def test_a_value_gets_the_type_of_the_one_it_replaces_or_of_the_components_argument(
    key, text, value
):
    found = value_of(load_config("tiny", [f"{key}={text}"]), key)
    assert found == value and type(found) is type(value)


def test_sections_are_switched_off_with_none_and_on_by_their_name():
    config = load_config(
        "ngp", ["model.occupancy=None", "model.max_samples_per_ray=None", "losses.distortion=None"]
    )
    assert config["model"]["occupancy"] is None and config["model"]["max_samples_per_ray"] is None
    assert set(config["losses"]) == {"colour", "depth"}
    grid = [
        "model.occupancy.resolution=32",
        "model.occupancy.name=nerf.sampling.occupancy_grid:OccupancyGrid",
    ]
    assert load_config("tiny", grid)["model"]["occupancy"] == {
        "name": "nerf.sampling.occupancy_grid:OccupancyGrid",
        "resolution": 32,
    }


@pytest.mark.parametrize(
    "change, says",
    [
        ("batch_sise=3", "unknown key 'batch_sise' of ngp: did you mean 'batch_size'?"),
        ("zzz=3", "known: .*batch_size, .*steps"),
        (
            "model.stages.main.field.depth=4",
            "unknown key 'depth' of nerf.fields.composed:Composed: known: .*network",
        ),
        ("model.stages.mian.field.width=4", "unknown key 'mian' of ngp: did you mean 'main'?"),
        ("losses.zzz=4", "known: colour, depth, distortion"),
        ("batch_size=2.5", "not a whole number"),
        ("batch_size=many", "not a whole number"),
        ("optimizer.learning_rate=nan", "not a finite number"),
        ("random_background=maybe", "neither true nor false"),
        ("model=None", "every config needs it"),
        ("model.stages.main.sampler=None", "nerf.rendering.model:Stage needs it"),
        ("model.geometry=None", "nerf.rendering.model:Model needs it"),
        ("model.occupancy=3", "a section, with keys .*resolution"),
        ("steps.more=3", "steps is a value and has no keys"),
    ],
)
def test_what_means_nothing_is_one_line_with_what_is_known(change, says):
    with pytest.raises(ConfigError, match=says) as error:
        load_config("ngp", [change])
    assert str(error.value).startswith(f"--config.{change}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("key, off", [("extra", ", or switch it off with None"), ("losses", "")])
def test_an_empty_section_is_told_as_such(tmp_path, key, off):
    file = tmp_path / "own.py"
    file.write_text(
        "from nerf.runs.config_files import read_config\n"
        f"def get_config():\n    config = read_config('tiny')\n"
        f"    return {{**config.to_dict(), '{key}': {{}}}}\n"
    )
    with pytest.raises(ConfigError) as error:
        load_config(str(file), [f"{key}=3"])
    fix = f"set a key in it, as {key}.KEY{off}"
    assert str(error.value) == f"--config.{key}=3: a section, which is empty: {fix}"


def test_a_hint_does_not_offer_what_the_library_passes_itself():
    with pytest.raises(ConfigError, match="unknown key 'zzz'") as error:
        load_config("tiny", ["model.zzz=1"])
    assert "rngs" not in str(error.value) and "num_images" not in str(error.value)


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as error:
        load_config("tiny", ["batch_sise=1", "steps=x", "model=None"])
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("a.py", "def get_config(:\n", "cannot be run as Python"),
        ("a.py", "import no_such_thing\n", "cannot be run as Python"),
        ("a.py", "steps = 3\n", "has no get_config"),
        ("a.py", "def get_config():\n    return 3\n", "returns no config but a int"),
        ("a.py", "def get_config():\n    raise KeyError('x')\n", "fails"),
        (
            "a.py",
            "def get_config():\n    return {'steps': object()}\n",
            "holds more than finite numbers",
        ),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", "[1]", "give the config.json of a run"),
        ("a.json", '{"frames": []}', "give the config.json of a run"),
    ],
)
def test_files_that_are_no_configs_are_one_line(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        load_config(str(tmp_path / name))
    assert "\n" not in str(error.value) and str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    "value", [[255, 255, 255], "black", [1.0], 1.0, [0, 0, -0.1], [0, 0, float("nan")], None, "123"]
)
def test_a_background_is_three_numbers_from_0_to_1(value):
    with pytest.raises(ConfigError, match="background=.*not three numbers from 0 to 1") as error:
        check_config({**load_config("tiny"), "background": value})
    assert "\n" not in str(error.value)


def test_a_config_is_checked_as_a_whole_before_anything_is_loaded():
    config = load_config("ngp", ["batch_size=0", "eval_split=tset"])
    config["stepz"] = 3
    config["model"]["stages"]["main"]["field"]["network"]["widht"] = 3
    config["schedule"] = {"name": "nerf.training.optimizers:Cosin"}
    del config["chunk"]
    with pytest.raises(ConfigError) as error:
        check_config(config, max_seconds=-1.0, plugins=())
    told = str(error.value)
    for says in (
        "stepz: unknown key: did you mean 'steps'?",
        "chunk: missing",
        "batch_size=0: below 1: choose 1 or more",
        "'tset'",
    ):
        assert says in told
    assert (
        "model.stages.main.field.network: nerf.networks.relu:ReLU: unknown key 'widht':"
        " did you mean 'width'?" in told
    )
    assert (
        "schedule: nerf.training.optimizers:Cosin: no such attribute: did you mean 'Cosine'?"
        in told
        and "max_seconds" in told
    )
    assert section_problems(load_config("ngp")) == []


def test_words_of_the_command_line_are_rewritten_in_one_place(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = [
        "--config.a.b=1",
        "-config.c",
        "2",
        "--noconfig.d",
        "--config.e",
        "--config=~/c.py",
        "--scene=~/s",
        "~/x",
    ]
    assert rewrite_words(["train.py", *words, "x=~/a+~/b", "--out=a~b", "--fps=~"]) == [
        "train.py",
        "--config_value=a.b=1",
        "--config_value=c=2",
        "--config_value=d=false",
        "--config_value=e=true",
        "--config=/home/me/c.py",
        "--scene=/home/me/s",
        "/home/me/x",
        "x=/home/me/a+/home/me/b",
        "--out=a~b",
        "--fps=/home/me",
    ]
    assert os.path.expanduser("~") == "/home/me"
