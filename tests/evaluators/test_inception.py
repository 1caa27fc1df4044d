"""Inception's features against those of a PyTorch code, with weights drawn by NumPy."""

import pathlib

import numpy as np
import pytest

from repr_jax.data import torch_file
from repr_jax.evaluators import inception

LAYERS = pathlib.Path(__file__).parent / "inception_layers.txt"  # name and shape
# InceptionV3([3]) of pytorch-fid 0.3.0 (torch 2.11), of the weights and images below:
# columns 0, 512, 1024, 1536; mean and standard deviation of a row
EXPECTED = [
    [0.0828557, 0.13033277, 0, 0.01009179],
    [0.0627709, 0.20429021, 0, 0.01008956],
]
MEANS, SPREADS = [0.7122136, 0.7105849], [0.94116443, 0.9401036]


def drawn():
    rng, found = np.random.default_rng(0), {}
    for line in LAYERS.read_text().splitlines():
        name, *shape = line.split()
        out, into, height, width = map(int, shape)
        kernel = rng.normal(size=(out, into, height, width))
        arrays = {
            "conv.weight": kernel * (2 / (into * height * width)) ** 0.5,
            "bn.weight": rng.uniform(0.8, 1.2, out),
            "bn.bias": 0.1 * rng.normal(size=out),
            "bn.running_mean": 0.1 * rng.normal(size=out),
            "bn.running_var": rng.uniform(0.8, 1.2, out),
        }
        found |= {f"{name}.{part}": x.astype("f") for part, x in arrays.items()}
    return found


@pytest.mark.slow
def test_features_are_those_of_the_peer(monkeypatch):
    files = {"weights.pth": {**drawn(), "fc.bias": np.zeros(1008, "f")}}
    monkeypatch.setattr(torch_file, "read", files.__getitem__)
    images = np.random.default_rng(1).uniform(size=(2, 28, 28, 3)).astype("f")
    found = np.asarray(inception.features(images, path="weights.pth"))
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found[:, ::512], EXPECTED, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=1), MEANS, rtol=1e-4)
    np.testing.assert_allclose(found.std(axis=1), SPREADS, rtol=1e-4)


def test_other_images_and_files_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"inception\.features: expected \[batch"):
        inception.features(np.zeros((2, 28, 28, 4), "f"), path="none")
    with pytest.raises(TypeError, match="images of floats"):
        inception.features(np.zeros((2, 28, 28, 3), int), path="none")
    monkeypatch.setattr(torch_file, "read", lambda path: {"fc.bias": np.zeros(2)})
    with pytest.raises(ValueError, match="expected weights such as Conv2d_1a_3x3"):
        inception.features(np.zeros((2, 28, 28, 1), "f"), path="other")
