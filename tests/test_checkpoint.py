"""Saved states come back bit for bit, or the run says what it uses instead."""

import logging
import os
import pathlib
import resource
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import checkpoint, sharding
from repr_jax.checkpoint import Checkpoints

# Threads that read a damaged file complain when nobody waits for them any more.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


class State(NamedTuple):
    step: Any
    params: Any
    extras: Any


def state_of(step, mesh=None):
    """A state with one large leaf; every value depends on `step`."""
    rng = np.random.default_rng(step)
    kernel = rng.normal(size=(64, 48)).astype(np.float32)
    state = State(
        step=jnp.int32(step),
        params={"dense/0": {"kernel": kernel, "bias": np.full(48, step, np.float32)}},
        extras=(jax.random.key(step), {}, None),
    )
    return jax.device_put(state, sharding.replicated(mesh or sharding.make_mesh()))


def bits(x):
    """Dtype, shape and bytes, so that NaN and -0.0 count."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return str(x.dtype), x.shape, np.asarray(jax.random.key_data(x)).tobytes()
    return str(x.dtype), x.shape, np.asarray(x).tobytes()


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert bits(a) == bits(b)


def shapes():
    return checkpoint.abstract(state_of(0))


@pytest.fixture
def saved(tmp_path):
    """A directory with the complete steps 10 and 20."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        for step in (10, 20):
            checkpoints.save(step, state_of(step))
    return tmp_path / "run"


@pytest.fixture
def warned(caplog):
    caplog.set_level(logging.WARNING, logger="repr_jax.checkpoint")
    return lambda: [r.getMessage() for r in caplog.records if "repr_jax" in r.name]


# Round trips


@pytest.mark.parametrize("num_devices", [1, 4])
def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path, num_devices):
    dtypes = ["bool", "int4", "int8", "uint8", "int16", "int32", "uint32"]
    dtypes += ["float16", "bfloat16", "float32"]
    odd = np.array([np.nan, -np.nan, -0.0, np.inf, 1e-45, 3.0], np.float32)
    odd_bits = odd.view(np.uint32)
    odd_bits[1] |= 0x123  # a NaN that is not the usual one
    state = {
        "dtypes": [jnp.arange(6).reshape(2, 3).astype(dtype) for dtype in dtypes],
        "float8": jnp.arange(4).astype(jnp.float8_e4m3fn),
        "complex": jnp.array([1 + 2j, -3j], jnp.complex64),
        "odd": odd_bits.view(np.float32),
        "scalars": (jnp.float32(0.1), np.float32(7), 3, 2.5, True),
        "keys": (jax.random.key(3), jax.random.split(jax.random.key(4, impl="rbg"), 3)),
        "empty": (jnp.zeros((0, 3)), jnp.zeros((2, 0), bool), {}, (), None, []),
        "names/with.all": {"['sorts']": jnp.ones(2), "of (signs) %": jnp.zeros(3)},
    }
    mesh = sharding.make_mesh(jax.devices()[:num_devices])
    state = jax.device_put(state, sharding.replicated(mesh))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state) is None
        checkpoints.save(0, state)
        step, restored = checkpoints.restore(checkpoint.abstract(state))
    assert step == 0
    assert_same(restored, state)
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.is_equivalent_to(sharding.replicated(mesh), leaf.ndim)


def test_a_state_that_is_one_array_and_numpy_leaves(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, np.arange(5, dtype=np.int32))
        step, restored = checkpoints.restore(np.zeros(5, np.int32))
        np.testing.assert_array_equal(restored, np.arange(5))
        assert (step, len(restored.sharding.device_set)) == (1, 4)
        with pytest.raises(ValueError, match="save: expected a state with arrays"):
            checkpoints.save(2, {"nothing": jnp.zeros((0, 4))})


