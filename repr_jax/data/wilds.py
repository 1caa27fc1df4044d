"""Camelyon17 and FMoW in the folders of WILDS, as published or correlated at will.

A batch after `prepare` has "image" float32 [batch, height, width, 3] in [0, 1]; "label"
int32 [batch]; "spurious" and "domain" int32, both the hospital or the region; "index"
int32, the row of the metadata; and "where" bool in evaluation. Images are decoded each
time they are needed.

Camelyon17 1.0, camelyon17_v1.0/: metadata.csv, and patches/patient_P_node_N/ with
patch_patient_P_node_N_x_X_y_Y.png, 96 x 96. Label: a tumor in the middle; domain:
hospital 0 to 4; group: slide 0 to 49. FMoW 1.1, fmow_v1.1/: rgb_metadata.csv,
country_code_mapping.csv, and images/rgb_img_ROW.png, 224 x 224. Label: one of 62 kinds
of land use, in the order of the alphabet; domain: region, see REGIONS; group: the place
that is shown. `data.histology` and `data.land_use` draw such images.

Source: Koh et al., "WILDS: A Benchmark of in-the-Wild Distribution Shifts", 2021,
https://arxiv.org/abs/2012.07421, and code, whose splits these are. Subsets with a
stated correlation of domain and label: Shi et al., 2023,
https://arxiv.org/abs/2206.08871; the construction is ours, see `data.shift`.
"""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from repr_jax import files
from repr_jax.data import image_files
from repr_jax.data import shift as shifts
from repr_jax.data.dataset import Dataset, of_rows, unit_pixels
from repr_jax.ops import checks

REGIONS = ("Asia", "Europe", "Africa", "Americas", "Oceania", "Other")
VALIDATION_HOSPITAL, TEST_HOSPITAL = 1, 2
PUBLISHED = ("train", "id_val", "id_test", "val", "test")
# Camelyon17's hospitals 0 to 4 and their label at r = 1; hospital 1 is left out.
HOSPITAL_LABELS = {0: (0,), 2: (1,), 3: (0,), 4: (1,)}
SHARES = {"train": 0.6, "test": 0.1, "ood_head": 0.1, "ood_test": 0.2}


class Table(NamedTuple):
    """What the metadata say, a row an image."""

    paths: Sequence[str]
    labels: np.ndarray  # [rows] int32
    domains: np.ndarray  # [rows] int32
    groups: np.ndarray  # [rows] int64, what must not be in two splits
    splits: np.ndarray  # [rows] text, of PUBLISHED; "" for rows of none
    numbers: np.ndarray  # [rows] int64, of the metadata's rows
    num_labels: int


def camelyon17_table(path: str) -> Table:
    """The metadata of Camelyon17 in the folder `path`.

    Raises:
      FileNotFoundError: there is no metadata.csv. ValueError: a table as
        `files.read_csv` refuses, or a number that is out of range.
    """
    who, folder = "wilds.camelyon17_table", pathlib.Path(path).expanduser()
    names = ("patient", "node", "x_coord", "y_coord", "tumor", "slide", "center")
    file = folder / "metadata.csv"
    columns = _columns(who, file, (*names, "split"))
    paths = []
    for patient, node, x, y in zip(*(columns[name] for name in names[:4])):
        part = f"patient_{patient}_node_{node}"
        name = f"patch_{part}_x_{x}_y_{y}.png"
        paths.append(str(folder / "patches" / part / name))
    sizes = {"tumor": 2, "slide": 1_000, "center": 5, "split": 4}
    tumor, slide, center, split = (
        _integers(who, file, columns[name], name, size) for name, size in sizes.items()
    )
    splits = np.where(split == 0, "train", np.where(split == 1, "id_val", ""))
    splits = np.where(center == VALIDATION_HOSPITAL, "val", splits)
    splits = np.where(center == TEST_HOSPITAL, "test", splits)
    labels, domains = tumor.astype(np.int32), center.astype(np.int32)
    return Table(paths, labels, domains, slide, splits, np.arange(len(paths)), 2)


