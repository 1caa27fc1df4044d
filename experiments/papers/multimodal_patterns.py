"""What the papers say of multimodal VAEs, and whether runs show it.

One number is above another if the difference exceeds their two spreads together.
"""

import itertools
from collections.abc import Mapping, Sequence

from experiments.papers.multimodal_rows import (
    CHANCE,
    COHERENCE,
    QUALITY,
    Row,
    number,
    row,
    views,
)
from experiments.results.tables import Number, Table

COMPARED = ("MVAE", "MMVAE", "mmJSD", "MoPoE", "MVTCAE")  # in coherence
WORSENING = ("VAE", "MVAE", "MoPoE", "MMVAE")  # in quality


def patterns(rows: Sequence[Row], found) -> Table:
    """What the papers say of the models, and whether these runs show it."""
    coherence, probe = (
        {one.model: views(one, found, measure) for one in rows}
        for measure in ("coherence", "linear_probe")
    )
    lines = [*of_coherence(coherence), *of_probe(probe), *of_quality(rows, found)]
    lines = [(*line, "yes" if held else "no") for *line, held in lines]
    return Table(("expected", "found", "holds"), lines, title="patterns")


def above(a: Number, b: Number) -> bool:
    """See the module."""
    return a.mean - b.mean > (a.sd or 0.0) + (b.sd or 0.0)


def of_coherence(coherence: Mapping[str, Sequence[Number]]) -> list[tuple]:
    """Claims on numbers by views given, what was found, and whether it holds."""

    def text(name):
        return " ".join(f"{x.mean:.2f}" for x in coherence[name])

    lines = []
    others = [name for name in COMPARED[1:] if name in coherence]
    if "MVAE" in coherence and others:
        lowest = all(
            above(theirs, own)
            for name in others
            for theirs, own in zip(coherence[name], coherence["MVAE"])
        )
        lines.append(("MVAE has the lowest coherence", text("MVAE"), lowest))
    if len(coherence.get("MMVAE", ())) > 1:
        means = [x.mean for x in coherence["MMVAE"]]
        flat = max(means) - min(means) < 0.03
        claim = "MMVAE: coherence is flat in the number of views (within 0.03)"
        lines.append((claim, text("MMVAE"), flat))
    for name in ("MoPoE", "MVTCAE"):
        if len(coherence.get(name, ())) > 1:
            pairs = itertools.pairwise(coherence[name])
            rises = all(above(b, a) for a, b in pairs)
            lines.append(
                (f"{name}: coherence rises with every view", text(name), rises)
            )
    return lines


def of_probe(probe: Mapping[str, Sequence[Number]]) -> list[tuple]:
    """As `of_coherence`, of mmJSD's probe of one view."""
    firsts = {name: x[0].mean for name, x in probe.items() if name != "VAE" and x}
    if "mmJSD" not in firsts:
        return []
    near = max(firsts.values()) - firsts["mmJSD"] < 0.02
    claim = "mmJSD: linear probe of one view is the highest, or within 0.02 of it"
    best = max(firsts, key=firsts.get)
    return [(claim, f"{firsts['mmJSD']:.2f}; {best} {firsts[best]:.2f}", near)]


def of_quality(rows: Sequence[Row], found) -> list[tuple]:
    """As `of_coherence`, of the distance of what is generated from nothing."""
    quality = {one.model: number(one, found, QUALITY) for one in rows}
    known = [quality[name] for name in WORSENING if name in quality]
    if len(known) < len(WORSENING) or not all(x.n for x in known):
        return []
    held = not any(above(a, b) for a, b in itertools.pairwise(known))
    claim = f"Fréchet distance: no lower in the order {', '.join(WORSENING)}"
    return [(claim, " ".join(f"{x.mean:,.0f}" for x in known), held)]


def beside_polymnist(rows: Sequence[Row], found, asked) -> list[Table]:
    """Coherence from one view, of models whose runs on PolyMNIST are known as well."""
    lines = []
    for one in rows:
        plain = row(one.model, "polymnist", one.beta, asked, seeds=len(one.runs))
        if not all(run.name in found for run in plain.runs):
            continue
        there, here = (number(x, found, COHERENCE) for x in (plain, one))
        if there.n and here.n:
            falls = here.mean - CHANCE < (there.mean - CHANCE) / 2
            lines.append((one.model, there, here, "yes" if falls else "no"))
    header = ("model", "polymnist", one.dataset, "less than half, above chance")
    title = f"{one.dataset}: coherence of one view, beside PolyMNIST"
    return [Table(header, lines, (".2f",), title=title)] if lines else []
