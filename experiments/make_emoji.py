"""Makes emoji.npz, the file that `data.emoji` reads, from two published packages.

npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
mkdir google twitter
tar xzf emoji-datasource-google-*.tgz -C google
tar xzf emoji-datasource-twitter-*.tgz -C twitter
python -m experiments.make_emoji --google=google --twitter=twitter --out=emoji.npz

Emoji that both artists drew, in the order of Unicode, each followed by its skin tones;
those of two people with two tones, and the bare tones, are left out. Images are 32 x 32
on white. Noto Emoji is by Google, Apache-2.0; Twemoji by Twitter and contributors,
CC-BY 4.0; names and categories by the emoji-data project, MIT.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.arguments import one_line_errors, parser_of
from repr_jax import files
from repr_jax.data import image_files

SIDE, MARGIN = 32, 1  # pixels of an emoji in its sheet, and around it
TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")
ARTISTS = {"noto": "google", "twemoji": "twitter"}


def drawn_by_both(entry: Mapping) -> bool:
    """Do both sheets have a picture of it?"""
    return all(entry[f"has_img_{artist}"] for artist in ARTISTS.values())


def rows(emoji: Sequence[Mapping]) -> list[dict]:
    """A row an image: where it stands in the sheets, name, categories, base, tone."""
    found = []
    for base, entry in enumerate(sorted(emoji, key=lambda e: e["sort_order"])):
        if entry["category"] == "Component" or not drawn_by_both(entry):
            continue
        variants = entry.get("skin_variations", {})
        toned = [
            (tone, variants[key])
            for tone, key in enumerate(TONES, 1)
            if key in variants and drawn_by_both(variants[key])
        ]
        first = 0 if variants else -1
        for tone, variant in [(first, entry), *toned]:
            found.append(
                dict(
                    place=(variant["sheet_x"], variant["sheet_y"]),
                    name=entry["name"].lower(),
                    category=entry["category"],
                    subcategory=entry["subcategory"],
                    base=base,
                    tone=tone,
                )
            )
    return found


def cut(folder: pathlib.Path, artist: str, places: Sequence) -> np.ndarray:
    """[N, 32, 32, 3] uint8, on white, from the sheet of an unpacked package."""
    path = folder / "package" / "img" / artist / "sheets" / f"{SIDE}.png"
    sheet = image_files.read(path)
    step = SIDE + 2 * MARGIN
    columns, rows = np.max(places, axis=0) + 1
    if sheet.shape[0] < rows * step or sheet.shape[1] < columns * step:
        raise ValueError(
            f"make_emoji: expected {columns} x {rows} emoji of {step} pixels in "
            f"{path}; got an image of {sheet.shape[1]} x {sheet.shape[0]}."
        )
    corners = [(y * step + MARGIN, x * step + MARGIN) for x, y in places]
    return np.stack([sheet[y : y + SIDE, x : x + SIDE] for y, x in corners])


def listed(path: pathlib.Path) -> list[dict]:
    """`rows` of emoji.json."""
    text = files.read_text("make_emoji", path)
    try:
        found = rows(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"make_emoji: expected the list of emoji-datasource in {path}; got "
            f"{type(error).__name__}: {str(error)[:100]}."
        ) from None
    whole = all(isinstance(n, int) and n >= 0 for row in found for n in row["place"])
    if not found or not whole:
        raise ValueError(f"make_emoji: expected emoji and their places in {path}.")
    return found


def make(folders: Mapping[str, pathlib.Path], out) -> str:
    """Writes the file; says what is in it.

    Args:
      folders: of ARTISTS' packages, unpacked, by their names in these.
      out: the .npz.

    Raises:
      FileNotFoundError, ValueError: a file that is missing, damaged, or another one.
    """
    found = listed(folders["google"] / "package" / "emoji.json")
    arrays = {
        name: cut(folders[artist], artist, [row["place"] for row in found])
        for name, artist in ARTISTS.items()
    }
    for kind in ("category", "subcategory"):
        names, index = np.unique([row[kind] for row in found], return_inverse=True)
        arrays |= {f"{kind}_names": names, kind: index.astype(np.int32)}
    arrays["name"] = np.array([row["name"] for row in found])
    for number in ("base", "tone"):
        arrays[number] = np.array([row[number] for row in found], np.int32)
    with files.whole(out) as partial:
        np.savez_compressed(partial, **arrays)
    return f"{out}: {len(found)} images of {len(set(arrays['base']))} emoji"


def main() -> None:
    """Reads the flags, and makes the file."""
    parser = parser_of("experiments.make_emoji", __doc__)
    for artist in ARTISTS.values():
        parser.add_argument(f"--{artist}", type=files.locate, required=True)
    parser.add_argument("--out", type=files.locate, default="emoji.npz")
    args = parser.parse_args()
    with one_line_errors(parser):
        print(make({name: getattr(args, name) for name in ARTISTS.values()}, args.out))


if __name__ == "__main__":
    main()
