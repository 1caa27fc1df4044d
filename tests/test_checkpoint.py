"""Saved states come back bit for bit, or the run says what it uses instead."""

import logging
import os
import resource
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import checkpoint, sharding
from repr_jax.checkpoint import Checkpoints


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


def test_a_full_disk_surfaces(tmp_path, capfd):
    """A real write that fails in the background: files may not exceed 64 kB here."""
    big = {"w": np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, big)
        checkpoints.wait()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
        try:
            checkpoints.save(2, big)
            message = "step 2 could not be saved: .*File too large"
            with pytest.raises(OSError, match=message) as error:
                checkpoints.wait()
            assert "\n" not in str(error.value)
            assert os.listdir(tmp_path) == ["1"]  # what was written is given back
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert checkpoints.restore(big)[0] == 1
        checkpoints.save(2, big)
        assert checkpoints.restore(big)[0] == 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_disk_that_is_full_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state_of(1))
        checkpoints.wait()
        monkeypatch.setattr(checkpoint.ocp, "save_checkpointables_async", full)
        message = (
            r"step 2 could not be saved: OSError: .*No space.*; steps \[1\] are kept"
        )
        with pytest.raises(OSError, match=message):
            checkpoints.save(2, state_of(2))
    assert os.listdir(tmp_path) == ["1"]


# Reading alone


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_opened_for_reading_nothing_changes(saved, monkeypatch):
    (saved / "5.deleted").mkdir()
    before = tree(saved)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with Checkpoints(saved, read_only=True) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 20
        assert checkpoints.arrays(10)[".step"] == 10
        with pytest.raises(PermissionError, match=f"{saved}: opened for reading only"):
            checkpoints.save(30, state_of(30))
    assert tree(saved) == before
    missing = saved / "missing"
    with Checkpoints(missing, read_only=True) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.restore(shapes()) is None
        with pytest.raises(
            FileNotFoundError, match=f"{missing}: expected a checkpoint"
        ):
            checkpoints.arrays()
    assert not missing.exists()


def test_arrays_come_by_name_without_their_tree(tmp_path):
    state = {
        "params": {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3, jnp.bfloat16)},
        "opt_state": (jnp.int32(7), {"w": jnp.zeros((0, 3))}),
        "key": jax.random.key(0),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        found = checkpoints.arrays()
        expected = {
            jax.tree_util.keystr(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        }
        assert set(found) == set(expected) - {"['key']"}
        for name, array in found.items():
            assert isinstance(array, np.ndarray)
            assert bits(array) == bits(expected[name])
        assert set(checkpoints.arrays(1, "['params']['b")) == {"['params']['b']"}
        assert checkpoints.arrays(prefix="['none']") == {}
        with pytest.raises(FileNotFoundError, match=r"step 2; it has \[1\]"):
            checkpoints.arrays(2)


def test_arrays_of_eight_bytes_come_whole(tmp_path):
    with jax.enable_x64(True), Checkpoints(tmp_path) as checkpoints:
        state = {"i": jnp.int64(2**40), "c": jnp.full((2, 2), 1 + 2j, jnp.complex128)}
        checkpoints.save(1, state)
    with Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.arrays()
    assert found["['i']"] == 2**40
    np.testing.assert_array_equal(found["['c']"], np.full((2, 2), 1 + 2j))


def test_arrays_read_only_what_is_asked_and_are_verified(saved):
    largest = max((saved / "20").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x10
    largest.write_bytes(data)
    with Checkpoints(saved, read_only=True) as checkpoints:
        assert checkpoints.arrays(20, ".step") == {".step": 20}
        assert checkpoints.arrays()[".step"] == 10  # the newest that is intact
        with pytest.raises(checkpoint.DamagedError, match="step 20 is damaged"):
            checkpoints.arrays(20, ".params")