@pytest.mark.parametrize("num_devices", [1, 2])
def test_restores_on_other_devices_and_split(saved, num_devices):
    mesh = sharding.make_mesh(jax.devices()[-num_devices:])
    wanted = checkpoint.abstract(state_of(0, mesh))
    split = sharding.batch_sharding(mesh)
    kernel = wanted.params["dense/0"]["kernel"]
    wanted.params["dense/0"]["kernel"] = jax.ShapeDtypeStruct(
        kernel.shape, kernel.dtype, sharding=split
    )
    with Checkpoints(saved) as checkpoints:
        step, state = checkpoints.restore(wanted)
        assert_same(state, state_of(20))
        kernel = state.params["dense/0"]["kernel"]
        assert kernel.sharding.is_equivalent_to(split, 2)
        assert state.step.sharding.device_set == set(mesh.devices.flat)
        checkpoints.save(30, state)  # split now, and the checksums still agree
        assert checkpoints.restore(shapes())[0] == 30
    assert step == 20


def test_saving_survives_donation(tmp_path):
    """The next step may overwrite the buffers while the write is going on."""
    update = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    everywhere = sharding.replicated(sharding.make_mesh())
    state = {"w": jnp.zeros((1000, 300)), "n": jnp.int32(0)}
    state = jax.device_put(state, everywhere)
    with Checkpoints(tmp_path, keep_last=9) as checkpoints:
        for step in range(6):
            checkpoints.save(step, state)
            state = update(update(state))
        jax.block_until_ready(state)
        for step in range(6):
            _, restored = checkpoints.restore(state, step)
            assert int(restored["n"]) == 2 * step
            assert np.all(np.asarray(restored["w"]) == 2 * step)


# Which are kept


def test_keeps_the_last(tmp_path):
    with Checkpoints(tmp_path, keep_last=2) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.best_step() is None
        for step in (1, 2, 3, 10):
            checkpoints.save(step, state_of(step))
        checkpoints.wait()
        assert checkpoints.latest_step() == 10
        assert sorted(os.listdir(tmp_path)) == ["10", "3"]


def test_keeps_the_best_and_the_last_over_restarts(tmp_path):
    losses = {1: 3.0, 2: float("nan"), 3: 1.0, 4: 1.0, 5: 2.0, 6: 9.0, 7: 0.5, 8: 4.0}
    best = {1: 1, 2: 1, 3: 3, 4: 3, 5: 3, 6: 3, 7: 7, 8: 7}
    for step, loss in losses.items():
        with Checkpoints(tmp_path, keep_last=1, best_metric="loss") as checkpoints:
            checkpoints.save(step, state_of(step), {"loss": loss, "other": 0})
            checkpoints.wait()
            assert checkpoints.best_step() == best[step]
            kept = {int(name) for name in os.listdir(tmp_path)}
            assert kept == {best[step], step}
            assert_same(
                checkpoints.restore(shapes(), best[step])[1], state_of(best[step])
            )


def test_the_best_is_kept_where_only_some_steps_have_the_metric(tmp_path):
    accuracy = {2: 0.5, 4: 0.9, 7: float("nan"), 8: 0.7}
    options = dict(keep_last=2, best_metric="knn/accuracy", best_mode="max")
    for step in range(1, 10):
        metrics = {"loss": 1.0 / step}
        if step in accuracy:
            metrics["knn/accuracy"] = accuracy[step]
        with Checkpoints(tmp_path, **options) as checkpoints:
            checkpoints.save(step, state_of(step), metrics)
            checkpoints.wait()
            best = None if step < 2 else 2 if step < 4 else 4
            assert checkpoints.best_step() == best
            kept = {int(name) for name in os.listdir(tmp_path)}
            assert kept == {step, step - 1, best} - {0, None}
    with Checkpoints(tmp_path, best_metric="loss") as checkpoints:
        assert checkpoints.best_step() == 9  # another metric, chosen later
    with pytest.raises(ValueError, match="best_mode: expected min or max; got 'top'"):
        Checkpoints(tmp_path, best_mode="top")


def test_a_saved_step_is_left_as_it_is(saved):
    with Checkpoints(saved) as checkpoints:
        checkpoints.save(20, state_of(5))
        assert_same(checkpoints.restore(shapes())[1], state_of(20))


# Damage


