"""torch's two formats: files written here by hand, and files that lie."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data import torch_file

MACHINE = {"protocol_version": 1001, "little_endian": True}


class Tensor:
    """Pickled as torch does it: a call of a name, with a storage that comes later."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, {})

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Storage:
    def __init__(self, kind, name, values):
        self.kind, self.name, self.values = kind, name, values


class Pickler(pickle.Pickler):
    def persistent_id(self, x):
        if isinstance(x, Storage):
            kind = getattr(sys.modules["torch"], x.kind)
            return "storage", kind, x.name, "cpu", len(x.values), None
        return None


@pytest.fixture
def named_as_torch(monkeypatch):
    """Modules of torch's names, whose content can be pickled by name."""

    def rebuild():
        """Never called."""

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch, inside = types.ModuleType("torch"), types.ModuleType("torch._utils")
    inside._rebuild_tensor_v2 = rebuild
    for name in (*torch_file.DTYPES, "ComplexFloatStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", inside)


def written(state, storages, *, magic=torch_file.MAGIC, version=1001, machine=None):
    file = io.BytesIO()
    machine = MACHINE if machine is None else machine
    for x in (magic, version, machine, state, [s.name for s in storages]):
        Pickler(file, protocol=2).dump(x)
    for s in storages:
        file.write(len(s.values).to_bytes(8, "little") + s.values.tobytes())
    return file.getvalue()


def read(tmp_path, content, **options):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return torch_file.read(path, **options)


def test_every_kind_of_tensor_is_read(tmp_path, named_as_torch):
    values = {
        kind: np.arange(6).astype(dtype) for kind, dtype in torch_file.DTYPES.items()
    }
    storages = [Storage(kind, kind[:2], x) for kind, x in values.items()]
    state = collections.OrderedDict(
        (s.kind, Tensor(s, 0, (2, 3), (3, 1))) for s in storages
    )
    state._metadata = collections.OrderedDict({"": {"version": 1}})  # as torch does
    found = read(tmp_path, written(state, storages))
    assert list(found) == list(torch_file.DTYPES)
    for kind, x in values.items():
        assert found[kind].dtype == x.dtype
        np.testing.assert_array_equal(found[kind], x.reshape(2, 3))
    assert found["BFloat16Storage"].dtype == jnp.bfloat16


def test_tensors_are_views_of_storages(tmp_path, named_as_torch):
    x = np.arange(10, dtype=np.float32)
    storage = Storage("FloatStorage", "7", x)
    state = {
        "transposed": Tensor(storage, 1, (2, 3), (1, 2)),
        "scalar": Tensor(storage, 9, (), ()),
        "empty": Tensor(storage, 10, (0, 4), (4, 1)),
        "repeated": Tensor(storage, 4, (3,), (0,)),
    }
    found = read(tmp_path, written(state, [storage]))
    np.testing.assert_array_equal(found["transposed"], [[1, 3, 5], [2, 4, 6]])
    assert found["scalar"].shape == () and found["scalar"] == 9
    assert found["empty"].shape == (0, 4)
    np.testing.assert_array_equal(found["repeated"], [4, 4, 4])
    found["scalar"][...] = 0  # its own memory
    assert found["transposed"].flags.c_contiguous


def test_nothing_but_tensors_is_called(tmp_path, named_as_torch):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    storage = Storage("FloatStorage", "1", np.zeros(1, np.float32))
    for content in (
        written({"x": Bad()}, []),
        written({}, [], magic=Bad()),
        written({}, [], machine=Bad()),
    ):
        with pytest.raises(ValueError, match=r"would call posix\.mkdir"):
            read(tmp_path, content)
    foreign = Storage("ComplexFloatStorage", "1", storage.values)
    with pytest.raises(ValueError, match=r"would call torch\.ComplexFloatStorage"):
        read(tmp_path, written({"x": Tensor(foreign, 0, (1,), (1,))}, [foreign]))
    assert not (tmp_path / "harm").exists()


