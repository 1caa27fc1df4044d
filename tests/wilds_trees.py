"""Folders in the layout of WILDS, large enough for subsets of any correlation."""

import csv
import itertools
import os

from PIL import Image

KINDS, REGIONS = ("airport", "park", "zoo"), ("FRA", "JPN", "KEN")


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_image(path, size, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (value, 0, 255)).save(path)


def write_copies(paths, size):
    """One image under many names."""
    first, *others = paths
    write_image(first, size, 128)
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)


def camelyon17(root, slides=60):
    """Hospitals 0 to 4 of so many slides, each with four patches, two with a tumor."""
    folder, rows, paths = root / "camelyon17_v1.0", [], []
    for center, slide, n in itertools.product(range(5), range(slides), range(4)):
        row = {"patient": f"{center:03}", "node": slide, "x_coord": n, "y_coord": 7}
        row |= {"tumor": n % 2, "slide": slides * center + slide, "center": center}
        rows.append(row | {"split": int(slide % 5 == 0)})
        part = f"patient_{center:03}_node_{slide}"
        paths.append(folder / "patches" / part / f"patch_{part}_x_{n}_y_7.png")
    write_copies(paths, 96)
    write_table(folder / "metadata.csv", rows)
    return folder


def fmow(root, places=60):
    """Three kinds in three regions, so many places each in every part, before 2013 and
    after it."""
    folder, rows = root / "fmow_v1.1", []
    parts, years = ("train", "val", "test"), (2005, 2014, 2017)
    every = itertools.product(range(places), zip(parts, years), KINDS, REGIONS)
    for number, (part, year), kind, region in every:
        for when in {2005, year}:
            place = f"{part}/{kind}/{kind}_{region}{number}/{when}.jpg"
            row = {"split": part, "category": kind, "country_code": region}
            rows.append(row | {"timestamp": f"{when}-01-01", "img_path": place})
    names = [folder / "images" / f"rgb_img_{i}.png" for i in range(len(rows))]
    write_copies(names, 224)
    write_table(folder / "rgb_metadata.csv", rows)
    codes = zip(REGIONS, ("Europe", "Asia", "Africa"))
    codes = [{"alpha-3": code, "region": name} for code, name in codes]
    write_table(folder / "country_code_mapping.csv", codes)
    return folder