def files_of(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def flip(path, position):
    data = bytearray(path.read_bytes())
    if data:
        data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_to_any_file_is_survived(saved, damage, warned):
    """Whatever happens to one file, what is restored is what was saved."""
    fell_back, by_checksum = set(), 0
    shutil.copytree(saved, saved.with_name("intact"))
    names = [path.relative_to(saved) for path in files_of(saved / "20")]
    for name in names:
        size = (saved / name).stat().st_size
        for part in (0.02, 0.5, 0.95) if damage == "flipped" else (0,):
            if damage == "flipped":
                flip(saved / name, int(part * size))
            elif damage == "truncated":
                (saved / name).write_bytes((saved / name).read_bytes()[: size // 2])
            else:
                (saved / name).unlink()
            with Checkpoints(saved) as checkpoints:
                step, state = checkpoints.restore(shapes())
            assert_same(state, state_of(step))
            if step == 10:
                fell_back.add(str(name))
                message = warned()[-1]
                assert "step 20 is damaged (" in message
                assert "continuing from step 10 instead" in message
                assert "\n" not in message
                by_checksum += "the contents of" in message
            shutil.copy(saved.with_name("intact") / name, saved / name)
    assert "20/_CHECKPOINT_METADATA" in fell_back
    assert any("/d/" in name for name in fell_back)
    if damage == "flipped":
        assert by_checksum > 0  # orbax alone would have used these numbers


def test_a_flipped_byte_of_the_arrays_is_noticed_wherever_it_is(saved, warned):
    """Twenty places over the file that holds the large array."""
    largest = max(files_of(saved / "20"), key=lambda path: path.stat().st_size)
    for position in range(50, largest.stat().st_size, largest.stat().st_size // 20):
        flip(largest, position)
        with Checkpoints(saved) as checkpoints:
            step, state = checkpoints.restore(shapes())
        assert_same(state, state_of(step))  # a few bytes of the file are not used
        flip(largest, position)
    assert sum("the contents of 1 of 4 leaves" in text for text in warned()) >= 15


def damage(folder):
    largest = max(files_of(folder), key=lambda path: path.stat().st_size)
    flip(largest, largest.stat().st_size // 2)


@pytest.mark.parametrize("next_step", [15, 20])
def test_a_damaged_step_is_replaced_by_the_next_save(saved, next_step):
    damage(saved / "20")
    with Checkpoints(saved, keep_last=1) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 10
        assert sorted(os.listdir(saved)) == ["10", "20"]  # looking changes nothing
        checkpoints.save(next_step, state_of(next_step))
        step, state = checkpoints.restore(shapes())
        assert step == next_step
        assert_same(state, state_of(next_step))
        assert os.listdir(saved) == [str(next_step)]


def test_no_intact_checkpoint_is_an_error_that_names_the_folder(saved):
    damage(saved / "20")
    shutil.rmtree(saved / "10" / "state")
    with Checkpoints(saved) as checkpoints:
        with pytest.raises(checkpoint.DamagedError) as error:
            checkpoints.restore(shapes())
        message = str(error.value)
        assert message.startswith(f"{saved}: expected an intact checkpoint; step 20 is")
        assert "step 10 is damaged" in message
        assert "\n" not in message
        with pytest.raises(checkpoint.DamagedError, match="step 20 is damaged"):
            checkpoints.restore(shapes(), 20)
        with pytest.raises(FileNotFoundError, match=r"step 15; it has \[10, 20\]"):
            checkpoints.restore(shapes(), 15)
    assert sorted(os.listdir(saved)) == ["10", "20"]


def test_damage_does_not_disturb_the_best(saved, tmp_path):
    with Checkpoints(tmp_path, keep_last=1, best_metric="loss") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state_of(step), {"loss": step})
    (tmp_path / "3" / "_CHECKPOINT_METADATA").write_text("{")
    with Checkpoints(tmp_path, keep_last=1, best_metric="loss") as checkpoints:
        assert checkpoints.best_step() == 1
        assert checkpoints.restore(shapes())[0] == 1


def test_what_others_left_is_ignored(saved):
    (saved / "30.orbax-checkpoint-tmp").mkdir()
    (saved / "40.orbax-checkpoint-tmp-123" / "state").mkdir(parents=True)
    (saved / "notes.txt").write_text("hello")
    (saved / "50").mkdir()  # empty: nothing that orbax finishes looks like this
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 20
        checkpoints.save(30, state_of(30))
        checkpoints.save(40, state_of(40))
        assert checkpoints.restore(shapes())[0] == 40


# Another state


def test_another_tree_is_refused_and_the_leaves_are_named(saved):
    wanted = shapes()
    dense = wanted.params["dense/0"]
    dense["kernel"] = jax.ShapeDtypeStruct((64, 32), jnp.float32)
    dense["scale"] = jax.ShapeDtypeStruct((48,), jnp.float32)
    wanted = wanted._replace(step=jax.ShapeDtypeStruct((), jnp.float32))
    del dense["bias"]
    with Checkpoints(saved) as checkpoints:
        with pytest.raises(ValueError) as error:
            checkpoints.restore(wanted)
        assert checkpoints.restore(shapes())[0] == 20
    assert str(error.value) == (
        f"{saved}: step 20 holds another state than this run's; "
        ".step: wanted float32[], got int32[]; "
        ".params['dense/0']['kernel']: wanted float32[64, 32], got float32[64, 48]; "
        ".params['dense/0']['scale']: wanted float32[48], got none; "
        ".params['dense/0']['bias']: wanted none, got float32[48]."
    )


def test_a_long_list_of_differences_is_cut(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {f"w{i}": jnp.zeros(3) for i in range(20)})
        with pytest.raises(ValueError, match="; and 12 more"):
            checkpoints.restore({f"w{i}": jnp.zeros(4) for i in range(20)})


# Errors of the caller and of the disk


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            PermissionError, match=f"{path}: expected a folder"
        ) as error:
            Checkpoints(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="keep_last: expected at least 1; got 0"):
        Checkpoints(tmp_path / "run", keep_last=0)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to all
    with pytest.raises(PermissionError, match="expected a writable folder"):
        Checkpoints(tmp_path)


@pytest.mark.parametrize("surfaces", ["wait", "save", "exit"])
def test_a_failed_write_surfaces(tmp_path, surfaces):
    folder = tmp_path / "run"
    message = f"{folder}: step 2 could not be saved: "
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, state_of(1))
        checkpoints.wait()
        checkpoints.save(2, state_of(2))
        step, score, response = checkpoints._pending
        response.result()
        shutil.rmtree(folder / "2")
        checkpoints._pending = step, score, Failed()
        if surfaces == "wait":
            with pytest.raises(OSError, match=message):
                checkpoints.wait()
        elif surfaces == "save":
            with pytest.raises(OSError, match=message):
                checkpoints.save(3, state_of(3))
        else:
            with pytest.raises(OSError, match=message):
                checkpoints.__exit__(None, None, None)
        assert checkpoints.latest_step() == 1
        assert checkpoints.restore(shapes())[0] == 1
        checkpoints.save(2, state_of(2))  # the disk has room again
        assert checkpoints.restore(shapes())[0] == 2


class Failed:
    """A background write that ran into a full disk."""

    def result(self):
        raise RuntimeError("orbax") from OSError(28, "No space left on device")


def test_an_error_in_the_block_is_not_hidden_by_a_failed_write(tmp_path, warned):
    with pytest.raises(KeyError, match="mine"), Checkpoints(tmp_path) as checkpoints:
        checkpoints._pending = 5, None, Failed()
        raise KeyError("mine")
    assert "step 5 could not be saved: OSError: [Errno 28] No space" in warned()[0]


def test_a_full_disk_surfaces(tmp_path):
    """A real write that fails in the background: files may not exceed 64 kB here."""
    big = {"w": np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, big)
        checkpoints.wait()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
        try:
            checkpoints.save(2, big)
            with pytest.raises(OSError, match="step 2 could not be saved"):
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert checkpoints.restore(big)[0] == 1
        checkpoints.save(2, big)
        assert checkpoints.restore(big)[0] == 2
