"""Parts of the papers of mmJSD and MoPoE that have text: a digit, or attributes.

MNIST-SVHN-Text is a digit, a house number and a word; where the folder of data has no
SVHN, house numbers are drawn, see `data.street_digits`. Scenes are pictures with their
attributes in words, which stand in for CelebA, see `data.scenes`.
"""

import pathlib
from collections.abc import Mapping, Sequence

from configs.multimodal.mopoe_scenes import halving
from experiments.launch import sweep
from experiments.papers.multimodal_patterns import patterns
from experiments.papers.multimodal_rows import FOLDER, Part, Row, number
from experiments.papers.multimodal_vaes import (
    PANELS,
    by_views,
    columns_of,
    draw_by_views,
    with_published,
)
from experiments.results import store
from experiments.results.tables import Table

CONFIGS = {  # name in tables: the file in configs/multimodal, without its data
    "MVAE": "mvae",
    "MMVAE": "moe",
    "MoPoE": "mopoe",
    "mmJSD": "mmjsd",
    "MVAE (MS)": "mvae_private",
    "MMVAE (MS)": "moe_private",
    "mmJSD (MS)": "mmjsd_private",
}
BETA = 2.5  # published, of both sets
STEPS = {"mnist_svhn_text": 876_000, "scenes": 58_600}  # 200 and 250 epochs
CPU = {
    "num_steps": 5_000,
    "batch_size": 128,
    "evals.linear_probe.max_train": 5_000,
    "evals.likelihood.limit": 32,
}
IMAGE, TEXT = (16, 32, 64, 128), (32,) * 6  # a quarter of the features
LIMITS = {  # of what one of the sets has alone, at --scale=cpu
    "mnist_svhn_text": {"evals.coherence.limit": 2_000},
    "scenes": {
        "encoders.image.layers": halving(IMAGE, 128),
        "encoders.text.layers": ((32, 1, 1, 0), *halving(TEXT, 128)),
        "decoders.image.layers": halving((3, *IMAGE[:-1]), 128, back=True),
        "decoders.text.layers": (*halving(TEXT, 32, back=True), (71, 1, 1, 0)),
        "decoders.text.hidden": 128,
        "evals.attributes.limit": 2_000,
        "evals.attribute_probe.limit": 5_000,
    },
}
SUBSETS = ("mnist", "svhn", "text", "mnist+svhn", "mnist+text", "svhn+text")
SUBSETS += ("mnist+svhn+text",)
PAIRS = ("svhn->mnist", "text->mnist", "svhn+text->mnist", "mnist->svhn", "text->svhn")
PAIRS += ("mnist+text->svhn", "mnist->text", "svhn->text", "mnist+svhn->text")
DIGITS = (
    "Classifiers see the digit of the given modalities in one that was not given; "
    "chance 0.10. Linear accuracy: of a classifier of the posterior means, fitted to "
    "500 rows. log p(x): 1,000 importance samples, nats an example. MS: with latents "
    "of each modality alone. In brackets the figure of the paper, on SVHN itself and "
    "with many times the training; they are quoted from memory, since the paper's text "
    "was not at hand, and those of log p(x) are of 12 samples that were averaged over "
    "several examples, which makes them too high."
)
ATTRIBUTES = (
    "Mean average precision of 20 attributes, of which a scene has some: in what is "
    "generated, as classifiers see it, and in the posterior means by linear "
    "classifiers fitted to 500 rows. These scenes stand in for CelebA, of which no "
    "published figure was at hand."
)


