"""What `public_losses` compares with pytorch-metric-learning: a row a loss."""

import math
from functools import partial

import numpy as np

from experiments.benchmarks import public_losses_arrays as arrays
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks.public_losses_calls import PML, Case, case, pml, spec
from repr_jax import losses
from repr_jax.ops.similarity import cosine, dot


def of_pairs() -> list[Case]:
    """Losses of pairs and triplets."""
    plain = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False)
    squared = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False, power=2)
    mean = spec(f"{PML}.reducers.MeanReducer")
    apart = spec(f"{PML}.reducers.DoNothingReducer")
    hadsell = "Hadsell et al. square both terms and take one mean over all pairs"
    positive = (
        "PML averages over the triplets that are above 0, Schroff et al. over all"
    )
    return [
        case(
            losses.nt_xent,
            pml("NTXentLoss", temperature=0.2),
            arrays.views,
            "as_views",
            temperature=0.2,
        ),
        case(losses.sup_con, pml("SupConLoss"), arrays.labeled),
        case(
            losses.sup_con,
            pml("SupConLoss", temperature=0.5),
            arrays.labeled,
            temperature=0.5,
        ),
        case(losses.vicreg, pml("VICRegLoss"), arrays.views, "beside"),
        case(losses.multi_similarity, pml("MultiSimilarityLoss"), arrays.labeled),
        case(
            losses.multi_similarity,
            pml("MultiSimilarityLoss", alpha=1.0, beta=9.0, base=0.1),
            arrays.labeled,
            positive_sharpness=1.0,
            negative_sharpness=9.0,
            base=0.1,
        ),
        case(
            calls.informative,
            pml(
                "MultiSimilarityLoss",
                miner=spec(f"{PML}.miners.MultiSimilarityMiner"),
            ),
            arrays.labeled,
            "mined",
        ),
        case(losses.circle, pml("CircleLoss"), arrays.labeled),
        case(
            calls.beyond_margins,
            pml(
                "CircleLoss",
                miner=spec(
                    f"{PML}.miners.PairMarginMiner",
                    pos_margin=0.6,
                    neg_margin=-0.3,
                    distance=spec(f"{PML}.distances.CosineSimilarity"),
                ),
            ),
            arrays.labeled,
            "mined",
        ),
        case(
            losses.circle,
            pml("CircleLoss", m=0.25, gamma=5),
            arrays.labeled,
            margin=0.25,
            scale=5,
        ),
        case(
            losses.triplet,
            pml("TripletMarginLoss", margin=0.2, distance=squared),
            arrays.triples,
            "triplets",
            note=positive,
        ),
        case(
            losses.triplet,
            pml("TripletMarginLoss", margin=0.2, distance=squared, reducer=mean),
            arrays.triples,
            "triplets",
            note="as above, by PML's MeanReducer",
        ),
        case(
            calls.hardest_of_unit_rows,
            pml(
                "TripletMarginLoss",
                margin=0.1,
                reducer=mean,
                miner=spec(f"{PML}.miners.BatchHardMiner"),
            ),
            arrays.labeled,
            "mined",
        ),
        case(
            losses.contrastive_margin,
            pml("ContrastiveLoss", distance=plain),
            arrays.labeled,
            note=hadsell,
        ),
        case(
            losses.contrastive_margin,
            pml("ContrastiveLoss", distance=plain, reducer=apart),
            arrays.labeled,
            "squared_terms",
            note="as above, PML's terms squared and averaged so",
        ),
    ]