def fmow_table(path: str) -> Table:
    """The metadata of FMoW in the folder `path`, without the rows of split "seq".

    Images before 2013 are in distribution; "val" has those of 2013 to 2015, "test"
    those since 2016.

    Raises:
      FileNotFoundError: a table is missing. ValueError: a table as `files.read_csv`
        refuses, or a timestamp that does not begin with a year.
    """
    who, folder = "wilds.fmow_table", pathlib.Path(path).expanduser()
    names = ("split", "category", "country_code", "img_path")
    file = folder / "rgb_metadata.csv"
    columns = _columns(who, file, (*names, "timestamp"))
    codes = _columns(who, folder / "country_code_mapping.csv", ("alpha-3", "region"))
    region_of = dict(zip(codes["alpha-3"], codes["region"]))
    kept = np.array([split != "seq" for split in columns["split"]])
    numbers = np.flatnonzero(kept)
    part, category, country, place = (np.array(columns[name])[kept] for name in names)
    found = [region_of.get(code, "Other") for code in country]
    domains = [
        REGIONS.index(r) if r in REGIONS else REGIONS.index("Other") for r in found
    ]
    years = [text[:4] for text in columns["timestamp"]]
    year = _integers(who, file, years, "the year", 10_000)[kept]
    splits = np.full(len(part), "", dtype="U8")
    splits[(part == "train") & (year < 2013)] = "train"
    splits[(part == "val") & (year < 2013)] = "id_val"
    splits[(part == "test") & (year < 2013)] = "id_test"
    splits[(part == "val") & (year >= 2013) & (year < 2016)] = "val"
    splits[(part == "test") & (year >= 2016)] = "test"
    kinds, labels = np.unique(category, return_inverse=True)
    # split/kind/place/file: the images of a place are of one folder
    groups = np.unique([p.rpartition("/")[0] for p in place], return_inverse=True)[1]
    paths = [str(folder / "images" / f"rgb_img_{n}.png") for n in numbers]
    domains = np.array(domains, np.int32)
    labels = labels.astype(np.int32)
    return Table(paths, labels, domains, groups, splits, numbers, len(kinds))


