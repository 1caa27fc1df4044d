"""Emoji: what a batch holds, that no emoji is on both sides, and names as features."""

import jax
import numpy as np
import pytest

from repr_jax.data import characters, emoji


def test_a_batch_holds_what_the_module_says(emoji_file):
    dataset = emoji.load(path=emoji_file, num_features=64)
    raw = next(dataset.train(5))
    batch = jax.jit(dataset.prepare)(raw)
    for name in ("noto", "twemoji"):
        assert batch[name].shape == (5, 32, 32, 3) and batch[name].dtype == np.float32
        np.testing.assert_allclose(batch[name], raw[name] / 255.0, rtol=1e-6)
    assert batch["name"].shape == (5, 64) and batch["name"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(batch["name"], axis=1), 1, rtol=1e-6)
    text = bytes(raw["caption"][0]).rstrip(b"\0").decode()
    np.testing.assert_array_equal(emoji.name_features(text, 64), batch["name"][0])
    assert dataset.modalities == emoji.MODALITIES
    (pair,) = [next(emoji.load(path=emoji_file, modalities=("noto",)).train(2))]
    assert set(pair) == {"noto", "label", "subcategory", "caption"}
    names = emoji.class_names(emoji_file)
    assert len(names["category"]) == 3 and names["subcategory"][5] == "f"


def test_pictures_are_those_of_both_artists(emoji_file):
    pairs, pictures = emoji.load(path=emoji_file), emoji.pictures(path=emoji_file)
    for split in ("train", "test"):
        count = pairs.num_examples[split]
        assert pictures.num_examples[split] == 2 * count
        pair, single = (
            next(dataset.evaluate(split, dataset.num_examples[split]))
            for dataset in (pairs, pictures)
        )
        assert pair["where"].all() and single["where"].all()
        for place, artist in enumerate(emoji.IMAGES):
            np.testing.assert_array_equal(single["image"][place::2], pair[artist])
            np.testing.assert_array_equal(single["label"][place::2], pair["label"])
    batch = next(emoji.pictures(path=emoji_file, seed=3).train(4))
    image = jax.jit(emoji.pictures(path=emoji_file).prepare)(batch)["image"]
    np.testing.assert_allclose(image, batch["image"] / 255.0, rtol=1e-6)


def test_names_as_text(emoji_file):
    data = emoji.load(path=emoji_file, modalities=("twemoji", "text"))
    raw = next(data.train(5))
    batch = jax.jit(data.prepare)(raw)
    assert set(batch) == {"twemoji", "text", "label", "subcategory", "caption"}
    assert batch["text"].shape == (5, 32, 71) and batch["text"].dtype == np.float32
    np.testing.assert_array_equal(batch["text"].argmax(axis=-1), raw["text"])
    for code, caption in zip(raw["text"], raw["caption"]):
        name = bytes(caption).rstrip(b"\0").decode()
        assert characters.decode(code) == name.ljust(32)


def check_split(base, tone):
    rows = emoji.split(base, tone)
    assert not set(base[rows["train"]]) & set(base[rows["test"]])
    assert set(base[rows["train"]]) | set(base[rows["test"]]) == set(base)
    assert len(set(base[rows["test"]])) == len(rows["test"])
    assert (tone[rows["test"]] <= 0).all()
    held_out = np.isin(base, base[rows["test"]])
    assert len(rows["train"]) == np.sum(~held_out)
    return rows


def test_no_emoji_is_on_both_sides_and_each_is_tested_once(emoji_file):
    with np.load(emoji_file) as data:
        rows = check_split(data["base"], data["tone"])
    assert len(rows["test"]) == 2


def test_the_split_does_not_depend_on_the_seed_but_the_order_does(emoji_file):
    first, second = (emoji.load(path=emoji_file, seed=seed) for seed in (0, 1))
    a, b = (next(d.evaluate("test", 4)) for d in (first, second))
    np.testing.assert_array_equal(a["noto"], b["noto"])
    a, b = (next(d.train(8)) for d in (first, second))
    assert (a["noto"] != b["noto"]).any()
    again = next(emoji.load(path=emoji_file, seed=1).train(8))
    np.testing.assert_array_equal(again["noto"], b["noto"])


def test_the_real_file(real_emoji_file):
    with np.load(real_emoji_file) as data:
        rows = check_split(data["base"], data["tone"])
        pairs = set(zip(data["subcategory"].tolist(), data["category"].tolist()))
    assert len(rows["test"]) == 381
    assert len(pairs) == 98  # a subcategory is of one category
    names = emoji.class_names(real_emoji_file)
    assert {name: len(names[name]) for name in names} == {
        "category": 9,
        "subcategory": 98,
    }
    batch = next(emoji.load(path=real_emoji_file).evaluate("test", 381))
    assert batch["where"].all()
    unlike = np.abs(batch["noto"] - batch["twemoji"].astype(float)).mean(axis=(1, 2, 3))
    assert (unlike > 0).all()  # two artists never draw the same pixels


def test_names_share_the_parts_that_their_words_share():
    def features(name):
        return emoji.name_features(name, 4096)

    cat, cats, dog = features("cat face"), features("cats, face"), features("dog")
    assert cat @ cats > 0.5 > cat @ dog
    np.testing.assert_array_equal(features("Cat FACE"), cat)
    # By hand: <dog>, and its trigrams <do, dog, og>, once each.
    assert np.count_nonzero(dog) == 4
    np.testing.assert_allclose(dog[dog > 0], 0.5)
    assert not features("").any() and not features("?!").any()


def test_bad_input_is_named(emoji_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected an .npz of noto.*nowhere"):
        emoji.load(path=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"emoji.npz"):
        emoji.load(path=str(tmp_path))
    np.savez(tmp_path / "other.npz", noto=np.zeros(3))
    with pytest.raises(ValueError, match="it has no twemoji, name"):
        emoji.load(path=str(tmp_path / "other.npz"))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"broken\.npz cannot be read"):
        emoji.load(path=str(tmp_path / "broken.npz"))
    with np.load(emoji_file) as file:
        entries = dict(file)
    for name, array, words in (
        ("noto", entries["noto"] / 255, r"noto uint8 \(14, 32, 32, 3\).*got float64"),
        ("noto", entries["noto"].astype("u2") << 8, r"noto uint8 .* got uint16"),
        ("tone", entries["tone"][:3], r"tone int \(14,\) in .*got int64 \(3,\)"),
        ("name", entries["base"], r"name str \(14,\) in .*got int64"),
    ):
        np.savez(tmp_path / "odd.npz", **{**entries, name: array})
        with pytest.raises(ValueError, match=words):
            emoji.load(path=str(tmp_path / "odd.npz"))
    np.savez(tmp_path / "odd.npz", **{**entries, "category": entries["base"] + 9})
    with pytest.raises(ValueError, match=r"odd\.npz: expected category in \[0, "):
        emoji.read(str(tmp_path / "odd.npz"))
    with pytest.raises(ValueError, match="expected modalities among noto"):
        emoji.load(path=emoji_file, modalities=("noto", "apple"))
