"""PolyMNIST in files: what was composed is read back, and spoiled folders are named."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from repr_jax.data import polymnist, polymnist_files

MODALITIES = polymnist.MODALITIES


@pytest.fixture(scope="module")
def data():
    return polymnist.composed()


def prepared(data, batch):
    return jax.tree.map(np.asarray, jax.jit(data.prepare)(batch))


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    """Official layout: the first 25 training and 12 test tuples."""
    path = tmp_path_factory.mktemp("polymnist")
    polymnist_files.write_folder(data, path, "train", num_examples=25, batch_size=16)
    polymnist_files.write_folder(data, path, "test", num_examples=12, batch_size=16)
    return path


@pytest.fixture
def files(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "files")


def test_folder_reads_what_was_composed(data, written):
    folder = polymnist_files.folder(path=written)
    assert folder.num_examples == {"train": 25, "test": 12}
    assert folder.modalities == MODALITIES
    assert (written / "test" / "m3" / "1.0.png").is_file()  # the second zero
    for split, count in folder.num_examples.items():
        (batch,) = folder.evaluate(split, count)
        expected = prepared(data, next(data.evaluate(split, count)))
        images = prepared(folder, batch)
        assert images.keys() == expected.keys()
        for name in MODALITIES:
            assert batch[name].dtype == np.uint8 and images[name].dtype == np.float32
        for name in images:
            np.testing.assert_allclose(images[name], expected[name], atol=1e-6)


def test_folder_trains_like_any_dataset(written):
    def start(step):
        return polymnist_files.folder(path=written, modalities=("m2", "m0")).train(
            10, step
        )

    batches = [batch for batch, _ in zip(start(0), range(5))]
    labels = np.concatenate([batch["label"] for batch in batches])
    np.testing.assert_array_equal(np.bincount(labels), [6] * 5 + [4] * 5)  # two epochs
    assert set(batches[0]) == {"m2", "m0", "label"}
    for name, values in next(start(3)).items():
        np.testing.assert_array_equal(values, batches[3][name])


def test_folder_orders_files_by_number(files, caplog):
    for modality in MODALITIES:
        folder = files / "test" / modality
        (folder / "1.0.png").rename(folder / "10.0.png")
        (folder / "notes.txt").write_text("other files are passed over")
        (folder / "._0.1.png").write_bytes(b"what a Mac leaves is ignored")
        (folder / ".ipynb_checkpoints").mkdir()
    (batch,) = polymnist_files.folder(path=files).evaluate("test", 12)
    np.testing.assert_array_equal(batch["label"], [*range(10), 1, 0])
    assert len(caplog.records) == len(MODALITIES)
    assert "test/m0: passed over 1 other files (1 .txt)." in caplog.text


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (
            lambda p: shutil.rmtree(p / "test"),
            FileNotFoundError,
            "test: .*there are none",
        ),
        (lambda p: shutil.rmtree(p), FileNotFoundError, "train: .*there are none"),
        (
            lambda p: [file.unlink() for file in (p / "train/m1").iterdir()],
            FileNotFoundError,
            "index.label.png in m1; there are none",
        ),
        (
            lambda p: (p / "train/m4/1.3.png").unlink(),
            FileNotFoundError,
            "m4 lacks 1 that others have, such as 1.3.png",
        ),
        (
            lambda p: (p / "train/m2/0.0.png").rename(p / "train/m2/zero.png"),
            ValueError,
            "expected index.label.png; got m2/zero.png",
        ),
        (
            lambda p: Image.new("RGB", (32, 30)).save(p / "test/m0/0.0.png"),
            ValueError,
            "28 x 28 pixels in RGB; .*0.0.png has 32 x 30 in RGB",
        ),
        (
            lambda p: Image.new("L", (28, 28)).save(p / "test/m0/0.0.png"),
            ValueError,
            "28 x 28 pixels in RGB; .*0.0.png has 28 x 28 in L",
        ),
        (
            lambda p: (p / "test/m0/0.0.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
            ValueError,
            "test/m0/0.0.png: expected a whole image",
        ),
    ],
)
def test_spoiled_folders_are_refused(files, spoil, error, message):
    spoil(files)
    with pytest.raises(error, match=message) as caught:
        polymnist_files.folder(path=files)
    assert "\n" not in str(caught.value)


def test_unknown_modality_of_a_folder_names_those_there(written):
    with pytest.raises(ValueError, match="among m0, m1, m2, m3, m4; got 'm5'"):
        polymnist_files.folder(path=written, modalities=("m0", "m5"))


def test_a_wrong_size_is_noticed_in_any_row(files):
    Image.new("RGB", (32, 32)).save(files / "test/m1/0.7.png")
    folder = polymnist_files.folder(path=files)
    with pytest.raises(ValueError, match=r"0.7.png has 32 x 32"):
        list(folder.evaluate("test", 12))
