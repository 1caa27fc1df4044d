"""Camelyon17 and FMoW: trees of a few rows in the layout of WILDS."""

import jax
import numpy as np
import pytest

from repr_jax.data import shift, wilds
from tests.wilds_trees import write_image, write_table


@pytest.fixture
def camelyon17(tmp_path):
    """20 rows: each hospital's slide twice two patches, the last in id_val."""
    folder, rows = tmp_path / "camelyon17_v1.0", []
    for i in range(20):
        center = i % 5
        row = {"": i, "patient": f"{center:03}", "node": i % 3, "x_coord": 32 * i}
        row |= {"y_coord": 7, "tumor": (i // 5) % 2, "slide": 10 * center + i // 10}
        row |= {"center": center, "split": int(i >= 15)}
        rows.append(row)
        name = f"patient_{center:03}_node_{i % 3}"
        file = f"patch_{name}_x_{32 * i}_y_7.png"
        write_image(folder / "patches" / name / file, 96, i)
    write_table(folder / "metadata.csv", rows)
    return folder


PARTS = ("train", "val", "test", "seq")


@pytest.fixture
def fmow(tmp_path):
    """24 rows, of which six are of "seq"."""
    folder, rows = tmp_path / "fmow_v1.1", []
    for i in range(24):
        part, kind = PARTS[i % 4], ("zoo", "airport", "park")[i % 3]
        year = (2005, 2012, 2013, 2015, 2016, 2017)[i // 4]
        place = f"{part}/{kind}/{kind}_{i // 8}/{kind}_{i // 8}_{i}_rgb.jpg"
        row = {
            "split": part,
            "category": kind,
            "country_code": ("FRA", "JPN", "XKX")[i % 3],
        }
        rows.append(row | {"timestamp": f"{year}-01-01T10:00:00Z", "img_path": place})
        write_image(folder / "images" / f"rgb_img_{i}.png", 224, i)
    write_table(folder / "rgb_metadata.csv", rows)
    codes = [("FRA", "Europe"), ("JPN", "Asia"), ("ATA", "")]
    codes = [{"name": c, "alpha-3": c, "region": r} for c, r in codes]
    write_table(folder / "country_code_mapping.csv", codes)
    return folder


def everything(dataset, split):
    batches = list(dataset.evaluate(split, 3))
    where = np.concatenate([b["where"] for b in batches])
    return {k: np.concatenate([b[k] for b in batches])[where] for k in batches[0]}


def test_camelyon17_has_the_published_splits(camelyon17):
    table = wilds.camelyon17_table(str(camelyon17))
    splits, counts = np.unique(table.splits, return_counts=True)
    # hospitals 0, 3, 4: three in train and one in id_val each; all of 1 val, of 2 test
    expected = {"train": 9, "id_val": 3, "val": 4, "test": 4}
    assert dict(zip(splits.tolist(), counts.tolist())) == expected
    dataset = wilds.published(table=table, size=96, head_share=0.5)
    sizes = {"train": 9, "test": 3, "ood_val": 4, "ood_head": 2, "ood_test": 2}
    assert dict(dataset.num_examples) == sizes
    seen = []
    for split in sizes:
        x = everything(dataset, split)
        seen += x["index"].tolist()
        np.testing.assert_array_equal(x["image"][:, 5, 5, 0], x["index"])
        np.testing.assert_array_equal(x["domain"], x["index"] % 5)
        np.testing.assert_array_equal(x["label"], x["index"] // 5 % 2)
    assert sorted(seen) == list(range(20))
    head, test = (
        everything(dataset, s)["index"] // 10 for s in ("ood_head", "ood_test")
    )
    assert not set(head) & set(test)  # whole slides
    batch = next(dataset.train(4))
    image = jax.jit(dataset.prepare)(batch)["image"]
    assert image.shape == (4, 96, 96, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image[:, 0, 0, 2], 1.0)


def test_fmow_has_the_published_splits(fmow):
    table = wilds.fmow_table(str(fmow))
    assert len(table.paths) == 18 and table.num_labels == 3  # without seq
    found = {s: table.numbers[table.splits == s].tolist() for s in wilds.PUBLISHED}
    assert found["train"] == [0, 4]  # 2005 and 2012
    assert found["id_val"] == [1, 5] and found["id_test"] == [2, 6]
    assert found["val"] == [9, 13] and found["test"] == [18, 22]
    assert (table.splits == "").sum() == 8
    kinds = np.array(["zoo", "airport", "park"])[table.numbers % 3]
    names = np.array(["airport", "park", "zoo"])[table.labels]
    np.testing.assert_array_equal(kinds, names)
    regions = np.array(wilds.REGIONS)[table.domains]
    expected = np.array(["Europe", "Asia", "Other"])[table.numbers % 3]
    np.testing.assert_array_equal(regions, expected)
    dataset = wilds.published(
        table=lambda: wilds.fmow_table(str(fmow)), size=224, head_share=0.5
    )
    assert dataset.num_examples["id_test"] == 2
    x = everything(dataset, "ood_val")
    np.testing.assert_array_equal(x["image"][:, 0, 0, 0], [9, 13])


def large(n=4000):
    """A table without files, for what chooses rows."""
    rng = np.random.default_rng(0)
    return wilds.Table(
        paths=[""] * n,
        labels=rng.integers(2, size=n).astype(np.int32),
        domains=rng.integers(5, size=n).astype(np.int32),
        groups=rng.integers(80, size=n),
        splits=np.full(n, "train"),
        numbers=np.arange(n),
        num_labels=2,
    )


def test_chosen_rows_have_the_correlation_and_no_group_is_in_two_splits(monkeypatch):
    image = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(wilds.image_files, "read", lambda path: image)
    table, grid = large(), (0.0, 0.5, 1.0)
    options = dict(table=table, size=8, grid=grid, assignment=wilds.HOSPITAL_LABELS)
    sizes, groups = [], {}
    for r in grid:
        dataset = wilds.controlled(**options, r_id=r)
        sizes.append(dataset.num_examples["train"])
        for split in shift.SPLITS:
            x = everything(dataset, split)
            assert 1 not in x["domain"]
            match = np.isin(x["domain"], (2, 4)) == x["label"]
            q = shift.match_rate(r if split in ("train", "test") else 0.0, 2)
            assert abs(match.mean() - q) < 0.02
            groups.setdefault(split, set()).update(table.groups[x["index"]].tolist())
    assert max(sizes) - min(sizes) <= 8
    assert sum(map(len, groups.values())) == len(set().union(*groups.values()))
    lifted = wilds.controlled(**{**options, "assignment": None}, r_id=0.5)
    assigned = [ys for ys in shift.by_lift(table.domains, table.labels, 2) if ys]
    assert sorted(assigned) == [(0,), (1,)]  # each label goes to one hospital
    assert len(set(everything(lifted, "train")["domain"].tolist())) == 2


def test_missing_files_and_sizes_are_told(tmp_path, camelyon17):
    with pytest.raises(FileNotFoundError, match=r"expected metadata\.csv in .*absent"):
        wilds.camelyon17_table(str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match=r"expected rgb_metadata\.csv in"):
        wilds.fmow_table(str(tmp_path))
    table = wilds.camelyon17_table(str(camelyon17))
    dataset = wilds.published(table=table, size=32, head_share=0.5)
    with pytest.raises(ValueError, match=r"expected images 32 x 32; .* is 96 x 96"):
        next(dataset.train(2))
    (camelyon17 / "metadata.csv").write_text("patient,node\n1,2\n")
    with pytest.raises(
        ValueError, match=r"expected columns patient, node, .*; it has patient, node"
    ):
        wilds.camelyon17_table(str(camelyon17))
    with pytest.raises(ValueError, match=r"expected r of the grid"):
        wilds.controlled(table=large(), size=8, grid=(0.0, 0.5), r_id=1.0)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metadata", ",7,1,", ",7,2,", "tumor a whole number in .0, 2. .*; got '2' in"),
        ("metadata", ",4,0\n", ",,0\n", "center a whole number .*; got '' in row 4"),
        ("rgb_metadata", "2012-", "12-", "the year a whole .*; got '12-0' in row 4"),
    ],
)
def test_cells_that_cannot_be_are_named(camelyon17, fmow, name, old, new, message):
    folder = camelyon17 if name == "metadata" else fmow
    read = wilds.camelyon17_table if name == "metadata" else wilds.fmow_table
    path = folder / f"{name}.csv"
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    assert path.read_text() != text
    with pytest.raises(ValueError, match=message) as error:
        read(str(folder))
    assert str(path) in str(error.value)