def row(model: str, dataset: str, asked) -> Row:
    """The runs of a model of CONFIGS on mnist_svhn_text or scenes."""
    values = {"loss.beta": BETA}
    if asked.scale == "paper":
        values["num_steps"] = STEPS[dataset]
    elif asked.scale == "cpu":
        values |= CPU | LIMITS[dataset]
    if asked.data_dir and asked.scale != "smoke":
        values |= {"dataset.source": "tfds", "dataset.data_dir": asked.data_dir}
    if dataset == "mnist_svhn_text" and has_svhn(asked):
        values["dataset.svhn"] = "tfds"
    name = CONFIGS[model]
    file = f"{FOLDER}/{name}_{dataset}.py{':smoke' * (asked.scale == 'smoke')}"
    runs = [
        sweep.Run(f"{dataset}/{name}/seed{seed}", file, {**values, "seed": seed})
        for seed in range(asked.seeds)
    ]
    return Row(model, dataset, BETA, runs)


def has_svhn(asked) -> bool:
    """Whether SVHN is in the folder of data, as tensorflow-datasets prepares it."""
    folder = pathlib.Path(asked.data_dir) / "svhn_cropped"
    return bool(asked.data_dir) and asked.scale != "smoke" and folder.is_dir()


def digits(models: Sequence[str], published: Mapping, file: str) -> Part:
    """Models on MNIST-SVHN-Text.

    published: {"accuracy", "coherence", "likelihood": {model: figures, in the order of
    SUBSETS, PAIRS, or of log p(x) alone}}.
    """

    def rows(asked):
        return [row(model, "mnist_svhn_text", asked) for model in models]

    def write(rows, found, asked):
        houses = "SVHN" if has_svhn(asked) else "drawn house numbers in place of SVHN"
        title = f"MNIST-SVHN-Text, {houses}"
        accuracy = {name: f"linear_probe/500_rows/{name}" for name in SUBSETS}
        coherence = {name.replace("->", " → "): f"coherence/{name}" for name in PAIRS}
        content = [
            beside(rows, found, columns, published[kind], f"{title}: {kind}", form)
            for kind, columns, form in (
                ("accuracy", accuracy, ".2f"),
                ("coherence", coherence, ".2f"),
                ("likelihood", {"log p(x)": "likelihood/joint"}, ",.0f"),
            )
        ]
        joint = {
            "all agree, chance 0.01": "coherence/joint",
            "entropy of what they agree on": "coherence/joint_entropy",
        }
        content.append(columns_of(rows, found, joint, f"{title}: drawn from the prior"))
        content += [
            by_views(rows, found, measure, f"{title}: {text}, by number of views")
            for measure, text in PANELS.items()
        ]
        content.append(patterns(rows, found))
        picture = store.picture(
            asked.workdir,
            f"pictures/{file}_mnist_svhn_text.png",
            f"{title}: coherence and linear probe by the number of views given",
            draw_by_views(rows, found, PANELS),
        )
        return [DIGITS, *content, picture]

    return Part(rows, write)


def beside(rows, found, columns, published, title: str, form: str) -> Table:
    """A line a model, a column a metric, with the published figures in brackets."""
    lines = []
    for one in rows:
        numbers = [number(one, found, metric) for metric in columns.values()]
        known = published.get(one.model, ())
        lines.append((one.model, *with_published(numbers, known)))
    return Table(("model", *columns), lines, (form,), title=title)


def attributes(models: Sequence[str]) -> Part:
    """Models on scenes and their attributes in words."""
    generated = ("image->text", "text->image", "self/image+text->image")
    given = ("image", "text", "image+text")
    columns = {name.replace("->", " → "): f"attributes/{name}" for name in generated}
    columns |= {f"latents of {name}": f"attribute_probe/{name}" for name in given}
    columns["drawn from the prior: agree"] = "attributes/joint"

    def rows(asked):
        return [row(model, "scenes", asked) for model in models]

    def write(rows, found, asked):
        table = columns_of(
            rows, found, columns, "Scenes in place of CelebA: attributes"
        )
        density = {"log p(x)": "likelihood/joint"}
        return [
            ATTRIBUTES,
            table,
            columns_of(rows, found, density, "Scenes: densities"),
        ]

    return Part(rows, write)
