"""Image files: depth, orientation, transparency, damage, and what lies around them."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from repr_jax.data import image_files


def png(width, height, depth, color, rows, chunks=()):
    """A PNG file written by hand; rows are the bytes of the scan lines."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def read(tmp_path, content, name="image.png"):
    path = tmp_path / name
    path.write_bytes(content)
    return image_files.read(path)


RAMP = np.linspace(0, 65535, 64).round().astype(">u2")
RAMP_8 = np.linspace(0, 255, 64)


def test_gray_of_16_bits_is_scaled(tmp_path):
    found = read(tmp_path, png(64, 1, 16, 0, [RAMP.tobytes()]))
    assert found.shape == (1, 64, 3) and found.dtype == np.uint8
    np.testing.assert_allclose(found[0], RAMP_8[:, None].repeat(3, 1), atol=0.51)
    assert found[0, 0, 0] == 0 and found[0, -1, 0] == 255


def test_color_of_16_bits_is_scaled(tmp_path):
    values = np.stack([RAMP, RAMP[::-1], RAMP], axis=1).astype(">u2")
    found = read(tmp_path, png(64, 1, 16, 2, [values.tobytes()]))
    np.testing.assert_allclose(found[0, :, 0], RAMP_8, atol=1)
    np.testing.assert_allclose(found[0, :, 1], RAMP_8[::-1], atol=1)


def test_gray_of_16_bits_with_alpha_is_laid_over_white(tmp_path):
    alpha = np.where(np.arange(64) < 32, 0, 65535).astype(">u2")
    row = np.stack([RAMP, alpha], axis=1).astype(">u2").tobytes()
    found = read(tmp_path, png(64, 1, 16, 4, [row]))
    assert (found[0, :32] == 255).all()
    np.testing.assert_allclose(found[0, 32:, 0], RAMP_8[32:], atol=1)


def test_the_one_transparent_value_of_16_bits_is_white(tmp_path):
    clear = (b"tRNS", RAMP[3:4].tobytes())
    found = read(tmp_path, png(64, 1, 16, 0, [RAMP.tobytes()], [clear]))
    assert (found[0, 3] == 255).all() and (found[0, [2, 4]] < 30).all()


def test_tiff_of_16_bits_and_of_floats(tmp_path):
    Image.fromarray(RAMP.astype("<u2")[None]).save(tmp_path / "a.tiff")
    found = image_files.read(tmp_path / "a.tiff")
    np.testing.assert_allclose(found[0, :, 0], RAMP_8, atol=0.51)
    Image.fromarray(np.float32([[0.5, 2.0]])).save(tmp_path / "b.tiff")
    with pytest.raises(
        ValueError, match=r"8 or 16 bits; got mode F with values from 0\.5"
    ):
        image_files.read(tmp_path / "b.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(tmp_path, orientation):
    """What was saved turned the other way comes out as the same upright picture."""
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0] = upright[0, 1] = upright[1, 0] = (255, 0, 0)
    upright[3, 5] = (0, 0, 255)
    stored = {  # by hand: EXIF 2.32, 4.6.4, row 0 and column 0 of what is stored
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.png"), upright)


def test_transparent_parts_are_white(tmp_path):
    pixels = np.full((2, 2, 4), (200, 0, 0, 255), np.uint8)
    pixels[0, 0] = (0, 0, 0, 0)  # hidden black
    pixels[1, 1] = (0, 0, 0, 51)  # a fifth of black
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = image_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found[0], [[255] * 3, [200, 0, 0]])
    np.testing.assert_array_equal(found[1, 1], [204] * 3)
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([0, 0, 0, 10, 20, 30])
    indexed.putdata([0, 1])
    indexed.save(tmp_path / "p.png", transparency=0)
    np.testing.assert_array_equal(
        image_files.read(tmp_path / "p.png")[0], [[255] * 3, [10, 20, 30]]
    )


