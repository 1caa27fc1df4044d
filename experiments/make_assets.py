"""Rebuilds repr_jax/data/assets from the full MNIST and five photographs.

python -m experiments.make_assets --data_dir=PREPARED --photographs=FOLDER

--data_dir is a tensorflow-datasets folder with MNIST prepared as array_record.
--photographs is a folder with astronaut.png, chelsea.png and coffee.png, of
scikit-image's sample images, and flower.jpg and china.jpg, of scikit-learn's; or an
.npz file with `images` uint8 [5, 224, 224, 3] and `names` [5], made of them already.
Who took them, and under which terms they are passed on, is in NOTICE.
"""

import pathlib

import numpy as np
from PIL import Image

from experiments.arguments import one_line_errors, parser_of
from repr_jax import files
from repr_jax.data import image_files, mnist

ASSETS = pathlib.Path(mnist.__file__).parent / "assets"
PER_CLASS = {"train": 1800, "test": 200}
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "flower", "china")
SIDE = 224
FILES = {"train": 3, "test": 1}


def balanced_rows(labels: np.ndarray, per_class: int) -> np.ndarray:
    """The first rows of each class, the classes in turn: 0, 1, .. 9, 0, 1, .."""
    rows = [np.flatnonzero(labels == digit)[:per_class] for digit in range(10)]
    return np.stack(rows, axis=1).ravel()


def photographs(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """(images [5, 224, 224, 3] uint8, names): central squares, scaled down."""
    if path.suffix == ".npz":
        arrays = files.read_npz("make_assets", path, ("images", "names"))
        return arrays["images"], arrays["names"]
    images = []
    for name in PHOTOGRAPHS:
        found = sorted(path.glob(f"{name}.*"))
        if len(found) != 1:
            raise ValueError(
                f"make_assets: expected one file {name}.* in {path}; got {len(found)}."
            )
        with image_files.opened(found[0]) as image:
            image = image_files.to_rgb(image)
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            images.append(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return np.stack([np.asarray(image) for image in images]), np.array(PHOTOGRAPHS)


def make(data_dir: str, pictures: pathlib.Path, output: pathlib.Path) -> None:
    """Writes mnist_train_{0,1,2}.npz, mnist_test.npz and photographs.npz."""
    for split, count in FILES.items():
        images, labels = mnist.arrays(split, source="tfds", data_dir=data_dir)
        rows = balanced_rows(labels, PER_CLASS[split])
        for i, part in enumerate(np.split(rows, count)):
            name = f"mnist_{split}_{i}.npz" if count > 1 else f"mnist_{split}.npz"
            classes = labels[part].astype(np.uint8)
            with files.whole(output / name) as partial:
                np.savez_compressed(partial, images=images[part], labels=classes)
    images, names = photographs(pictures)
    with files.whole(output / "photographs.npz") as partial:
        np.savez_compressed(partial, images=images, names=names)
    for path in sorted(output.glob("*.npz")):
        print(f"{path.name:20} {path.stat().st_size:>9,} bytes")


def main() -> None:
    """Reads the flags, and makes the files."""
    parser = parser_of("experiments.make_assets", __doc__)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--photographs", type=files.locate, required=True)
    parser.add_argument("--output", type=files.locate, default=ASSETS)
    flags = parser.parse_args()
    with one_line_errors(parser):
        make(flags.data_dir, flags.photographs, flags.output)


if __name__ == "__main__":
    main()
