"""Every figure that `evaluate` can report: what it says, its unit, which way is better and what it needs. (Imports nothing heavy.)"""

from __future__ import annotations

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
    "mask_iou": Measure("overlap of the mask (automatic threshold) with the true one, mean over pictures", "0 to 1", "higher", MASKS),
    "mask_iou_clear": Measure("the same, glasses with clear lenses only", "0 to 1", "higher", MASKS),
    "mask_iou_tinted": Measure("the same, glasses with tinted lenses only", "0 to 1", "higher", MASKS),
    "leakage_linear": Measure("how often a linear reader tells the set from the common code; chance .50", "share", "lower", MEMBERS),
    "leakage_mlp": Measure("how often a small network tells the set from the common code; chance .50", "share", "lower", MEMBERS),
    "zero_residual": Measure(
        "size of the separate code on pictures that lack the part, over that on pictures that have it", "ratio", "lower", MEMBERS
    ),
    "alexnet_kid": Measure("distance of transfers to real pictures of b in AlexNet's features", "AlexNet-KID", "lower", "a features file"),
    "reconstruction_error": Measure("mean error of pictures encoded and decoded again", "1/255", "lower"),
}
