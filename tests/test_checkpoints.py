"""Checkpoints come back bit for bit or are refused in one line: never silently different."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.checkpoints import CheckpointError, Checkpoints, digest, flatten, unflatten

# A read that fails leaves others under way, which complain when they find its event loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def tree_of(seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(300, 4)).astype(np.float32)
    table[0] = [np.nan, np.inf, -0.0, 1e-42]  # bits, not values
    return {
        "params": {
            "table": jnp.asarray(table),
            "layers": {0: {"kernel": jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)}},
        },
        "state": [jnp.asarray(rng.uniform(size=64) < 0.5), jnp.asarray(rng.integers(0, 9, (2, 1, 3)), jnp.int32)],
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
    Checkpoints(folder).save(3, tree_of(), seconds=1.5)
    return folder


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
    assert_same_bits(Checkpoints(saved).restore(like, partial=True)[0], {"params": tree_of()["params"]})
    assert "in only one of checkpoint and config" in message_of(lambda: Checkpoints(saved).restore(like))


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
    trees = [{"params": params, "step": step}, Pair(params, step), Record(params, step), Record(listed, step)]
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
        ("half", lambda tree: tree | {"half": jnp.zeros(7)}, "bfloat16[7] in the checkpoint, float32[7]"),
        ("half", lambda tree: {k: v for k, v in tree.items() if k != "half"}, "in only one of"),
        ("new", lambda tree: tree | {"new": jnp.zeros(1)}, "in only one of"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_in_one_line(saved, name, change, reason):
    message = message_of(lambda: Checkpoints(saved).restore(change(tree_of())))
    assert message.startswith(f"{name}: ")
    assert reason in message


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path / "none")
    assert checkpoints.latest() is None
    assert "no checkpoint" in message_of(lambda: checkpoints.restore(tree_of()))


def test_a_step_that_is_not_there_is_refused(saved):
    assert "no step 99: there are 3" in message_of(lambda: Checkpoints(saved).restore(tree_of(), 99))


def array_files(folder):
    """What orbax wrote of the arrays themselves, largest first; the rest describes them."""
    return sorted((f for f in folder.rglob("d/*") if f.is_file()), key=lambda f: -f.stat().st_size)


def test_a_flipped_byte_of_the_arrays_is_never_restored_as_if_it_were_right(saved):
    like, step = zeros_like(tree_of()), saved / "3"
    caught_in = set()
    files = [file for file in step.glob("state/**/*") if file.is_file()]
    for file in files:
        data = file.read_bytes()
        for position in {0, len(data) // 3, len(data) // 2, 2 * len(data) // 3, len(data) - 1}:
            damaged = bytearray(data)
            damaged[position] ^= 0x10
            file.write_bytes(damaged)
            try:
                got, _ = Checkpoints(saved).restore(like, 3)
                assert_same_bits(got, tree_of())  # what was hit is not read
            except CheckpointError as error:
                assert str(step) in str(error)
                assert "\n" not in str(error)
                caught_in.add(file)
            finally:
                file.write_bytes(data)
    assert array_files(step)[0] in caught_in
    assert len(caught_in) >= 3
    assert_same_bits(Checkpoints(saved).restore(like)[0], tree_of())


def test_every_byte_of_the_largest_array_is_guarded(saved):
    """Where the 4800 bytes of the table lie, every flip is noticed."""
    file = array_files(saved / "3")[0]
    data = file.read_bytes()
    noticed = 0
    positions = np.random.default_rng(0).integers(0, len(data), 40)
    for position in positions:
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        file.write_bytes(damaged)
        try:
            got, _ = Checkpoints(saved).restore(zeros_like(tree_of()), 3)
            assert_same_bits(got, tree_of())
        except CheckpointError:
            noticed += 1
        finally:
            file.write_bytes(data)
    assert noticed > 0.8 * len(positions)


def test_a_missing_file_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree_of())
    array_files(tmp_path / "1")[0].unlink()
    assert str(tmp_path / "1") in message_of(lambda: Checkpoints(tmp_path).restore(tree_of()))


def test_a_digest_tells_values_shapes_and_types_apart():
    arrays = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32), np.ones(4, np.float32)]
    assert len({digest(array) for array in arrays}) == 4
    assert digest(np.arange(6).reshape(2, 3).T) == digest(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))


def test_the_newest_remain_and_each_can_be_restored(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, tree_of(step))
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_dir()) == ["3", "4"]
    assert Checkpoints(tmp_path).latest() == 4
    for step in (3, 4):
        assert_same_bits(Checkpoints(tmp_path).restore(zeros_like(tree_of()), step)[0], tree_of(step))


def test_a_step_that_is_there_is_left_as_it_is(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree_of(1))
    checkpoints.save(1, tree_of(2))
    assert_same_bits(checkpoints.restore(zeros_like(tree_of()))[0], tree_of(1))
