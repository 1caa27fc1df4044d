"""What `public_losses` compares with pytorch-metric-learning: hinges, lists, memories,
walks and reducers.

Those of `public_losses_pml` are the others.
"""

import math
from functools import partial

import numpy as np

from experiments.benchmarks import public_losses_arrays as arrays
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks.public_losses_calls import PML, Case, case, pml, spec
from repr_jax import losses
from repr_jax.ops.similarity import (
    negative_distance,
    negative_squared_distance,
    signal_to_noise,
)

PLAIN = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False)
SQUARED = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False, power=2)
MEAN = spec(f"{PML}.reducers.MeanReducer")


def of_triplets() -> list[Case]:
    """Forms of the triplet loss, and triplets that miners find."""
    positive = dict(margin=0.2, non_zero=True)
    noise = spec(f"{PML}.distances.SNRDistance", normalize_embeddings=False)

    def theirs(**options):
        return pml("TripletMarginLoss", **options)

    return [
        case(
            losses.triplet,
            theirs(margin=0.2, distance=SQUARED),
            arrays.triples,
            "triplets",
            **positive,
        ),
        case(
            losses.triplet,
            theirs(margin=0.2, distance=SQUARED, swap=True),
            arrays.triples,
            "triplets",
            swap=True,
            **positive,
        ),
        case(
            losses.triplet,
            theirs(margin=0.5, distance=PLAIN, swap=True, smooth_loss=True),
            arrays.triples,
            "triplets",
            similarity=negative_distance,
            margin=0.5,
            swap=True,
            smooth=True,
        ),
        case(
            losses.triplet_all,
            theirs(margin=0.2, distance=PLAIN),
            arrays.labeled,
            similarity=negative_distance,
            **positive,
        ),
        case(
            losses.triplet_all,
            theirs(margin=0.2, distance=SQUARED, swap=True, reducer=MEAN),
            arrays.labeled,
            similarity=negative_squared_distance,
            swap=True,
        ),
        case(
            losses.triplet_all,
            theirs(margin=0.1, distance=noise),
            arrays.labeled,
            similarity=signal_to_noise,
            margin=0.1,
            non_zero=True,
        ),
        case(
            calls.semi_hard_triplets,
            theirs(
                margin=0.3,
                distance=PLAIN,
                reducer=MEAN,
                miner=spec(
                    f"{PML}.miners.TripletMarginMiner",
                    margin=0.3,
                    type_of_triplets="semihard",
                    distance=PLAIN,
                ),
            ),
            arrays.labeled,
            "mined",
        ),
        case(
            calls.wide_triplets,
            theirs(
                margin=0.0,
                distance=PLAIN,
                smooth_loss=True,
                miner=spec(f"{PML}.miners.AngularMiner", angle=20),
            ),
            arrays.labeled,
            "unit_mined",
            note="of rows of unit length, as PML's miner does not normalize them",
        ),
    ]


def of_hinges() -> list[Case]:
    """Bounds of pairs, and many of them at once."""
    noise = spec(f"{PML}.distances.SNRDistance", normalize_embeddings=False)
    bounds = dict(positive_bound=0.0, negative_bound=-1.0)
    return [
        case(losses.pair_hinge, pml("ThresholdConsistentMarginLoss"), arrays.labeled),
        case(
            losses.pair_hinge,
            pml(
                "ThresholdConsistentMarginLoss",
                lambda_plus=2.0,
                lambda_minus=0.5,
                margin_plus=0.6,
                margin_minus=0.1,
            ),
            arrays.labeled,
            positive_weight=2.0,
            negative_weight=0.5,
            positive_bound=0.6,
            negative_bound=0.1,
        ),
        case(
            losses.pair_hinge,
            pml("ContrastiveLoss", distance=PLAIN),
            arrays.labeled,
            similarity=negative_distance,
            **bounds,
        ),
        case(
            losses.pair_hinge,
            pml("SignalToNoiseRatioContrastiveLoss", distance=noise),
            arrays.labeled,
            similarity=signal_to_noise,
            **bounds,
        ),
        case(
            losses.generalized_lifted,
            pml("GeneralizedLiftedStructureLoss", distance=PLAIN),
            arrays.even,
        ),
        case(
            losses.generalized_lifted,
            pml("GeneralizedLiftedStructureLoss", distance=SQUARED, neg_margin=3.0),
            arrays.even,
            similarity=negative_squared_distance,
            margin=3.0,
        ),
        case(
            losses.tuplet_margin,
            pml("TupletMarginLoss", margin=float(np.rad2deg(0.1))),
            arrays.labeled,
        ),
        case(
            losses.tuplet_margin,
            pml("TupletMarginLoss", margin=30, scale=5.0),
            arrays.labeled,
            margin=math.pi / 6,
            scale=5.0,
        ),
        case(losses.intra_pair_variance, pml("IntraPairVarianceLoss"), arrays.labeled),
        case(
            losses.intra_pair_variance,
            pml("IntraPairVarianceLoss", pos_eps=0.3, neg_eps=0.2),
            arrays.labeled,
            positive_slack=0.3,
            negative_slack=0.2,
        ),
        case(
            calls.hardest_shares,
            pml(
                "MultiSimilarityLoss",
                miner=spec(
                    f"{PML}.miners.HDCMiner",
                    filter_percentage=0.4,
                    distance=spec(f"{PML}.distances.CosineSimilarity"),
                ),
            ),
            arrays.even,
            "mined",
        ),
    ]


