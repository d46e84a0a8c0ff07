"""Weights between two models of which one goes on from the other: often better than either (Wortsman et al. 2022, WiSE-FT).

    python benchmarks/averaged.py BEFORE AFTER --share 0.8 -o FILE.safetensors

share: of AFTER; the rest is of BEFORE. Written in half precision, as models ship. Both are models by name, runs or weights files of one
method; settings are those of AFTER.
"""

import argparse
from pathlib import Path

import torch

import unweave as uw
from unweave import runs
from unweave.errors import UserError


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("before")
    options.add_argument("after")
    options.add_argument("--share", type=float, default=0.8)
    options.add_argument("-o", "--out", type=Path, required=True)
    wish = options.parse_args()
    before, after = uw.load(wish.before), uw.load(wish.after)
    one, other = before.kept(), after.kept()
    if {name: x.shape for name, x in one.items()} != {name: x.shape for name, x in other.items()}:
        raise UserError(f"{wish.before} and {wish.after} have other networks: only weights of one size can be averaged.")
    with torch.no_grad():
        for name, x in other.items():
            x.copy_(torch.lerp(one[name].float(), x.float(), wish.share))
    runs.export_half(after, wish.out, limit=8_000_000)


if __name__ == "__main__":
    main()
