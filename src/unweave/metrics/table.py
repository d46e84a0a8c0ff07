"""Every figure that `evaluate` can report: what it says, its unit, which way is better and what it needs. (Imports nothing heavy.)"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """what: one line. unit: of the value. better: which way. needs: what must be known about the data beside the pictures."""

    what: str
    unit: str
    better: Literal["higher", "lower"]
    needs: str = ""

    def __str__(self) -> str:
        needs = f"; needs {self.needs}" if self.needs else ""
        return f"{self.what} ({self.unit}, {self.better} is better{needs})"


MEMBERS = "two sets"
WORN = "true pictures with the part"
CLEAN = "true pictures without the part"
MASKS = "true masks"
LABELS = "attributes"
FACTORS = "true factors"
NEW = "classes that training has not seen"
CONTENTS = "classes whose contents are known, as letters of typefaces"
TRUE = "true pictures with another value"
PEOPLE = "pictures of other people in the same place"
GRID = "every motion on every body from every view"

MEASURES: dict[str, Measure] = {
    "transfer_success": Measure("transfers in which an independent judge sees the part", "share", "higher", MEMBERS),
    "removal_success": Measure("removals in which an independent judge no longer sees the part", "share", "higher", MEMBERS),
    "part_match": Measure("transfers nearest to the truth with this donor's part among ten donors'; chance .10", "share", "higher", WORN),
    "transfer_error_ratio": Measure("error to the true transfer where the part is, over that of doing nothing", "ratio", "lower", WORN),
    "removal_error_ratio": Measure("error to the true face where the part was, over that of doing nothing", "ratio", "lower", CLEAN),
    "outside_change": Measure("mean change of the target outside the part by a transfer", "1/255", "lower", WORN),
    "outside_change_worst_block": Measure("the same in a picture's worst 8x8 block; 95 % of pictures stay below", "1/255", "lower", WORN),
    "outside_change_worst_block_median": Measure(
        "the same in a picture's worst 8x8 block; half of the pictures stay below", "1/255", "lower", WORN
    ),
    "removal_outside_change": Measure("mean change outside the part by a removal", "1/255", "lower", CLEAN),
    "removal_outside_change_worst_block": Measure("the same in the worst 8x8 block; 95 % of pictures stay below", "1/255", "lower", CLEAN),
    "removal_outside_change_worst_block_median": Measure("the same in the worst 8x8 block; half stay below", "1/255", "lower", CLEAN),
    "identity_kept": Measure(
        "transfers nearest, outside the part, to this person's picture among ten people's in this place; chance .10",
        "share",
        "higher",
        PEOPLE,
    ),
    "removal_identity_kept": Measure("the same of removals", "share", "higher", PEOPLE),
    "mask_iou": Measure("overlap of the mask (automatic threshold) with the true one, mean over pictures", "0 to 1", "higher", MASKS),
    "mask_iou_clear": Measure("the same, glasses with clear lenses only", "0 to 1", "higher", MASKS),
    "mask_iou_tinted": Measure("the same, glasses with tinted lenses only", "0 to 1", "higher", MASKS),
    "leakage_linear": Measure("how often a linear reader tells the set from the common code; chance .50", "share", "lower", MEMBERS),
    "leakage_mlp": Measure("how often a small network tells the set from the common code; chance .50", "share", "lower", MEMBERS),
    "zero_residual": Measure(
        "size of the separate code on pictures that lack the part, over that on pictures that have it", "ratio", "lower", MEMBERS
    ),
    # Of two sets with a part each:
    "union_success": Measure("unions in which an independent judge sees both parts", "share", "higher", WORN),
    "intersection_success": Measure("intersections in which an independent judge sees neither part", "share", "higher", CLEAN),
    "union_match": Measure("unions nearest to the truth with this b's part among ten; chance .10", "share", "higher", WORN),
    "union_error_ratio": Measure("error to the true union where b's part is, over that of doing nothing", "ratio", "lower", WORN),
    "intersection_error_ratio": Measure("error to the true face where the part was, over that of doing nothing", "ratio", "lower", CLEAN),
    "union_outside_change": Measure("mean change of a picture of a outside b's part by a union", "1/255", "lower", WORN),
    "intersection_outside_change": Measure("mean change outside the part by an intersection", "1/255", "lower", CLEAN),
    "union_identity_kept": Measure("as identity_kept: unions, outside b's part, that still show a's person", "share", "higher", PEOPLE),
    "intersection_identity_kept": Measure("the same of intersections, outside the part", "share", "higher", PEOPLE),
    "zero_residual_a": Measure("size of what the code of a's part says of b, over what it says of a", "ratio", "lower", MEMBERS),
    "zero_residual_b": Measure("size of what the code of b's part says of a, over what it says of b", "ratio", "lower", MEMBERS),
    "alexnet_kid": Measure("distance of transfers to real pictures of b in AlexNet's features", "AlexNet-KID", "lower", "a features file"),
    # Of each attribute, by a direction of styles in a model that samples: glasses_direction_success ...
    "NAME_direction_success": Measure(
        "samples in which a judge sees the attribute turned round by a step along one direction", "share", "higher", LABELS
    ),
    "NAME_direction_others_kept": Measure("other attributes that the judge reads as before that step", "share", "higher", LABELS),
    "NAME_direction_colour_change": Measure("mean change of the sample's colours, in 8x8 cells, by that step", "1/255", "lower", LABELS),
    # Of each attribute, under its own name: glasses_success ...
    "NAME_success": Measure(
        "edits in which a judge reads what was asked for (of a number: within .15); of 0 and 1 the other one is asked for",
        "share",
        "higher",
        LABELS,
    ),
    "NAME_others_kept": Measure("other attributes that the judge reads as before the edit", "share", "higher", LABELS),
    "NAME_monotone": Measure(
        "pictures on which the judge's answer rises along the slider (rank correlation >= .95)", "share", "higher", LABELS
    ),
    "NAME_cycle_error": Measure(
        "error of pictures changed as asked and back, over how much they were changed; 1: nothing is taken back", "ratio", "lower", LABELS
    ),
    "NAME_error_ratio": Measure(
        "error to the true picture where the attribute shows, over that of doing nothing; of 0 and 1, removals", "ratio", "lower", TRUE
    ),
    "NAME_outside_change": Measure("mean change of the picture elsewhere", "1/255", "lower", TRUE),
    "NAME_identity_kept": Measure(
        "edits nearest, elsewhere, to this person's picture among ten people's in this place; chance .10", "share", "higher", PEOPLE
    ),
    "NAME_leakage_linear": Measure(
        "how often a linear reader tells the attribute from the code that should not know it; chance .50, of K classes 1 / K",
        "share",
        "lower",
        LABELS,
    ),
    "NAME_leakage_mlp": Measure("how often a small network tells it; the same chance", "share", "lower", LABELS),
    # Of translations with K examples of a new class: class_top1_k1, class_top1_k5 ...
    "class_top1_kK": Measure(
        "translations that a judge takes for the new class, over its accuracy on real pictures", "ratio", "higher", NEW
    ),
    "class_top5_kK": Measure("the same, the new class among the judge's first five", "ratio", "higher", NEW),
    "content_kept_kK": Measure(
        "translations in which a judge reads the content, over its accuracy on real pictures", "ratio", "higher", CONTENTS
    ),
    "glyph_error_kK": Measure("mean difference from the true picture", "1/255", "lower", CONTENTS),
    "ink_iou_kK": Measure("overlap of what is dark with what is dark in the true picture", "0 to 1", "higher", CONTENTS),
    "class_kid_kK": Measure(
        "distance of a class's translations from its real pictures in AlexNet's features, mean over classes",
        "AlexNet-KID",
        "lower",
        "a features file",
    ),
    "class_gain": Measure("rise of the judge's share of the new class from K = 1 to K = 10, paired by class", "share", "higher", NEW),
    "content_random_class": Measure(
        "content read with class codes that no class has, over the judge's accuracy on real pictures", "ratio", "higher", CONTENTS
    ),
    "mig_b20_n10k": Measure(
        "for each factor, the information of the number of the code that knows most, less the second's, over the factor's entropy",
        "0 to 1",
        "higher",
        FACTORS,
    ),
    "modularity_b20_n10k": Measure("whether each number of the code knows about one factor only", "0 to 1", "higher", FACTORS),
    "explicitness_b20_n10k": Measure(
        "how well a linear reader of the whole code tells a factor's values apart, area under ROC; chance .50", "0 to 1", "higher", FACTORS
    ),
    "sap_svc_b5_n10k": Measure(
        "for each factor, accuracy of a linear reader of the best number, less the second's; at best about .4", "0 to 1", "higher", FACTORS
    ),
    "dci_gbt_n2k_disentanglement": Measure("whether each number matters to the trees of one factor only", "0 to 1", "higher", FACTORS),
    "dci_gbt_n2k_completeness": Measure("whether the trees of each factor need one number only", "0 to 1", "higher", FACTORS),
    "dci_gbt_n2k_informativeness": Measure("how often these trees read a factor right", "share", "higher", FACTORS),
    "beta_vae_l64_n10k": Measure(
        "how often a linear reader of 64 differences tells which factor was held; of F factors chance 1 / F", "share", "higher", FACTORS
    ),
    "factor_vae_l64_n10k": Measure(
        "how often the stillest number of 64 codes tells which factor was held; of F factors chance 1 / F", "share", "higher", FACTORS
    ),
    "irs_q99_n10k": Measure("how little each number moves while its factor is held and the others change", "0 to 1", "higher", FACTORS),
    "generator_matrix_n200": Measure(
        "share of the most moved factor in what one number of the code moves in the picture; of F factors at least 1 / F",
        "share",
        "higher",
        FACTORS,
    ),
    "pose_error": Measure("distance of joints from the true clip's, the hips of each frame laid on one another", "heights", "lower", GRID),
    "pose_error_same_view": Measure("the same where motion, body and view come from clips seen from one angle", "heights", "lower", GRID),
    "travel_error": Measure("distance of the hips from the true ones, both from the origin on", "heights", "lower", GRID),
    "foot_skate": Measure("speed of feet while the true ones stand, beyond theirs", "heights/s", "lower", GRID),
    "bone_error": Measure("difference of a limb's length in the picture from the true one", "heights", "lower", GRID),
    **{
        f"{factor}_in_{code}": Measure(
            f"how often a linear reader tells the {factor} from the {code} code, of {of}",
            "share",
            "higher" if factor == code else "lower",
            GRID,
        )
        for factor, of in {"motion": "20 motions; chance .05", "skeleton": "20 bodies; chance .05", "view": "7 angles; chance .14"}.items()
        for code in ("motion", "skeleton", "view")
    },
    **{
        f"{name}_kid_samples{share}": Measure(
            f"distance of samples to held-out pictures in {whose} features" + (", over that of these pictures blurred" if share else ""),
            "ratio" if share else unit,
            "lower",
            needs,
        )
        for name, whose, unit, needs in (
            ("alexnet", "AlexNet's", "AlexNet-KID", "a features file"),
            ("inception", "Inception's", "KID", "torchmetrics"),
            ("random", "fixed random", "random-KID", ""),
        )
        for share in ("", "_of_blurred")
    },
    "precision_knn3": Measure("samples that are as near to a real picture as its third neighbour", "share", "higher"),
    "recall_knn3": Measure("real pictures that are as near to a sample as its third neighbour", "share", "higher"),
    "novelty": Measure("distance of samples to the nearest training picture, over that of held-out pictures", "ratio", "higher"),
    "path_length_z": Measure("how far a picture moves along a path through z, epsilon 1e-4, full paths", "distance / epsilon^2", "lower"),
    "path_length_w": Measure("the same through w", "distance / epsilon^2", "lower"),
    "separability_z": Measure("exp of what a plane through z leaves unknown of all attributes; at best 1", "ratio", "lower", LABELS),
    "separability_w": Measure("the same through w", "ratio", "lower", LABELS),
    "projection_psnr_w": Measure("how near held-out pictures come with one style for all layers", "dB", "higher"),
    "projection_psnr_w_plus": Measure("the same with a style for each layer", "dB", "higher"),
    "projection_distance_w": Measure("distance of local features to the picture, one style for all layers", "distance", "lower"),
    "projection_distance_w_plus": Measure("the same with a style for each layer", "distance", "lower"),
    "reconstruction_error": Measure("mean error of pictures encoded and decoded again", "1/255", "lower"),
}


def find(name: str) -> Measure:
    """What a name says: `glasses_success` is `NAME_success`, `ink_iou_k5` is `ink_iou_kK`. Raises KeyError for a name that is none."""
    name = re.sub(r"_k\d+$", "_kK", name)
    key = name if name in MEASURES else next((k for k in MEASURES if k.startswith("NAME_") and name.endswith(k[4:])), name)
    return MEASURES[key]


def ordered(names: Iterable[str]) -> list[str]:
    """Reported names in the order of the table; those of attributes stay together as they come."""
    rank = {name: i for i, name in enumerate(MEASURES)}
    return sorted(dict.fromkeys(names), key=lambda name: rank.get(re.sub(r"_k\d+$", "_kK", name), rank["NAME_success"]))
