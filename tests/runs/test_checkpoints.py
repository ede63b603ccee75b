"""Checkpoints come back bit for bit or are refused in one line: never silently different."""

import dataclasses
from pathlib import Path
from random import Random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.runs import checkpoints, safetensors
from nerf.runs.checkpoints import CheckpointError, Checkpoints, digest, flatten, unflatten
from nerf.runs.safetensors import DamagedFile, read_tensors, write_tensors
from tests.support.mutations import many_mutations, mutate_bytes


def tree_of(seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(300, 4)).astype(np.float32)
    table[0] = [np.nan, np.inf, -0.0, 1e-42]  # bits, not values
    return {
        "params": {
            "table": jnp.asarray(table),
            "layers": {0: {"kernel": jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)}},
        },
        "state": [
            jnp.asarray(rng.uniform(size=64) < 0.5),
            jnp.asarray(rng.integers(0, 9, (2, 1, 3)), jnp.int32),
        ],
        "half": jnp.asarray(rng.normal(size=(7,)), jnp.bfloat16),
        "step": jnp.int32(seed),
    }


def assert_same_bits(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def zeros_like(tree):
    return jax.tree.map(jnp.zeros_like, tree)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with one checkpoint of `tree_of(0)`, at step 3, that tests only read."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    save(folder, 3, tree_of(), seconds=1.5)
    return folder


def save(folder, step, tree, keep=2, **facts):
    """Save and wait."""
    written = Checkpoints(folder, keep)
    written.save(step, tree, **facts)
    written.wait()


def message_of(call):
    with pytest.raises(CheckpointError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_saved_comes_back_bit_for_bit_with_its_facts(saved):
    got, facts = Checkpoints(saved).restore(zeros_like(tree_of()))
    assert_same_bits(got, tree_of())
    assert (facts["step"], facts["seconds"]) == (3, 1.5)
    assert facts["digests"].keys() == flatten(tree_of()).keys()


def test_partial_leaves_out_what_is_not_asked_for_and_only_then(saved):
    like = {"params": zeros_like(tree_of())["params"]}
    assert_same_bits(
        Checkpoints(saved).restore(like, partial=True)[0], {"params": tree_of()["params"]}
    )
    assert "only in the checkpoint" in message_of(lambda: Checkpoints(saved).restore(like))


class Pair(NamedTuple):
    params: dict
    step: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Record:
    params: dict
    step: jax.Array


def test_names_do_not_depend_on_classes():
    params, step = {"layers": {0: {"kernel": jnp.ones(2)}}}, jnp.int32(1)
    listed = {"layers": [{"kernel": jnp.ones(2)}]}
    trees = [
        {"params": params, "step": step},
        Pair(params, step),
        Record(params, step),
        Record(listed, step),
    ]
    for tree in trees:
        assert list(flatten(tree)) == ["params/layers/0/kernel", "step"]
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(trees[0]).items()}
    assert_same_bits(unflatten(arrays, trees[2]), trees[2])


@pytest.mark.parametrize(
    "name, change, reason",
    [
        (
            "half",
            lambda tree: tree | {"half": jnp.zeros(8, jnp.bfloat16)},
            "bfloat16[7] in the checkpoint, bfloat16[8]",
        ),
        (
            "half",
            lambda tree: tree | {"half": jnp.zeros(7)},
            "bfloat16[7] in the checkpoint, float32[7]",
        ),
        (
            "half",
            lambda tree: {k: v for k, v in tree.items() if k != "half"},
            "only in the checkpoint",
        ),
        ("new", lambda tree: tree | {"new": jnp.zeros(1)}, "only in the model of the config"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_in_one_line(saved, name, change, reason):
    message = message_of(lambda: Checkpoints(saved).restore(change(tree_of())))
    assert message.startswith(f"{name}: ")
    assert reason in message


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    empty = Checkpoints(tmp_path / "none")
    assert empty.steps() == []
    assert "no checkpoint" in message_of(lambda: empty.restore(tree_of()))


def test_a_step_that_is_not_there_is_refused(saved):
    assert "no step 99: there are 3" in message_of(
        lambda: Checkpoints(saved).restore(tree_of(), 99)
    )


def file_of(folder, step):
    return Checkpoints(folder).file(step)


@pytest.mark.long
def test_every_flipped_bit_is_detected_and_named(saved):
    file = file_of(saved, 3)
    data = file.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    random = np.random.default_rng(0)
    positions = [
        *range(64),
        *random.integers(64, header, 100),
        *random.integers(header, len(data), 200),
        len(data) - 1,
    ]
    try:
        for position in positions:
            damaged = bytearray(data)
            damaged[position] ^= 1 << int(random.integers(8))
            file.write_bytes(damaged)
            message = message_of(lambda: Checkpoints(saved).restore(zeros_like(tree_of()), 3))
            assert message.startswith(f"{file}: ") and "damaged on disk" in message, (
                position,
                message,
            )
    finally:
        file.write_bytes(data)
    assert_same_bits(Checkpoints(saved).restore(zeros_like(tree_of()))[0], tree_of())


FAULTS = {
    "a bit": lambda file: file.write_bytes(file.read_bytes()[:-9] + b"x" + file.read_bytes()[-8:]),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"more"),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_bytes(b"this is no checkpoint\n" * 50),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_good_step_before_a_damaged_one_is_used_and_nothing_is_deleted(tmp_path, capsys, fault):
    for step in (1, 2):
        save(tmp_path, step, tree_of(step))
    FAULTS[fault](file_of(tmp_path, 2))
    bad = file_of(tmp_path, 2).read_bytes()
    reader = Checkpoints(tmp_path, read_only=True)
    assert reader.restore(zeros_like(tree_of()))[1]["step"] == 1
    told = capsys.readouterr().err
    assert (
        str(file_of(tmp_path, 2)) in told
        and "step 1 is used instead" in told
        and told.count("\n") == 1
    )
    assert reader.steps() == [1, 2], "who only reads changes nothing"
    training = Checkpoints(tmp_path)
    got, facts = training.restore(zeros_like(tree_of()))
    assert facts["step"] == 1
    assert_same_bits(got, tree_of(1))
    for step in (2, 3, 4):
        save(tmp_path, step, tree_of(step))
    assert (tmp_path / "2.damaged").read_bytes() == bad and training.steps() == [3, 4]


def test_where_no_step_is_good_each_is_listed_and_kept(tmp_path):
    for step in (1, 2):
        save(tmp_path, step, tree_of(step))
        file_of(tmp_path, step).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(tmp_path).restore(tree_of())
    lines = str(caught.value).split("\n")
    assert [
        str(file_of(tmp_path, step)) in line for step, line in zip((2, 1), lines, strict=True)
    ] == [True, True]
    assert Checkpoints(tmp_path).steps() == [1, 2]


def test_a_header_that_is_signed_and_lies_is_refused_before_memory_is_taken(tmp_path):
    """Whoever makes a run folder can sign it: sizes still have to be those of the file."""
    file = tmp_path / "1.safetensors"
    write_tensors(file, {"a": np.zeros(3, np.float32)}, {})
    data = file.read_bytes()
    for old, new in [
        (b'"shape":[3]', b'"shape":[9]'),
        (b"[0,12]", b"[0,99]"),
        (b"[0,12]", b"[4,16]"),
        (b'"shape":[3]', b'"shape":[-3]'),
        (b'"F32"', b'"I32"'),
        (b'"F32"', b'"OBJ"'),
        (b'"a":{', b'"b":{'),
        (b'"shape":[3],', b'"shape":3,  '),
    ]:
        length, text = data[:8], data[8:-12].replace(old, new)
        assert text != data[8:-12]
        zeros = (
            text[: len(safetensors.OPENING)]
            + safetensors.NO_DIGEST
            + text[len(safetensors.OPENING) + 64 :]
        )
        length = len(text).to_bytes(8, "little")
        signature = safetensors._header_digest(length, zeros)
        file.write_bytes(length + zeros.replace(safetensors.NO_DIGEST, signature, 1) + data[-12:])
        with pytest.raises(DamagedFile, match="header|damaged"):
            read_tensors(file)


@pytest.mark.long
@many_mutations
def test_a_mutated_file_is_refused_or_the_same(saved, seed):
    file = saved / "mutated"
    data = file_of(saved, 3).read_bytes()
    changed = mutate_bytes(data, Random(seed))
    file.write_bytes(changed)
    try:
        read_tensors(file)
        assert changed == data
    except DamagedFile as error:
        assert "\n" not in str(error)


def test_other_programs_read_the_file(saved):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = tree_of() | {
        "half": tree_of()["half"].astype(jnp.float32)
    }  # numpy has no bfloat16 of its own
    write_tensors(
        saved / "other", {name: np.asarray(leaf) for name, leaf in flatten(arrays).items()}, {}
    )
    read = numpy.load_file(saved / "other")
    assert read.keys() == flatten(arrays).keys()
    for name, leaf in flatten(arrays).items():
        assert read[name].tobytes() == np.asarray(leaf).tobytes()


def test_what_is_saved_in_the_background_is_the_state_of_that_moment(tmp_path):
    """The step reuses the buffers of the state that it is given."""
    written = Checkpoints(tmp_path)
    array = jnp.ones(1_000_000)
    written.save(1, {"a": array})
    jax.block_until_ready(jax.jit(lambda x: x + 1.0, donate_argnums=0)(array))
    written.wait()
    assert (written.read()[0]["a"] == 1.0).all()


def test_a_save_that_fails_is_tried_once_more_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "RETRY_AFTER", 0.0)
    save(tmp_path, 1, tree_of())
    tries = []

    def fail(path, *_):
        tries.append(path)
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "write_tensors", fail)
        written = Checkpoints(tmp_path)
        written.save(2, tree_of())
        message = message_of(written.wait)
    assert len(tries) == 2 and "step 1 is saved" in message and "No space left" in message
    written.save(2, tree_of())
    written.wait()
    assert written.steps() == [1, 2]


def test_an_old_step_that_cannot_be_deleted_is_told_with_what_is_saved(tmp_path, monkeypatch):
    save(tmp_path, 1, tree_of())
    written = Checkpoints(tmp_path, keep=1)

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", refuse)
        written.save(2, tree_of())
        message = message_of(written.wait)
    assert "Permission denied" in message and "step 2 is saved" in message
    assert written.steps() == [1, 2]


def test_the_best_remains_beside_the_newest(tmp_path):
    for step, score in ((1, 20.0), (2, 30.0), (3, None), (4, 25.0), (5, None)):
        save(tmp_path, step, tree_of(step), score=score)
    assert Checkpoints(tmp_path).steps() == [2, 4, 5]


def test_a_digest_tells_values_shapes_and_types_apart():
    arrays = [
        np.zeros(4, np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros(4, np.int32),
        np.ones(4, np.float32),
    ]
    assert len({digest(array) for array in arrays}) == 4
    assert digest(np.arange(6).reshape(2, 3).T) == digest(
        np.ascontiguousarray(np.arange(6).reshape(2, 3).T)
    )


def test_the_newest_remain_and_each_can_be_restored(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, tree_of(step))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["3.safetensors", "4.safetensors"]
    for step in (3, 4):
        assert_same_bits(
            Checkpoints(tmp_path).restore(zeros_like(tree_of()), step)[0], tree_of(step)
        )


def test_a_step_that_is_there_is_left_as_it_is(tmp_path):
    save(tmp_path, 1, tree_of(1))
    save(tmp_path, 1, tree_of(2))
    assert_same_bits(Checkpoints(tmp_path).restore(zeros_like(tree_of()))[0], tree_of(1))
