"""A user's own arrays: what a batch holds, the split, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import config
from repr_jax.data import arrays


def some(rows=20, seed=0):
    """Images, readings, tokens, classes in words, which of the first two are there."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(256, size=(rows, 4, 4, 3), dtype=np.uint8),
        "reading": rng.normal(size=(rows, 5)),
        "tokens": rng.integers(9, size=(rows, 3)),
        "diagnosis": np.array(["flu", "none", "cold"])[np.arange(rows) % 3],
        "seen": np.arange(rows)[:, None] % 4 != np.array([0, 1]),
    }


@pytest.fixture
def path(tmp_path):
    np.savez_compressed(tmp_path / "study.npz", **some())
    return tmp_path / "study.npz"


def load(path, **keywords):
    return arrays.load(data=path, **{"entries": ("image", "reading"), **keywords})


def changed(tmp_path, **entries):
    np.savez(tmp_path / "changed.npz", **{**some(), **entries})
    return tmp_path / "changed.npz"


def test_a_config_of_five_lines(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    choice = dict(
        fn=arrays.load,
        data="~/study.npz",
        entries=("image", "reading", "tokens"),
        label="diagnosis",
    )
    data = config.bind(choice)()
    assert data.num_examples == {"train": 16, "test": 4}
    assert data.modalities == ("image", "reading", "tokens")
    batch = jax.jit(data.prepare)(next(data.train(8)))
    assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
        "image": ((8, 4, 4, 3), np.float32),
        "reading": ((8, 5), np.float32),
        "tokens": ((8, 3), np.int32),
        "label": ((8,), np.int32),
    }


def test_every_row_is_in_one_split_with_all_of_its_entries(path):
    data, known = load(path, label="diagnosis"), some()
    seen = []
    for split, count in data.num_examples.items():
        (batch,) = data.evaluate(split, count)
        assert batch["where"].all()
        for i in range(count):
            (row,) = np.flatnonzero(
                (known["image"] == batch["image"][i]).all((1, 2, 3))
            )
            np.testing.assert_allclose(batch["reading"][i], known["reading"][row], 1e-6)
            assert ("cold", "flu", "none")[batch["label"][i]] == known["diagnosis"][row]
            seen.append(row)
        prepared = jax.jit(data.prepare)(batch)["image"]
        np.testing.assert_allclose(prepared, batch["image"] / 255.0, rtol=1e-6)
    assert sorted(seen) == list(range(20))


def test_the_split_has_a_seed_of_its_own(path):
    def test_rows(**keywords):
        return next(load(path, **keywords).evaluate("test", 4))["reading"]

    np.testing.assert_array_equal(test_rows(), test_rows(seed=5))
    assert (test_rows() != test_rows(split_seed=1)).any()
    assert load(path, test_fraction=0.5).num_examples == {"train": 10, "test": 10}
    first, other = (next(load(path, seed=s).train(16))["reading"] for s in (0, 1))
    assert (first != other).any()


def test_arrays_in_memory_and_a_test_set_of_its_own(path):
    data = load(some(), test_data=some(7, seed=1), label="diagnosis")
    assert data.num_examples == {"train": 20, "test": 7}
    batch = next(data.evaluate("test", 7))
    np.testing.assert_array_equal(batch["image"], some(7, seed=1)["image"])
    np.testing.assert_array_equal(batch["label"], [1, 2, 0, 1, 2, 0, 1])
    file = next(load(path, test_data=path).evaluate("train", 20))
    np.testing.assert_array_equal(file["image"], some()["image"])


def test_one_entry_is_no_modality_and_may_be_named_alone(path):
    data = arrays.load(data=path, entries="image")
    assert data.modalities == () and set(next(data.train(2))) == {"image"}
    assert set(next(arrays.load(data=path).train(2))) == {"image"}


def test_absent_entries_are_0_whatever_they_held(tmp_path):
    known = some()
    known["reading"][~known["seen"][:, 1]] = np.nan
    data = load(changed(tmp_path, **known), present="seen")
    (batch,) = data.evaluate("train", 16)
    assert batch["present"].shape == (16, 2) and batch["present"].dtype == bool
    assert not batch["reading"][~batch["present"][:, 1]].any()
    assert batch["reading"][batch["present"][:, 1]].all()
    assert not batch["image"][~batch["present"][:, 0]].any()
    assert batch["image"].dtype == np.uint8
    flags = {**known, "reading": known["tokens"] > 3}  # truth values stay
    assert next(load(flags, present="seen").train(2))["reading"].dtype == bool


