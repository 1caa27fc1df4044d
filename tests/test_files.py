"""Files whole or absent, and what is wrong with files of others."""

import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import files


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "text.json"
    files.write(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    files.write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["text.json"]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept.txt"
    files.write(path, "before")
    with pytest.raises(KeyboardInterrupt), files.whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["kept.txt"]
    with pytest.raises(RuntimeError), files.whole(tmp_path / "absent.txt") as partial:
        raise RuntimeError
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_what_a_killed_process_leaves_counts_as_left_behind(tmp_path):
    with files.whole(tmp_path / "arrays.npz") as partial:
        assert files.left_behind(partial.name)
        np.savez(partial, x=np.arange(3))  # adds .npz to other names
    np.testing.assert_array_equal(np.load(tmp_path / "arrays.npz")["x"], np.arange(3))


def test_two_writers_do_not_share_a_partial_file(tmp_path):
    path = tmp_path / "one.txt"
    with files.whole(path) as first, files.whole(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "elsewhere.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    files.write(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    files.write("~/folder/a.txt", "text")
    assert (tmp_path / "folder" / "a.txt").read_text() == "text"
    assert files.read_text("who", pathlib.Path("~/folder/a.txt")) == "text"


def test_cloud_storage_is_written_in_place(tmp_path, monkeypatch):
    """An epath without a network: gs:// is mapped to a folder."""
    from etils import epath

    monkeypatch.setattr(
        epath, "Path", lambda path: _Bucket(tmp_path / str(path).split("://")[1])
    )
    files.write("gs://bucket/run/config.json", "{}")
    assert (tmp_path / "bucket/run/config.json").read_text() == "{}"
    assert os.listdir(tmp_path / "bucket/run") == ["config.json"]
    log = files.Growing("gs://bucket/run/log", b"a\n")
    for whole in (b"a\nb\n", b"a\nb\nb\n"):
        log.add(b"b\n")
        assert (tmp_path / "bucket/run/log").read_bytes() == whole
    log.close()
    np.savez(tmp_path / "bucket/a.npz", x=np.arange(2))
    assert files.read_npz("who", "gs://bucket/a.npz")["x"].shape == (2,)


class _Bucket:
    """Passes on to a pathlib.Path without being one."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return f"gs://{self._path}"

    @property
    def parent(self):
        return _Bucket(self._path.parent)

    def __getattr__(self, name):
        return getattr(self._path, name)


def test_text_with_any_marks_and_line_ends(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\r\ndog\rhare\n")
    assert files.read_text("who", path) == "cat\ndog\nhare\n"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"who: expected UTF-8.*names\.txt; got byte 0"
    ):
        files.read_text("who", path)
    with pytest.raises(FileNotFoundError, match=r"who: expected a file; there is no"):
        files.read_text("who", tmp_path / "absent.txt")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        files.read_text("who", tmp_path)


def test_columns_of_a_table(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "table.csv"
    path.write_bytes(
        b'\xef\xbb\xbffile,age,hair\r\n1.png,7,"red, dyed"\r\n\r\n2.png,8,\r\n'
    )
    expected = {"hair": ["red, dyed", ""], "file": ["1.png", "2.png"]}
    assert files.read_csv("who", "~/table.csv", ("hair", "file")) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has nothing, and 0 rows"),
        (b"file,age\n", "it has file, age, and 0 rows"),
        (b"file,years\n1,2\n", "it has file, years, and 1 rows"),
        (b"file,age\n1,2\n3\n", "expected 2 cells .* got 1 in row 1"),
        (b"file,age\n1,2,3\n", "expected 2 cells .* got 3 in row 0"),
        (b"file,age\n" + 200_000 * b"x", "cannot be read: field larger than"),
        ("file,age\né,2\n".encode("latin-1"), "expected UTF-8"),
    ],
)
def test_tables_that_are_refused(tmp_path, content, message):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        files.read_csv("who", tmp_path / "table.csv", ("file", "age"))
    assert str(tmp_path / "table.csv") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "some.npz"
    np.savez_compressed(
        path, x=np.arange(6.0).reshape(2, 3), names=np.array(["a", "b"])
    )
    return path


def test_arrays_are_read_by_name(npz):
    assert set(files.read_npz("who", npz)) == {"x", "names"}
    assert set(files.read_npz("who", npz, ("x",))) == {"x"}
    with pytest.raises(ValueError, match=r"some\.npz; it has no y, but x, names"):
        files.read_npz("who", npz, ("x", "y"))


def test_arrays_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "odd.npz"
    np.savez(path, x=np.array([None, 1], object))
    with pytest.raises(ValueError, match=r"odd\.npz cannot be read: Object arrays"):
        files.read_npz("who", path)
    np.savez(path, x=np.asarray(jnp.zeros(3, jnp.bfloat16)))
    with pytest.raises(ValueError, match=r"x in .*odd\.npz has type .*bfloat16"):
        files.read_npz("who", path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match="single array"):
        files.read_npz("who", tmp_path / "one.npy")
    np.testing.assert_array_equal(
        files.map_npy("who", tmp_path / "one.npy"), np.zeros(3)
    )
    with pytest.raises(ValueError, match=r"expected an \.npy file; .*odd\.npz is som"):
        files.map_npy("who", path)


@pytest.mark.parametrize("form", ["npz", "npy"])
def test_a_damaged_file_is_one_line_that_names_it(npz, form):
    """Cut off anywhere, or with any byte changed: read, or refused in one line."""
    read = {"npz": files.read_npz, "npy": files.map_npy}[form]
    if form == "npy":
        with npz.open("wb") as file:
            np.save(file, np.arange(6.0).reshape(2, 3))
    content = npz.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in range(0, len(content), 7)]
    for _ in range(200):
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    refused = 0
    for bad in damaged:
        npz.write_bytes(bad)
        try:
            read("who", npz)
        except ValueError as error:
            refused += 1
            assert "some.npz" in str(error) and "\n" not in str(error)
    assert refused > len(range(0, len(content), 7))