def of_lists() -> list[Case]:
    """Of a row and all others, in order."""
    small = "PML adds 1e-5 for each row to the sum of the weights"
    return [
        case(losses.histogram, pml("HistogramLoss"), arrays.even),
        case(
            losses.histogram, pml("HistogramLoss", n_bins=20), arrays.even, num_bins=20
        ),
        case(losses.pnp, pml("PNPLoss", variant="Ds"), arrays.even),
        case(calls.pnp_quotient, pml("PNPLoss", variant="Dq", alpha=3), arrays.even),
        case(calls.pnp_bounded, pml("PNPLoss", variant="Ib", b=2), arrays.even),
        case(
            losses.ranked_list,
            pml("RankedListLoss", margin=0.4, Tn=10, alpha=1.2),
            arrays.labeled,
            note=small,
        ),
        case(
            losses.ranked_list,
            pml("RankedListLoss", margin=0.2, Tn=2, Tp=3, alpha=1.0, imbalance=0.3),
            arrays.labeled,
            boundary=1.0,
            margin=0.2,
            positive_temperature=3.0,
            negative_temperature=2.0,
            balance=0.3,
            note=small,
        ),
    ]


def of_memories() -> list[Case]:
    """Compared with earlier rows, too."""
    fixed = "PML's memory holds the batch itself, without gradient"
    return [
        case(calls.sup_con_recalled, pml("SupConLoss"), arrays.recalled, "recalled"),
        case(
            calls.multi_similarity_recalled,
            pml("MultiSimilarityLoss"),
            arrays.recalled,
            "recalled",
        ),
        case(
            calls.sup_con_recalled,
            pml("CrossBatchMemory", loss=pml("SupConLoss"), embedding_size=4),
            arrays.recalled,
            "cross_batch",
            note=fixed,
        ),
    ]


def of_weights() -> list[Case]:
    """Penalties of weights and centers."""
    classes = dict(num_classes=arrays.NUM_CLASSES, centers_per_class=3)
    regularizers = f"{PML}.regularizers"
    return [
        case(
            losses.regular_face,
            spec(f"{regularizers}.RegularFaceRegularizer"),
            arrays.weights,
        ),
        case(
            losses.sparse_centers,
            spec(f"{regularizers}.SparseCentersRegularizer", **classes),
            arrays.centers,
            "flat",
        ),
    ]


def of_walks() -> list[Case]:
    """Histograms that are carried along, walks of rows and proxies, uniform draws."""
    histogram = partial(pml, "DynamicSoftMarginLoss", num_bins=40)
    fixed = "PML fills distances in place, which torch cannot differentiate, so of a "
    fixed += "copy; its weights would have a gradient, which the authors stop"
    groups = partial(arrays.prototyped, name="proxies")
    distant = spec(
        f"{PML}.miners.UniformHistogramMiner",
        num_bins=10000,
        pos_per_bin=1,
        neg_per_bin=1,
        distance=PLAIN,
    )
    return [
        case(
            calls.first_dynamic_margin,
            histogram(),
            arrays.views,
            "carried",
            note=fixed,
        ),
        case(
            calls.dynamic_margin,
            histogram(),
            arrays.carried,
            "carried",
            note=f"{fixed}; its momentum is of a sum over the batch",
        ),
        case(
            losses.manifold_similarity,
            pml("ManifoldLoss"),
            groups,
            "walked",
            temperature=0.5,
        ),
        case(
            losses.manifold_similarity,
            pml("ManifoldLoss", alpha=0.99, lambdaC=0.3, margin=0.1),
            groups,
            "walked",
            walk_rate=0.99,
            temperature=0.5,
            margin=0.1,
            context_weight=0.3,
        ),
        case(
            calls.uniform_pairs,
            pml("ContrastiveLoss", distance=PLAIN, miner=distant),
            arrays.eight,
            "mined",
            note="of eight rows, so that a bin has a pair, both ways, or none",
        ),
    ]


def of_reducers() -> list[Case]:
    """What reducers of PML do, by calls for each row, or for each kind of pair."""
    reducer = f"{PML}.reducers"
    anchors = spec(f"{reducer}.PerAnchorReducer")
    hinges = partial(pml, "ContrastiveLoss", distance=PLAIN, neg_margin=9)
    weights = spec("torch.tensor", data=list(calls.CLASS_WEIGHTS))
    return [
        case(
            calls.class_weighted,
            pml(
                "CosFaceLoss",
                reducer=spec(f"{reducer}.ClassWeightedReducer", weights=weights),
                num_classes=arrays.NUM_CLASSES,
                embedding_size=4,
            ),
            arrays.prototyped,
            "with_weights",
        ),
        case(
            calls.between_thresholds,
            pml(
                "TripletMarginLoss",
                margin=0.2,
                distance=SQUARED,
                reducer=spec(f"{reducer}.ThresholdReducer", low=0.5, high=3.0),
            ),
            arrays.triples,
            "triplets",
        ),
        case(calls.per_anchor, hinges(reducer=anchors), arrays.labeled),
        case(
            calls.of_each_kind,
            hinges(
                reducer=spec(
                    f"{reducer}.MultipleReducers",
                    reducers=spec("builtins.dict", neg_loss=anchors),
                    default_reducer=spec(f"{reducer}.AvgNonZeroReducer"),
                )
            ),
            arrays.labeled,
        ),
    ]
