"""Small sets in folders as tensorflow-datasets prepares them, written without it."""

import io

import numpy as np
from PIL import Image


def as_png(image):
    """uint8 [height, width, 3] -> a file in memory, which tfds stores as it is."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    file.seek(0)
    return file


def write(folder, name, version, features, splits):
    """Prepares `name` in a folder as array_record.

    features: what tfds.features.FeaturesDict takes; splits: {split: [examples]}, images
    as uint8 arrays.
    """
    import tensorflow_datasets as tfds

    def info(self):
        found = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=found)

    def generators(self, manager):
        del manager
        return {split: self._generate_examples(split) for split in splits}

    def examples(self, split):
        for i, example in enumerate(splits[split]):
            yield i, {**example, "image": as_png(np.asarray(example["image"]))}

    members = dict(
        VERSION=tfds.core.Version(version),
        name=name,
        _info=info,
        _split_generators=generators,
        _generate_examples=examples,
        __module__=__name__,
    )
    with tfds.core.registered.skip_registration():
        kind = type("Prepared", (tfds.core.GeneratorBasedBuilder,), members)
    builder = kind(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(compute_stats="skip")
    )