def test_presence_may_be_an_array_for_each_entry(tmp_path):
    known, seen = some(), some()["seen"]
    known |= {"has_image": seen[:, 0], "has_reading": seen[:, 1]}
    known["reading"][~seen[:, 1]] = np.nan
    both = load(changed(tmp_path, **known), present=("has_image", "has_reading"))
    one = load(known, present=(None, "has_reading"))
    whole = load(known, present="seen")
    (batch,), (other,), (expected,) = (
        d.evaluate("train", 16) for d in (both, one, whole)
    )
    for name in ("image", "reading", "present"):
        np.testing.assert_array_equal(batch[name], expected[name])
    assert other["present"][:, 0].all() and other["image"].any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(other["present"][:, 1], expected["present"][:, 1])


GOOD = some()["reading"]
BAD = GOOD.copy()
BAD[[3, 8], 1] = np.nan, np.inf
LARGE = some()["tokens"].astype(np.int64) + 2**40


@pytest.mark.parametrize(
    "entries, keywords, error, message",
    [
        (
            {"reading": BAD},
            {},
            ValueError,
            "reading finite .*row 3 is not, nor are 1 ot",
        ),
        ({"reading": GOOD * 1e300}, {}, ValueError, "finite in float32; row 0"),
        (
            {"reading": GOOD[:19]},
            {},
            ValueError,
            r"image \(20, 4, 4, 3\), reading \(19",
        ),
        (
            {"reading": 3.0},
            {},
            ValueError,
            r"as many rows in every array.*reading \(\)",
        ),
        ({"reading": GOOD * 1j}, {}, TypeError, "of real numbers.*complex128"),
        ({"reading": GOOD.astype(str)}, {}, TypeError, "of real numbers.*<U"),
        ({"reading": GOOD.astype(object)}, {}, ValueError, "Object arrays"),
        (
            {"reading": np.asarray(jnp.ones((20, 5), jnp.bfloat16))},
            {},
            ValueError,
            "reading in .* has type .*bfloat16",
        ),
        ({"reading": LARGE}, {}, ValueError, "reading within int32"),
        (
            {},
            {"entries": ("image", "other")},
            ValueError,
            "has no other, but image, re",
        ),
        ({}, {"entries": ()}, ValueError, "at least one modality; got none"),
        ({}, {"entries": ("image", "image")}, ValueError, "each modality once"),
        ({}, {"entries": ("where",)}, ValueError, "entries not called label, pre"),
        ({}, {"label": "kind"}, ValueError, "has no kind"),
        (
            {},
            {"label": "reading"},
            TypeError,
            r"reading \[rows\] of whole numbers or t",
        ),
        (
            {"diagnosis": np.arange(20) - 2},
            {"label": "diagnosis"},
            ValueError,
            "from 0 on, within int32; row 0 has -2",
        ),
        (
            {"diagnosis": np.arange(20) + 2.0**33},
            {"label": "diagnosis"},
            TypeError,
            "type float64",
        ),
        ({}, {"present": "tokens"}, ValueError, r"tokens bool \[rows, 2\].*int64"),
        (
            {"seen": np.zeros((20, 2), bool)},
            {"present": "seen"},
            ValueError,
            "seen has none in row 0",
        ),
        ({}, {"present": ("seen",)}, ValueError, "present of 2 names.*got 1"),
        ({}, {"present": (None, "seen")}, ValueError, r"seen bool \[rows\]; got bool"),
        (
            {"none": np.zeros(20, bool)},
            {"present": ("none", "none")},
            ValueError,
            "none and none has none in row 0",
        ),
        ({}, {"present": ("there", None)}, ValueError, "no there"),
        ({}, {"test_fraction": 0.01}, ValueError, "got 0 of 20 for test"),
        (
            {},
            {"test_fraction": 1.5},
            ValueError,
            r"test_fraction in \(0, 1\); got 1\.5",
        ),
        ({}, {"test_data": some(0)}, ValueError, "rows in test_data; got none"),
        (
            {},
            {"test_data": {**some(), "reading": GOOD[:, :2]}},
            ValueError,
            "reading of one form in data and test_data",
        ),
        ({}, {"seed": -1}, ValueError, "seed"),
        ({}, {"split_seed": 1.0}, TypeError, "seed"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(
    tmp_path, entries, keywords, error, message
):
    with pytest.raises(error, match=message) as caught:
        load(changed(tmp_path, **entries), **keywords)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*absent\.npz"):
        load(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(ValueError, match=r"text\.npz cannot be read"):
        load(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="got none called reading, but image"):
        load({"image": np.zeros((4, 2))})


def test_a_class_that_training_rows_do_not_have_is_refused():
    test = {**some(6), "diagnosis": np.array(["flu"] * 5 + ["gout"])}
    with pytest.raises(ValueError, match=r"among those of training rows; got .*gout"):
        load(some(), test_data=test, label="diagnosis")