def test_an_ordinary_image_is_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.png"), pixels)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(
        image_files.read(tmp_path / "gray.png"), pixels[..., :1].repeat(3, axis=2)
    )


def test_damage_is_one_line_that_names_the_file(tmp_path):
    buffers = {}
    pixels = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    for kind in ("png", "jpeg", "webp", "bmp"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        buffers[kind] = buffer.getvalue()
    rng = np.random.default_rng(1)
    refused = 0
    for kind, content in buffers.items():
        cuts = [content[:n] for n in range(0, len(content) - 12, len(content) // 20)]
        for _ in range(40):
            changed = bytearray(content)
            changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
            cuts.append(bytes(changed))
        for bad in cuts:
            try:
                read(tmp_path, bad, f"bad.{kind}")
            except ValueError as error:
                refused += 1
                assert f"bad.{kind}" in str(error) and "\n" not in str(error)
    assert refused >= 60
    with pytest.raises(ValueError, match=r"bad\.png: expected a whole image; got"):
        read(tmp_path, buffers["png"][:300], "bad.png")
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        image_files.read(tmp_path / "absent.png")


@pytest.fixture
def classes(tmp_path):
    """Two classes, and what a Mac, Windows and a notebook leave around them."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "0.png")
    junk = (
        ".DS_Store",
        "Thumbs.db",
        "cat/.DS_Store",
        "cat/._0.png",
        ".ipynb_checkpoints/0-checkpoint.png",
        "__MACOSX/cat/._0.png",
        "__MACOSX/cat/0.png",
    )
    for name in junk:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"junk")
    return tmp_path


def test_what_systems_leave_behind_is_ignored(classes, caplog):
    paths, names = image_files.list_folder(classes)
    assert names == ["cat", "dog"]
    assert [path.split("/")[-2:] for path in paths] == [
        ["cat", "0.png"],
        ["dog", "0.png"],
    ]
    assert not caplog.records


def test_images_are_found_at_any_depth_and_in_any_case(tmp_path):
    for name in ("b/2.JPG", "a/x/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    paths, names = image_files.list_folder(tmp_path)
    assert paths == [str(tmp_path / "a/x/1.png"), str(tmp_path / "b/2.JPG")]
    assert names == ["a", "b"]


def test_files_passed_over_are_counted_in_one_line(classes, caplog):
    (classes / "cat" / "1.gif").write_bytes(b"")
    (classes / "cat" / "2.GIF").write_bytes(b"")
    (classes / "dog" / "notes.txt").write_bytes(b"")
    (classes / "hare").mkdir()
    (classes / "hare" / "0.gif").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        image_files.list_folder(classes)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "passed over 4 other files (3 .gif, 1 .txt); 1 folders without an image, such "
        "as hare."
    )


def test_folders_without_images_are_refused(classes, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no folder"):
        image_files.list_folder(classes / "hare")
    Image.new("RGB", (4, 4)).save(classes / "flat.png")
    with pytest.raises(ValueError, match="or else in folders in it; got 1 and 2"):
        image_files.list_folder(classes)
    monkeypatch.setenv("HOME", str(classes))
    assert image_files.list_folder("~/cat")[1] is None


def test_images_of_unequal_size_name_two_files():
    images = [np.zeros((4, 6, 3)), np.zeros((4, 6, 3)), np.zeros((5, 6, 3))]
    with pytest.raises(
        ValueError, match=r"who: .* a\.png is 6 x 4 and c\.png is 6 x 5"
    ):
        image_files.stack(images, ["a.png", "b.png", "c.png"], "who")
    assert image_files.stack(images[:2], ["a", "b"], "who").shape == (2, 4, 6, 3)


def test_the_square_is_the_middle():
    image = np.zeros((8, 20, 1), np.uint8)
    image[:, 6:14] = 200
    assert (image_files.square(image, 4) == 200).all()
    assert (image_files.square(image.transpose(1, 0, 2), 4) == 200).all()
    image[2:6, 8:12] = 100
    assert (image_files.square(image, 2, crop=4) == 100).all()
