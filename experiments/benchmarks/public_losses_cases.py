"""What `public_losses` compares, a row a loss and its options."""

from functools import partial

import numpy as np

from experiments.benchmarks import public_losses_arrays as arrays
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks.public_losses_calls import (
    PML,
    Case,
    case,
    lightly,
    pml,
    spec,
)
from repr_jax import losses

SIZES = ((6, 4), (17, 8), (32, 3))  # batch and dim


def cases() -> list[Case]:
    """All rows of the table."""
    return [*of_lightly(), *of_open_clip(), *of_pairs(), *of_classes()]


def of_lightly() -> list[Case]:
    far = "lightly adds eps to every coordinate of a difference, and to the distance"
    return [
        case(losses.nt_xent, lightly("NTXentLoss"), arrays.views, temperature=0.5),
        case(
            losses.nt_xent,
            lightly("NTXentLoss", temperature=0.07),
            arrays.views,
            temperature=0.07,
        ),
        case(
            calls.direct_clr,
            lightly("DirectCLRLoss", loss_dim=2),
            arrays.views,
            "first_features",
        ),
        case(
            losses.moco,
            lightly("NTXentLoss", temperature=0.2, memory_bank_size=(12, 4)),
            arrays.queued,
            "queued",
            temperature=0.2,
        ),
        case(losses.dcl, lightly("DCLLoss"), arrays.views, temperature=0.1),
        case(losses.barlow_twins, lightly("BarlowTwinsLoss"), arrays.views),
        case(
            losses.barlow_twins,
            lightly("BarlowTwinsLoss", lambda_param=0.3),
            arrays.views,
            off_diagonal_weight=0.3,
        ),
        case(losses.vicreg, lightly("VICRegLoss"), arrays.views),
        case(
            losses.vicreg,
            lightly("VICRegLoss", lambda_param=3.0, mu_param=2.0, nu_param=0.5),
            arrays.views,
            invariance_weight=3.0,
            variance_weight=2.0,
            covariance_weight=0.5,
        ),
        case(
            losses.negative_cosine,
            lightly("NegativeCosineSimilarity"),
            arrays.predicted,
            "target_fixed",
        ),
        case(
            calls.byol_of_cosine,
            lightly("NegativeCosineSimilarity"),
            arrays.predicted,
            "target_fixed",
        ),
        case(losses.swav, lightly("SwaVLoss"), arrays.clustered, "clustered"),
        case(
            losses.swav,
            lightly(
                "SwaVLoss",
                temperature=0.2,
                sinkhorn_iterations=5,
                sinkhorn_epsilon=0.1,
            ),
            partial(arrays.clustered, stored=True),
            "clustered",
            temperature=0.2,
            num_steps=5,
            epsilon=0.1,
        ),
        case(losses.dino, lightly("DINOLoss", output_dim=1), arrays.crops, "centered"),
        case(
            losses.dino,
            lightly("DINOLoss", output_dim=1, teacher_temp=0.07, student_temp=0.2),
            arrays.crops,
            "centered",
            temperature=0.2,
            target_temperature=0.07,
        ),
        case(
            calls.ibot_of_logits,
            lightly("IBOTPatchLoss", output_dim=1),
            arrays.patches,
            "masked",
        ),
        case(losses.koleo, lightly("KoLeoLoss"), arrays.one_view, note=far),
        case(
            losses.koleo,
            lightly("KoLeoLoss", eps=1e-30),
            arrays.one_view,
            epsilon=1e-30,
            note="as above, without eps",
        ),
    ]


def of_open_clip() -> list[Case]:
    scaled = partial(arrays.captioned, scale=9.0)
    return [
        case(
            calls.clip_of_scale,
            spec("open_clip.loss.ClipLoss"),
            scaled,
            "images_and_texts",
        ),
        case(
            calls.siglip_of_scale,
            spec("open_clip.loss.SigLipLoss"),
            partial(arrays.captioned, scale=9.0, bias=-3.0),
            "images_and_texts",
        ),
        case(
            calls.coca,
            spec(
                "open_clip.loss.CoCaLoss", caption_loss_weight=2.0, clip_loss_weight=1.0
            ),
            arrays.with_captions,
            "captions",
        ),
        case(
            calls.distilled_clip,
            spec("open_clip.loss.DistillClipLoss"),
            arrays.with_teacher,
            "distilled",
        ),
    ]


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
        case(losses.circle, pml("CircleLoss"), arrays.labeled),
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
