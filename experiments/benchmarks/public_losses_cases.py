"""What `public_losses` compares: a row a loss and its options."""

from functools import partial

from experiments.benchmarks import public_losses_arrays as arrays
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks.public_losses_calls import Case, case, lightly, spec
from experiments.benchmarks.public_losses_metric import (
    of_hinges,
    of_lists,
    of_memories,
    of_reducers,
    of_triplets,
    of_walks,
    of_weights,
)
from experiments.benchmarks.public_losses_pml import of_classes, of_pairs, of_tuplets
from experiments.benchmarks.public_losses_views import of_patches, of_views
from repr_jax import losses

SIZES = ((6, 4), (17, 8), (32, 3))  # batch and dim


def cases() -> list[Case]:
    """All rows of the table."""
    parts = of_lightly, of_spread, of_views, of_patches
    parts += of_open_clip, of_pairs, of_tuplets, of_classes
    parts += of_triplets, of_hinges, of_lists, of_memories, of_weights
    parts += of_walks, of_reducers
    return [row for part in parts for row in part()]


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
        case(losses.dcl_weighted, lightly("DCLWLoss"), arrays.views),
        case(
            losses.dcl_weighted,
            lightly("DCLWLoss", temperature=0.5, sigma=0.2),
            arrays.views,
            temperature=0.5,
            sigma=0.2,
        ),
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
        case(losses.msn, lightly("MSNLoss"), arrays.masked_views, "view_by_view"),
        case(
            losses.msn,
            lightly(
                "MSNLoss",
                temperature=0.4,
                sinkhorn_iterations=1,
                regularization_weight=3.0,
            ),
            arrays.masked_views,
            "view_by_view",
            temperature=0.4,
            target_temperature=0.1,
            num_steps=1,
            entropy_weight=3.0,
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


def of_spread() -> list[Case]:
    """Those of lightly that act on moments, or on a distribution."""
    given = "lightly's directions are replaced by ours, its window by one in float64"
    unit = "lightly takes rows as they are, which are normalized here"
    return [
        case(
            losses.alignment_uniformity,
            lightly("hypersphere_loss.HypersphereLoss", t=2.0),
            arrays.views,
        ),
        case(
            losses.alignment_uniformity,
            lightly("hypersphere_loss.HypersphereLoss", t=1.0, lam=0.3, alpha=3.0),
            arrays.views,
            scale=1.0,
            uniformity_weight=0.3,
            power=3.0,
        ),
        case(losses.tico, lightly("TiCoLoss"), arrays.remembered, "remembered"),
        case(
            losses.tico,
            lightly("TiCoLoss", beta=0.3, rho=2.0),
            arrays.remembered,
            "remembered",
            decay=0.3,
            contrast_weight=2.0,
        ),
        case(
            losses.mmcr,
            lightly("MMCRLoss"),
            arrays.several,
            "stacked",
            local_weight=0.005,
            note=unit,
        ),
        case(losses.sigreg, lightly("SIGReg"), arrays.sketched, "sketched", note=given),
        case(
            losses.sigreg,
            lightly("SIGReg", knots=9, t_max=2.0),
            arrays.sketched,
            "sketched",
            num_knots=9,
            most=2.0,
            note=given,
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
