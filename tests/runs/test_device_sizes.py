"""Numbers that a config leaves open are those of the device, and a run keeps what it began with."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerf.comparing.studies import RunRequest
from nerf.foundation.devices import SIZES, Sizes, sizes_of
from nerf.runs import device_sizes
from nerf.runs.config_checks import config_problems
from nerf.runs.config_files import load_config
from nerf.runs.device_sizes import BETWEEN_CALLS, settle
from nerf.runs.provenance import devices_of, environment
from nerf.training import loop
from nerf.training.loop import train
from tests.training.test_training import small_ngp

OPEN = {"batch_size": None, "steps_per_call": None, "chunk": None}


def test_open_numbers_are_those_of_the_platform_and_others_stay():
    config = load_config("ngp")
    assert {key: config[key] for key in OPEN} == OPEN
    for platform, sizes in SIZES.items():
        settled = settle(config, platform=platform)
        wanted = (sizes.batch_size, sizes.steps_per_call, None)
        assert tuple(settled[key] for key in OPEN) == wanted
        assert not config_problems(settled)
    assert settle(config) == settle(config, platform="cpu")
    assert sizes_of("an accelerator of tomorrow") == SIZES["gpu"]
    given = load_config("ngp", ["batch_size=96", "steps_per_call=4", "chunk=50"])
    assert settle(given, platform="gpu") == given
    assert config == load_config("ngp"), "the config itself is not changed"


def test_the_document_has_the_numbers_of_the_table():
    rows = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text().splitlines()
    for field in dataclasses.fields(Sizes):
        numbers = [f"{getattr(SIZES[platform], field.name):,}" for platform in SIZES]
        assert any(row.endswith(f" | {' | '.join(numbers)} |") for row in rows), field.name


@pytest.mark.parametrize("devices", [1, 3, 6, 8])
def test_a_batch_can_be_divided_among_the_devices(devices):
    settled = settle({"batch_size": None}, devices, "gpu")
    assert settled["batch_size"] % devices == 0
    assert 0 <= settled["batch_size"] - SIZES["gpu"].batch_size < devices


@given(st.lists(st.integers(0, 5000), min_size=4, max_size=4), st.sampled_from(sorted(SIZES)))
def test_as_many_steps_a_call_as_divide_all_that_happens_between_calls(numbers, platform):
    config = {**dict(zip(BETWEEN_CALLS, numbers, strict=True)), "steps_per_call": None}
    settled = settle(config, platform=platform)["steps_per_call"]
    most = SIZES[platform].steps_per_call
    fitting = [n for n in range(1, most + 1) if all(number % n == 0 for number in numbers)]
    assert settled == max(fitting)


def test_steps_that_are_no_number_are_left_to_the_check_of_the_config():
    settled = settle({"steps": "many", "log_every": True, "steps_per_call": None})
    assert settled["steps_per_call"] == SIZES["cpu"].steps_per_call


def test_a_resumed_run_keeps_its_batch_and_takes_steps_that_continue_its_calls(tmp_path):
    config = {**dict.fromkeys(BETWEEN_CALLS, 1000), **OPEN}
    assert settle(config, folder=tmp_path) == settle(config)
    begun = settle(config, platform="cpu")
    (tmp_path / "config.json").write_text(json.dumps(begun))
    for devices in (1, 3):
        assert settle(config, devices, "gpu", tmp_path) == begun


@pytest.mark.whole
def test_a_run_begun_on_one_kind_of_device_goes_on_with_its_batch_on_another(tmp_path, monkeypatch):
    sizes = dataclasses.replace(SIZES["cpu"], batch_size=96, steps_per_call=20)
    config = small_ngp() | OPEN | {"steps": 20, "log_every": 20, "save_every": 20}
    with monkeypatch.context() as patch:
        patch.setattr(device_sizes, "sizes_of", lambda platform: sizes)
        train(config, None, tmp_path / "run")
    began = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (began["batch_size"], began["steps_per_call"], began["chunk"]) == (96, 20, None)
    assert train(config | {"steps": 40}, None, tmp_path / "run")["steps"] == 40
    resumed = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (resumed["batch_size"], resumed["steps_per_call"]) == (96, 10)


def test_the_first_process_decides_as_only_it_sees_the_run_folder(tmp_path, monkeypatch):
    begun = settle({**dict.fromkeys(BETWEEN_CALLS, 100), **OPEN, "batch_size": 96}, platform="gpu")
    (tmp_path / "config.json").write_text(json.dumps(begun))
    config, sent = {**dict.fromkeys(BETWEEN_CALLS, 100), **OPEN}, []

    def broadcast(numbers):
        """As of two processes, of which the first calls first."""
        sent.append(numbers)
        return {key: sent[0][key] for key in numbers}

    monkeypatch.setattr(loop, "broadcast_from_first", broadcast)
    first = loop._settled(config, tmp_path)
    monkeypatch.setattr(loop, "is_first", lambda: False)
    assert loop._settled(config, tmp_path / "of another machine") == first
    assert (first["batch_size"], first["steps_per_call"]) == (96, 10)
    assert sent[1]["batch_size"] == SIZES["cpu"].batch_size
    assert loop._settled(config | {"batch_size": 7}, tmp_path)["batch_size"] == 7
    assert loop._settled(config | {"batch_size": "many"}, tmp_path)["batch_size"] == "many"


def test_a_study_asks_for_the_numbers_of_the_devices_that_will_train():
    run = RunRequest("ngp", "ngp", (), load_config("ngp"), None)
    assert devices_of({"device": "8 x NVIDIA H100 80GB HBM3 (gpu)"}) == (8, "gpu")
    assert devices_of(environment()) == (1, "cpu")
    on_gpus = run.settled(8, "gpu")
    assert on_gpus.config["batch_size"] == SIZES["gpu"].batch_size
    digest = {"train": "1"}
    assert on_gpus.folder_name(digest) != run.settled(1, "cpu").folder_name(digest)
    fixed = dataclasses.replace(run, config=settle(run.config, platform="gpu"))
    assert on_gpus.folder_name(digest) == fixed.folder_name(digest)
