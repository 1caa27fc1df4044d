"""CelebA as two modalities: a face, and its attributes in words.

A batch after `prepare` has
  image: float32 [batch, 64, 64, 3] in [0, 1], the middle 148 x 148 pixels;
  text: float32 [batch, 256, 71], one-hot characters, see `characters`;
  attributes: float32 [batch, 40], 0 or 1, in the order of ATTRIBUTES;
  label: int32 [batch], 0 or 1, one of the attributes;
  where: bool [batch], in evaluation.
"attributes" may be asked for as a modality too; it is always there for evaluation.

The text of a face is the names of what it has, in small letters, such as "bangs, big
lips, no beard"; the last ones are left out if it would be longer than 256 characters.
It starts at a random place, fixed for each face, with stars on both sides.

Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing
Jensen-Shannon-Divergence", 2020, https://arxiv.org/abs/2006.08242, and their code.
There the split called "test" is CelebA's validation partition, 19,867 faces: pass
test_split="validation" to compare. The faces: Liu et al., "Deep Learning Face
Attributes in the Wild", 2015, https://arxiv.org/abs/1411.7766.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from repr_jax.data import characters, image_files, tfds_images
from repr_jax.data.dataset import Dataset, check_modalities, check_seed, of_rows
from repr_jax.ops import checks

ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
MODALITIES = ("image", "text")
SIZE = 64  # pixels
CROP = 148  # pixels of the file
LENGTH = 256  # characters
STREAMS = {"train": 1, "test": 2}


def load(
    *,
    modalities: Sequence[str] = MODALITIES,
    test_split: str = "test",
    label: str = "Smiling",
    data_dir: str | None = None,
    text_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """The set of the module, from `celeb_a` of tensorflow-datasets.

    A face is decoded when it is first needed and then kept: 2 GB for all.

    Args:
      modalities: which of image, text, attributes a batch has, in this order.
      test_split: "test", 19,962 faces, or "validation".
      label: the attribute that is the class.
      data_dir: where tfds looks, see `tfds_images.arrays`.
      text_seed: of the places where texts start; apart from `seed`.
      seed: of the order of training.

    Raises:
      ValueError: an unknown modality, split or attribute.
      FileNotFoundError, ImportError: see `tfds_images.arrays`.
    """
    who = "celeba.load"
    modalities = check_modalities(who, modalities, (*MODALITIES, "attributes"))
    checks.one_of(who, ("test", "validation"), test_split=test_split)
    checks.one_of(who, ATTRIBUTES, label=label)
    check_seed(who, text_seed)
    names = {"train": "train", "test": test_split}
    data_dir = tfds_images.directory(data_dir)
    records = {s: tfds_images.records("celeb_a", names[s], data_dir) for s in names}
    faces = {split: _decoder(found) for split, found in records.items()}
    column = ATTRIBUTES.index(label)

    @functools.cache
    def starts(split: str) -> np.ndarray:
        rng = np.random.default_rng((text_seed, STREAMS[split]))
        return rng.random(len(records[split]))

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        images, attributes = faces[split](rows)
        batch = {"attributes": attributes, "label": attributes[:, column]}
        batch["label"] = batch["label"].astype(np.int32)
        if "image" in modalities:
            batch["image"] = images
        if "text" in modalities:
            batch["text"] = texts(attributes, starts(split)[rows], ATTRIBUTES)
        return batch

    num_examples = {split: len(found) for split, found in records.items()}
    return of_rows(
        who, take, num_examples, seed=seed, prepare=prepare, modalities=modalities
    )


def texts(
    attributes: np.ndarray, start: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """[batch, 256] uint8 numbers of characters: what `sentence` says, among stars.

    attributes: [batch, names] bool. start: [batch] in [0, 1), of the first place to the
    last where the text fits.
    """
    stars = "*" * LENGTH
    found = []
    for row, place in zip(attributes, start):
        text = sentence([name for name, has in zip(names, row) if has])
        before = int(place * (LENGTH - len(text) + 1))
        found.append((stars[:before] + text + stars)[:LENGTH])
    return characters.encode(found, LENGTH)


def sentence(names: Sequence[str]) -> str:
    """ "Big_Lips", "Young" -> "big lips, young", without the last that do not fit."""
    words = [name.replace("_", " ").lower() for name in names]
    while len(text := ", ".join(words)) > LENGTH:
        words.pop()
    return text


def prepare(batch: Mapping) -> dict:
    """Images in [0, 1], one-hot text, attributes as floats; on the device."""
    rest = {**batch, "attributes": batch["attributes"].astype(np.float32)}
    if "image" in rest:
        rest["image"] = rest["image"].astype(np.float32) / 255
    if "text" in rest:
        rest["text"] = characters.one_hot(rest["text"])
    return rest


def _decoder(records: Sequence) -> Callable:
    """rows -> images [rows, 64, 64, 3] uint8 and attributes [rows, 40] bool.

    Keeps what it has decoded.
    """
    attributes = np.empty((len(records), len(ATTRIBUTES)), bool)

    def decode(row: int) -> np.ndarray:
        item = records[row]
        attributes[row] = [item["attributes"][name] for name in ATTRIBUTES]
        return image_files.square(item["image"], SIZE, crop=CROP)

    images = image_files.decoded_once(decode, len(records), (SIZE, SIZE, 3))

    def decoded(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with tfds_images.quiet():
            return images(rows), attributes[rows]

    return decoded