def published(
    *,
    table: Table | Callable,
    size: int,
    head_share: float = 0.1,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """The splits of WILDS: "train"; "test", its id_val; "val" and "test" out of it.

    WILDS's "test" is "ood_head", a share of its groups (slides or places), and
    "ood_test", the others; its "val" is "ood_val", and "id_test" what FMoW calls so.

    Args:
      table: of `camelyon17_table` or `fmow_table`, or what makes it: in a config
        dict(fn=wilds.camelyon17_table, path=...).
      size: height and width of an image; all must have it.
      head_share: of the rows of WILDS's "test".
      seed: of the order of training. data_seed: of the groups of "ood_head".

    Raises:
      ValueError: a split without a row; an image of another size, when it is read.
    """
    table = table() if callable(table) else table
    rows = {name: np.flatnonzero(table.splits == name) for name in PUBLISHED}
    shares = {"ood_head": head_share, "ood_test": 1 - head_share}
    groups = table.groups[rows["test"]]
    parts = shifts.group_split(groups, shares, data_seed)
    rows_of = {"train": rows["train"], "test": rows["id_val"], "ood_val": rows["val"]}
    rows_of |= {name: rows["test"][part] for name, part in parts.items()}
    if len(rows["id_test"]):
        rows_of["id_test"] = rows["id_test"]
    return _of_table("wilds.published", table, rows_of, size, seed)


def controlled(
    *,
    table: Table | Callable,
    size: int,
    grid: Sequence[float],
    r_id: float = 1.0,
    r_ood: float = 0.0,
    assignment: Mapping[int, Sequence[int]] | Sequence[tuple] | None = None,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """Rows chosen so that domain and label correlate at r_id, or at r_ood; see `shift`.

    Whole groups go to each of the four splits, SHARES of the rows; what is chosen of a
    split is as large for every r of the grid.

    Args:
      table: of `camelyon17_table` or `fmow_table`, or what makes it: in a config
        dict(fn=wilds.camelyon17_table, path=...).
      size: height and width of an image; all must have it.
      grid: every r that is to be compared, r_id and r_ood among them.
      r_id: in [0, 1], of "train" and "test". r_ood: of "ood_head" and "ood_test".
      assignment: {domain: labels that go with it}, such as HOSPITAL_LABELS, or pairs
        of them, as a config has; rows of other domains are left out. None for
        `shift.by_lift`, and domains to which it gives no label are left out.
      seed: of the order of training. data_seed: of groups and of the choice.

    Raises:
      ValueError: r is not of the grid; a split lacks a pair that is needed; an image of
        another size, when it is read.
    """
    who = "wilds.controlled"
    table = table() if callable(table) else table
    shift = shifts.check_shift(who, shifts.Shift(r_id, r_ood, data_seed), 2)
    if assignment is None:
        lifted = shifts.by_lift(table.domains, table.labels, table.num_labels)
        assignment = [(domain, ys) for domain, ys in enumerate(lifted) if ys]
    assignment = dict(assignment)
    numbers = {domain: i for i, domain in enumerate(sorted(assignment))}
    labels_of = tuple(tuple(assignment[domain]) for domain in numbers)
    known = np.flatnonzero(np.isin(table.domains, list(numbers)))
    domains = np.array([numbers[int(d)] for d in table.domains[known]])
    rows_of = {}
    parts = shifts.group_split(table.groups[known], SHARES, data_seed)
    for split, part in parts.items():
        chosen = shifts.subsample(
            domains[part],
            table.labels[known][part],
            assignment=labels_of,
            num_labels=table.num_labels,
            r=shift.of(split),
            grid=grid,
            seed=data_seed,
        )
        rows_of[split] = known[part][chosen]
    return _of_table(who, table, rows_of, size, seed)


def _of_table(
    who: str, table: Table, rows_of: Mapping[str, np.ndarray], size: int, seed: int
) -> Dataset:
    """The images of some rows, by split."""
    checks.count(who, size=size)
    num_examples = {split: len(rows) for split, rows in rows_of.items()}
    checks.count(who, **num_examples)

    def decode(row: int) -> np.ndarray:
        image = image_files.read(table.paths[row])
        if image.shape != (size, size, 3):
            raise ValueError(
                f"{who}: expected images {size} x {size}; {table.paths[row]} is "
                f"{image.shape[1]} x {image.shape[0]}."
            )
        return image

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        rows = rows_of[split][rows]
        return {
            "image": np.stack([decode(row) for row in rows.tolist()]),
            "label": table.labels[rows],
            "spurious": table.domains[rows],
            "domain": table.domains[rows],
            "index": table.numbers[rows].astype(np.int32),
        }

    return of_rows(who, take, num_examples, seed=seed, prepare=unit_pixels)


def _columns(who: str, path: pathlib.Path, names: Sequence[str]) -> dict[str, list]:
    """Some columns of a CSV file, as text."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{who}: expected {path.name} in {path.parent}, a folder of WILDS; got "
            "none. See https://wilds.stanford.edu/get_started; data.histology and "
            "data.land_use, or a config with :drawn after its name, need no files."
        )
    return files.read_csv(who, path, names)


def _integers(
    who: str, path: pathlib.Path, texts: Sequence[str], name: str, size: int
) -> np.ndarray:
    """[rows] int64 in [0, size) of a column; ValueError names a row with another."""
    for row, text in enumerate(texts):
        if not re.fullmatch(r"\d{1,18}", text) or int(text) >= size:
            raise ValueError(
                f"{who}: expected {name} a whole number in [0, {size}) in {path}; got "
                f"{text!r} in row {row}."
            )
    return np.array(texts, np.int64)
