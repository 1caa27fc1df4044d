"""What comes back of a stored fit, and what is refused."""

import json
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.estimators.kmeans import KMeans
from repr_jax.workdir import fitted
from repr_jax.workdir.reading import DamagedError


class Own(NamedTuple):
    """A fit of a user's own estimator."""

    inner: KMeans
    params: dict
    spaces: tuple
    metric: str
    cost: float
    scales: np.ndarray | None


KMEANS = KMeans(jnp.ones((2, 3)), jnp.float32(0.5), jnp.int32(4))
OWN = Own(
    KMEANS,
    {"layer": {"kernel": np.arange(6.0).reshape(2, 3), "on": np.array([True])}},
    (np.zeros((0, 2), np.int64), [np.float32(2)]),
    "cosine",
    1.25,
    None,
)


def test_comes_back_as_it_was(tmp_path):
    assert not fitted.exists(tmp_path)
    fitted.save(tmp_path, OWN)
    assert fitted.exists(tmp_path)
    found = fitted.load(tmp_path)
    assert type(found) is Own and type(found.inner) is KMeans
    assert (found.metric, found.cost, found.scales) == ("cosine", 1.25, None)
    kernel = found.params["layer"]["kernel"]
    np.testing.assert_array_equal(kernel, OWN.params["layer"]["kernel"])
    assert kernel.dtype == np.float64 and found.params["layer"]["on"].dtype == bool
    empty, (number,) = found.spaces
    assert empty.shape == (0, 2) and empty.dtype == np.int64 and number == 2
    assert found.inner.centroids.dtype == np.float32
    assert found.inner.num_steps.shape == () and found.inner.num_steps == 4
    with np.load(tmp_path / fitted.FILE) as file:  # by others, too
        np.testing.assert_array_equal(file["inner/centroids"], np.ones((2, 3)))


def test_another_fit_takes_its_place(tmp_path):
    fitted.save(tmp_path, OWN)
    fitted.save(tmp_path, KMEANS)
    assert fitted.load(tmp_path).inertia == 0.5
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {fitted.FILE, fitted.CHECKSUM}
    fitted.remove(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a fit"):
        fitted.load(tmp_path)


@pytest.mark.parametrize("written", [0, 1])
def test_a_fit_that_was_not_written_to_its_end_does_not_exist(
    written, tmp_path, monkeypatch
):
    """A process killed at the first or second rename."""
    fitted.save(tmp_path, OWN)
    path, left = type(tmp_path), [written]
    replace = path.replace

    def killed(self, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted.save(tmp_path, KMEANS)
    assert not fitted.exists(tmp_path)


@pytest.mark.parametrize("name", [fitted.FILE, fitted.CHECKSUM])
def test_any_changed_byte_is_noticed(name, tmp_path):
    fitted.save(tmp_path, KMEANS)
    path = tmp_path / name
    content = path.read_bytes()
    for place in range(0, 64, 7):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DamagedError, match="expected what was written"):
            fitted.load(tmp_path)
    path.write_bytes(content)
    assert fitted.load(tmp_path).num_steps == 4
    (tmp_path / fitted.FILE).unlink()
    with pytest.raises(DamagedError):
        fitted.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["subprocess:Popen", "repr_jax.run:train", "not.imported:Fit", "os:path"]
)
def test_only_named_tuples_are_made(name, tmp_path, monkeypatch):
    real = json.dumps
    monkeypatch.setattr(
        fitted.json,
        "dumps",
        lambda x: real(x).replace("repr_jax.estimators.kmeans:KMeans", name),
    )
    fitted.save(tmp_path, KMEANS)
    with pytest.raises(ValueError, match=f"expected a NamedTuple .* got {name}"):
        fitted.load(tmp_path)


def test_what_is_no_array_is_refused(tmp_path):
    with pytest.raises(TypeError, match="arrays of numbers; got centroids, object"):
        fitted.save(tmp_path, KMEANS._replace(centroids=object()))
    assert not fitted.exists(tmp_path)