def test_files_cut_short_anywhere_are_told(tmp_path, named_as_torch):
    storage = Storage("FloatStorage", "7", np.arange(10, dtype=np.float32))
    content = written({"x": Tensor(storage, 0, (10,), (1,))}, [storage])
    np.testing.assert_array_equal(read(tmp_path, content)["x"], storage.values)
    for length in range(len(content)):
        with pytest.raises(ValueError, match="expected"):
            read(tmp_path, content[:length])


def test_other_files_are_told(tmp_path, named_as_torch):
    one = Storage("FloatStorage", "1", np.zeros(4, np.float32))
    whole = (4,), (1,)

    def state(storage=one, offset=0, shape=(4,), strides=(1,)):
        return {"x": Tensor(storage, offset, shape, strides)}

    cases = [
        (b"PK\x03\x04 and more", "a whole archive of torch"),
        (b"no pickle at all", "a pickle of torch, whole"),
        (pickle.dumps([1, 2]), "a format of torch; got another"),
        (written(state(), [one], version=1000), "version 1001, little-endian"),
        (written(state(), [one], machine={}), "version 1001, little-endian"),
        (written(state(), [one], machine=3), "version 1001, little-endian"),
        (written([1], []), "dict of tensors; got list"),
        (written({"x": 3}, []), "x a dense tensor; got 3"),
        (written(state("no storage"), []), "x a dense tensor"),
        (written(state(shape=(-4,)), [one]), "x a dense tensor"),
        (written(state(offset=2), [one]), "within the 4 elements of its storage"),
        (written(state(strides=(2,)), [one]), "it ends at 7"),
        (written(state(), []), "storages of its tensors and no others"),
        (written({}, [one]), "storages of its tensors and no others"),
        (written(state(), [one])[:-24] + bytes(24), "the file says 0"),
    ]
    for content, words in cases:
        with pytest.raises(ValueError, match=r"weights\.pth: expected") as error:
            read(tmp_path, content)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
        assert words in str(error.value)
    assert read(tmp_path, written({"x": Tensor(one, 0, *whole)}, [one]))["x"].size == 4
    with pytest.raises(FileNotFoundError):
        torch_file.read(tmp_path / "absent.pth")


class ZipPickler(Pickler):
    def persistent_id(self, x):
        found = super().persistent_id(x)
        return found if found is None else found[:-1]


def zipped(state, storages, *, order=b"little", compression=zipfile.ZIP_STORED):
    """The format since version 1.6."""
    pickled, file = io.BytesIO(), io.BytesIO()
    ZipPickler(pickled, 2).dump(state)
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("weights/data.pkl", pickled.getvalue())
        archive.writestr("weights/byteorder", order)
        for storage in storages:
            archive.writestr(f"weights/data/{storage.name}", storage.values.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("write", [written, zipped])
def test_both_formats_hold_a_state_dict_or_a_dict_of_them(
    write, tmp_path, named_as_torch
):
    a = Storage("FloatStorage", "0", np.arange(6, dtype=np.float32))
    b = Storage("LongStorage", "1", np.arange(3))
    x = {"w": Tensor(a, 0, (3, 2), (1, 3)), "n": Tensor(b, 2, (), ())}
    found = read(tmp_path, write(collections.OrderedDict(x), [a, b]))
    np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3).T)
    assert found["n"] == 2
    content = write({"model": x, "other": {"v": Tensor(b, 0, (3,), (1,))}}, [a, b])
    found = read(tmp_path, content, entry="model")
    np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3).T)
    with pytest.raises(ValueError, match="with entry='model' it may be"):
        read(tmp_path, content)
    with pytest.raises(ValueError, match="expected an entry 'teacher'; got model, oth"):
        read(tmp_path, content, entry="teacher")


