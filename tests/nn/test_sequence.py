"""Networks over time: what goes fast is what nn.Conv1d makes of the same weights, and learns the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.puppet import Puppet
from unweave.nn.sequence import ClipDecoder, Double, Halve, Slide, StillEncoder


def plainly(layer: nn.Conv1d, x: Tensor) -> Tensor:
    return nn.Conv1d.forward(layer, x.transpose(1, 2)).transpose(1, 2)


def compare(fast: Tensor, plain: Tensor, learning: list[Tensor]) -> None:
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(plain)
    for one, two in zip(*(torch.autograd.grad((made * weights).sum(), learning) for made in (fast, plain)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("frames", [4, 9, 16, 33])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(7, 1, 3), (8, 2, 3), (1, 1, 0)])
def test_slide_is_a_convolution_with_reflection(kernel: int, stride: int, pad: int, frames: int) -> None:
    torch.manual_seed(0)
    layer, x = Slide(5, 6, kernel, stride, pad), torch.randn(3, frames, 5, requires_grad=True)
    compare(layer(x), plainly(layer, x), [x, *layer.parameters()])


@pytest.mark.parametrize("steps", [2, 3, 4, 17])
def test_double_is_nearest_frames_and_a_convolution(steps: int) -> None:
    torch.manual_seed(0)
    layer, x = Double(5, 6), torch.randn(3, steps, 5, requires_grad=True)
    twice = F.interpolate(x.transpose(1, 2), scale_factor=2.0, mode="nearest").transpose(1, 2)
    compare(layer(x), plainly(layer, twice), [x, *layer.parameters()])


def test_halve_pools_after_the_activation() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8, 5, requires_grad=True)
    for pool, plain in (("max", F.max_pool1d), ("average", F.avg_pool1d)):
        compare(Halve(pool)(x), plain(F.leaky_relu(x, 0.2).transpose(1, 2), 2).transpose(1, 2), [x])


def test_still_codes_beside_a_moving_one_are_repeated_in_each_step() -> None:
    torch.manual_seed(0)
    decoder = ClipDecoder(7, 4, (6, 5)).eval()
    x, still = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 5, 3, requires_grad=True)
    beside = torch.cat([x[:, None].expand(-1, 5, -1, -1), still[:, :, None].expand(-1, -1, 3, -1)], 3).flatten(0, 1)
    compare(decoder(x, still), decoder(beside), [x, still, *decoder.parameters()])


def test_names_of_weights_are_those_of_the_files() -> None:
    assert [name for name, _ in StillEncoder(3, 2, "max").named_parameters() if "weight" in name] == [
        "body.0.weight",
        "body.3.weight",
        "body.6.weight",
        "last.weight",
    ]


def test_a_puppets_recombinations_one_by_one() -> None:
    torch.manual_seed(0)
    puppet = Puppet(8, 4, 3, widths=(6, 6))
    puppet.typical.copy_(torch.rand(15) + 0.5)
    motion, skeleton, view = torch.randn(2, 2, 2, 8), torch.randn(2, 3, 4), torch.randn(2, 2, 3)
    made = puppet.grid(motion, skeleton, view)
    assert made.shape == (2, 2, 3, 2, 16, 30)
    space = puppet.directions(motion[:, 1])  # (N, T, 3, 15)
    assert space[..., :14].square().sum(2).max() <= 1 + 1e-5
    turn, long = puppet.angle(view[:, 1]), puppet.lengths(skeleton[:, 2])
    across = turn[:, None, :1] * space[:, :, 0] + turn[:, None, 1:] * space[:, :, 2]
    drawn = torch.stack([across, space[:, :, 1]], 3) * long[:, None, :, None]  # (N, T, 15, 2)
    torch.testing.assert_close(made[:, 1, 2, 1], (puppet.tree @ drawn).flatten(2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(puppet.limbs(made[:, 1, 2, 1]), drawn, rtol=1e-3, atol=1e-5)


def test_what_a_puppet_reads_is_over_its_length_and_bounded() -> None:
    torch.manual_seed(0)
    puppet = Puppet(8, 4, 3)
    clips, skeleton, view = 3 * torch.randn(2, 16, 30), torch.randn(2, 4), torch.randn(2, 3)
    limbs = puppet.limbs(clips) / puppet.lengths(skeleton)[:, None, :, None]
    most = torch.tensor([1.3] * 14 + [8.0])[:, None]
    wanted = limbs * (most / torch.linalg.vector_norm(limbs, dim=3, keepdim=True).maximum(most))
    read = puppet.bare(clips, skeleton, view)
    torch.testing.assert_close(read[..., :30], wanted.flatten(2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(read[:, 5, 30:], puppet.angle(view))
