"""The file of emoji, from two sheets of one color a cell."""

import json

import numpy as np
from PIL import Image

from experiments import make_emoji
from repr_jax.data import emoji


def entry(name, place, order, category="Objects", twitter=True, **more):
    drawn = dict(has_img_google=True, has_img_twitter=twitter)
    where = dict(sheet_x=place[0], sheet_y=place[1])
    about = dict(name=name, category=category, subcategory="any", sort_order=order)
    return {**drawn, **where, **about, **more}


def test_rows_images_and_tones(tmp_path, monkeypatch, capsys):
    bright, dark = entry("", (1, 1), 0), entry("", (0, 1), 0)
    two = entry("", (2, 2), 0)
    tones = {"1F3FF": dark, "1F3FB": bright, "1F3FB-1F3FC": two}
    entries = [
        entry("WAVING HAND", (1, 0), 3, skin_variations=tones),
        entry("BARE TONE", (2, 1), 2, category="Component"),
        entry("KEY", (0, 0), 1),
        entry("ONE ARTIST ALONE", (2, 0), 4, twitter=False),
    ]
    for artist, base in [("google", 10), ("twitter", 100)]:
        sheet = np.zeros((3 * 34, 3 * 34, 4), np.uint8)
        for y in range(3):
            for x in range(3):
                cell = sheet[34 * y + 1 :, 34 * x + 1 :][:32, :32]
                cell[:16] = (base + 10 * y + x, 0, 0, 255)  # below it is transparent
        folder = tmp_path / artist / "package"
        (folder / "img" / artist / "sheets").mkdir(parents=True)
        Image.fromarray(sheet).save(folder / "img" / artist / "sheets" / "32.png")
        (folder / "emoji.json").write_text(json.dumps(entries))
    out = tmp_path / "emoji.npz"
    folders = [f"--{artist}={tmp_path / artist}" for artist in ("google", "twitter")]
    monkeypatch.setattr("sys.argv", ["make_emoji", *folders, f"--out={out}"])
    make_emoji.main()
    assert "4 images of 2 emoji" in capsys.readouterr().out
    with np.load(out) as data:
        assert list(data["name"]) == ["key", *3 * ["waving hand"]]
        assert list(data["tone"]) == [-1, 0, 1, 5]
        assert len(set(data["base"])) == 2 and set(data["base"][1:]) == {
            data["base"][3]
        }
        cells = [0, 1, 11, 10]  # of key, hand, bright and dark: 10 y + x
        for name, base in [("noto", 10), ("twemoji", 100)]:
            for image, cell in zip(data[name], cells):
                assert (image[:16] == (base + cell, 0, 0)).all()
                assert (image[16:] == 255).all()
    assert emoji.load(path=str(out)).num_examples["train"] == 4