def test_damaged_archives_are_one_line(tmp_path, named_as_torch):
    one = Storage("FloatStorage", "0", np.arange(10, dtype=np.float32))
    state = {"x": Tensor(one, 0, (10,), (1,))}
    content = zipped(state, [one])
    cases = [
        (zipped(state, []), "expected 10 elements of storage 0; got 0 bytes"),
        (zipped(state, [one], order=b"big"), "little-endian"),
        (zipped(state, [one], compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped({"x": 3}, []), "x a dense tensor; got 3"),
        (zipped([1], []), "dict of tensors; got list"),
        (content.replace(b"data.pkl", b"data.bkl"), "a data.pkl"),
    ]
    for damaged, words in cases:
        with pytest.raises(ValueError, match=r"weights\.pth: expected") as error:
            read(tmp_path, damaged)
        assert words in str(error.value)
    for length in range(4, len(content)):
        with pytest.raises(ValueError, match=r"weights\.pth: expected"):
            read(tmp_path, content[:length])
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(4, len(content))] = rng.integers(256)
        try:
            found = read(tmp_path, bytes(changed))
        except ValueError as error:
            assert "weights.pth" in str(error) and "\n" not in str(error)
        else:
            assert isinstance(found, dict)


def nested(kind, depth=60):
    """Sixty levels of two references each: 2**60 leaves in a few hundred bytes."""
    x = kind()
    for _ in range(depth):
        x = kind((x, x))
    return x


def test_what_would_take_forever_to_print_or_hash_is_refused_at_once(
    tmp_path, named_as_torch
):
    values = (nested(list), nested(tuple))
    one = Storage("FloatStorage", "1", np.zeros(4, np.float32))
    of_nested = Tensor(values[1], 0, (1,), (1,))
    contents = [
        *(written({"x": x}, []) for x in values),
        *(written(x, []) for x in values),
        *(written({}, [], magic=x) for x in values),
        *(written({}, [], version=x) for x in values),
        *(written({}, [], machine=x) for x in values),
        *(written({"x": Tensor(one, 0, x, x)}, [one]) for x in values),
        written({"x": of_nested}, []),
        b"".join(pickle.dumps(x, 2) for x in (torch_file.MAGIC, 1001, MACHINE, {})),
    ]
    contents[-1] += pickle.dumps(values[0], 2)  # in place of the names of storages
    key = io.BytesIO()  # {nested: 1}, which Python itself could not build
    pickle.Pickler(key, 2).dump((values[1], 1))
    text = key.getvalue()
    assert text[:2] == b"\x80\x02" and text[-4:-2] == b"\x86q"
    contents.append(b"\x80\x02}" + text[2:-4] + b"s.")
    for content in contents:
        assert len(content) < 2_000
        with pytest.raises(ValueError, match=r"weights\.pth: expected") as error:
            read(tmp_path, content)
        assert len(str(error.value)) < 400


def test_a_small_file_takes_little_memory(tmp_path, named_as_torch):
    one = Storage("FloatStorage", "1", np.zeros(4, np.float32))
    for shape in ((2**40,), (2**20, 2**20), (0, 2**40, 2**40)):
        state = {"x": Tensor(one, 0, shape, (0,) * len(shape))}
        with pytest.raises(ValueError, match="of at most 1048576 elements"):
            read(tmp_path, written(state, [one]))
    with pytest.raises(ValueError, match="expected"):  # a text of 2**62 bytes
        read(tmp_path, b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"text.")
    with pytest.raises(ValueError, match="a large number"):
        read(tmp_path, pickle.dumps(2**1000, 2))


def test_damage_is_one_line(tmp_path, named_as_torch):
    storage = Storage("FloatStorage", "7", np.arange(10, dtype=np.float32))
    content = written({"x": Tensor(storage, 0, (10,), (1,))}, [storage])
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(len(content) - 40)] = rng.integers(256)
        try:
            read(tmp_path, bytes(changed))
        except ValueError as error:
            refused += 1
            assert "weights.pth" in str(error) and "\n" not in str(error)
    assert refused > 150


def test_state_dicts_of_python_2(tmp_path):
    """Text in bytes, and a dict made of a list of pairs."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x017U\x03cpuK\x04NtQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00(K\x04t(K\x01ttR"
    )
    state = b"ccollections\nOrderedDict\n(](](U\x01x" + tensor + b"eetR"
    content = b"".join(pickle.dumps(x, 2) for x in (torch_file.MAGIC, 1001, MACHINE))
    content += b"\x80\x02" + state + b"." + pickle.dumps(["7"], 2)
    content += (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    np.testing.assert_array_equal(read(tmp_path, content)["x"], np.arange(4))