def of_tuplets() -> list[Case]:
    """Pairs with many negatives, and average precision."""
    plain = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False)
    squared = spec(f"{PML}.distances.LpDistance", normalize_embeddings=False, power=2)
    product = spec(f"{PML}.distances.DotProductSimilarity", normalize_embeddings=False)
    long = "PML leaves negatives as long as they are; Wang et al. normalize all rows"
    even = "PML forms wrong classes unless there are as many as rows of each, as here"
    return [
        case(losses.nca, pml("NCALoss", distance=squared), arrays.labeled),
        case(
            losses.nca,
            pml("NCALoss", softmax_scale=4.0),
            arrays.labeled,
            similarity=cosine,
            temperature=0.125,
        ),
        case(
            losses.info_nce,
            pml("NPairsLoss", distance=product),
            arrays.asked,
            "as_views",
            similarity=dot,
            temperature=1.0,
        ),
        case(losses.angular, pml("AngularLoss", alpha=45), arrays.labeled, note=long),
        case(
            losses.angular,
            pml("AngularLoss", alpha=45),
            arrays.labeled,
            "unit_rows",
            note="as above, of rows of unit length",
        ),
        case(
            losses.angular,
            pml("AngularLoss", alpha=30),
            arrays.labeled,
            "unit_rows",
            angle=math.pi / 6,
            note="of rows of unit length",
        ),
        case(
            losses.lifted_structure,
            pml("LiftedStructureLoss", distance=plain),
            arrays.labeled,
        ),
        case(
            losses.distance_margin,
            pml("MarginLoss", distance=plain),
            arrays.triples,
            "triplets",
        ),
        case(
            losses.distance_margin,
            pml("MarginLoss", distance=plain, beta=2.0, margin=0.7),
            arrays.triples,
            "triplets",
            boundary=2.0,
            margin=0.7,
        ),
        case(losses.smooth_ap, pml("SmoothAPLoss"), arrays.even, note=even),
        case(
            losses.smooth_ap,
            pml("SmoothAPLoss", temperature=0.3),
            arrays.even,
            temperature=0.3,
            note=even,
        ),
        case(losses.fast_ap, pml("FastAPLoss"), arrays.labeled),
        case(losses.fast_ap, pml("FastAPLoss", num_bins=4), arrays.labeled, num_bins=4),
    ]


def of_classes() -> list[Case]:
    """Losses with weights, proxies or centers of classes."""

    def learned(name, **options):
        return pml(name, **options, num_classes=arrays.NUM_CLASSES, embedding_size=4)

    degrees = float(np.rad2deg(0.5))
    return [
        case(
            losses.cosface,
            learned("CosFaceLoss", margin=0.35, scale=64),
            arrays.prototyped,
            "with_weights",
        ),
        case(
            losses.cosface,
            learned("NormalizedSoftmaxLoss", temperature=0.05),
            arrays.prototyped,
            "with_weights",
            margin=0.0,
            scale=20.0,
        ),
        case(
            losses.arcface,
            learned("ArcFaceLoss", margin=degrees, scale=64),
            arrays.prototyped,
            "with_weights",
        ),
        case(
            losses.arcface,
            learned("ArcFaceLoss", margin=float(np.rad2deg(1.2)), scale=8),
            arrays.prototyped,
            "with_weights",
            margin=1.2,
            scale=8.0,
        ),
        case(
            losses.cosface,
            learned("ProxyNCALoss"),
            arrays.prototyped,
            "with_weights",
            margin=0.0,
            scale=2.0,
            note="as ProxyNCA++ has it: the own proxy is in the denominator, too",
        ),
        case(
            losses.sphereface,
            learned("SphereFaceLoss"),
            arrays.prototyped,
            "with_weights",
        ),
        case(
            losses.sphereface,
            learned("SphereFaceLoss", margin=3, scale=2.0),
            arrays.prototyped,
            "with_weights",
            margin=3,
            scale=2.0,
        ),
        case(
            calls.large_margin_softmax,
            learned("LargeMarginSoftmaxLoss"),
            arrays.prototyped,
            "with_weights",
        ),
        case(
            losses.sub_center_arcface,
            learned("SubCenterArcFaceLoss", margin=degrees),
            arrays.centered,
            "with_weights",
        ),
        case(
            losses.soft_triple,
            learned("SoftTripleLoss", centers_per_class=3),
            arrays.centered,
            "with_weights",
        ),
        case(
            losses.soft_triple,
            learned("SoftTripleLoss", centers_per_class=3, la=5, gamma=0.5, margin=0.2),
            arrays.centered,
            "with_weights",
            scale=5.0,
            temperature=0.5,
            margin=0.2,
        ),
        case(
            losses.proxy_anchor,
            learned("ProxyAnchorLoss"),
            partial(arrays.prototyped, name="proxies"),
            "with_weights",
        ),
        case(
            losses.proxy_anchor,
            learned("ProxyAnchorLoss", margin=0.3, alpha=4.0),
            partial(arrays.prototyped, name="proxies"),
            "with_weights",
            margin=0.3,
            sharpness=4.0,
        ),
    ]
