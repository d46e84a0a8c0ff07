"""The parts of networks: shapes at every size that methods promise, and what each docstring says of its start."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unweave.nn.blocks import (
    BatchNorm,
    Double,
    DoublingConv,
    Halve,
    HalvingConv,
    ModulatedDouble,
    ModulatedResidual,
    Modulation,
    Residual,
    doubled,
    down,
    multiplied,
    norm,
    together,
)
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.decoders import ContextPainter, Decoder, ResidualDecoder, SquaresDecoder, VectorDecoder
from unweave.nn.encoders import ContextEncoder, Encoder, VectorEncoder
from unweave.nn.patches import patches, summed
from unweave.nn.steered import PlanesDecoder


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [32, 48, 64, 128])
def test_default_networks_of_mask_fit_every_size(size: int) -> None:
    x = torch.rand(2, 3, size, size) * 2 - 1
    common, vector = ContextEncoder(4)(x), VectorEncoder((4, 8), 5, size)(x)
    assert common.shape == (2, 48, size // 4, size // 4) and vector.shape == (2, 5)
    assert SquaresDecoder(4)(common).shape == x.shape
    assert ContextPainter(5, 4)(common, vector).shape == (2, 4, size, size)
    assert PatchCritic(48, 8)(common).dim() == 1


@pytest.mark.parametrize("size", [64, 128])
def test_published_networks_end_in_the_papers_shapes(size: int) -> None:
    x = torch.rand(2, 3, size, size)
    code = Encoder((32, 64, 128, 256, 487, 487))(x)
    assert code.shape == (2, 487, size // 64, size // 64)
    whole = torch.cat([code, torch.zeros(2, 25, *code.shape[2:])], 1)
    assert Decoder(512, (512, 256, 128, 64, 32), 4)(whole).shape == (2, 4, size, size)
    assert VectorCritic(487 * (size // 64) ** 2)(code).shape == (2,)


def test_squares_decoder_starts_as_the_inverse_of_moving_squares() -> None:
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(SquaresDecoder(4)(F.pixel_unshuffle(x, 4)), x)


def test_context_encoder_starts_by_keeping_nearly_all() -> None:
    x = torch.rand(4, 3, 64, 64) * 2 - 1
    kept = F.pixel_shuffle(ContextEncoder(16)(x), 4)
    assert (kept - x).abs().mean() < 0.2 * x.abs().mean()


def test_context_encoder_sees_far() -> None:
    encoder, x = ContextEncoder(8), torch.rand(1, 3, 64, 64, requires_grad=True)
    encoder(x)[0, :, 8, 8].sum().backward()
    assert x.grad is not None and (x.grad[0, :, 8, 8] != 0).any() and (x.grad[0, :, 60, 60] != 0).any()


def test_vector_networks_go_there_and_back() -> None:
    assert VectorDecoder(7, (8, 8, 4), size=32)(torch.rand(3, 7)).shape == (3, 3, 32, 32)
    assert ResidualDecoder(6, (8, 4))(torch.rand(3, 6, 8, 8)).shape == (3, 3, 32, 32)


def test_a_decoder_knows_how_bright_the_whole_is() -> None:
    """Twice as large a code must be able to give a brighter picture: no norm stands between the last features and the colours."""
    decoder, code = ResidualDecoder(16, (16, 16)), torch.rand(1, 16, 4, 4)
    last = decoder.body(code)
    one, two = (decoder.colour(k * last) - decoder.colour(0 * last) for k in (1, 2))
    assert torch.allclose(two, 2 * one, atol=1e-5)
    assert not any(isinstance(layer, nn.GroupNorm) for layer in (decoder.body[-1], decoder.shape, decoder.colour))


def test_a_flat_code_is_drawn_without_a_checkerboard() -> None:
    """Inside, where no border reaches, a constant map gives a constant picture from the last doubling."""
    decoder = ResidualDecoder(16, (16,))
    decoder.body = nn.Sequential()
    drawn = decoder(torch.rand(1, 16, 1, 1).expand(1, 16, 8, 8))[:, :, 2:-2, 2:-2]
    assert torch.allclose(drawn, drawn[:, :, :1, :1].expand_as(drawn), atol=1e-6)


def test_halve_then_double_keeps_a_flat_picture_without_its_convolutions() -> None:
    down, up = Halve(3, 12, first=True), Double(12, 3)
    for layer in (down.conv, up.conv):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(up(down(x)), x)  # 12 channels hold all of 2x2 squares of 3


def test_no_vector_means_no_change() -> None:
    steer, x = Modulation(32, 5), torch.rand(2, 32, 4, 4)
    assert torch.allclose(steer(x, torch.zeros(2, 5)), norm("group", 32)(x))
    assert not torch.allclose(steer(x, torch.ones(2, 5)), steer(x, torch.zeros(2, 5)))


@pytest.mark.parametrize("block", [ModulatedResidual(16, 5), ModulatedDouble(16, 8, 5)])
def test_modulated_blocks_listen_to_their_vector(block: nn.Module) -> None:
    x = torch.rand(2, 16, 4, 4)
    assert not torch.allclose(block(x, torch.ones(2, 5)), block(x, torch.zeros(2, 5)))


def test_residual_adds_to_what_it_got() -> None:
    block = Residual(16)
    nn.init.zeros_(block.body[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(block.body[-1].bias)  # type: ignore[arg-type]
    x = torch.rand(1, 16, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("kind", ["batch", "group", "instance", "none"])
def test_norms_by_name_keep_the_shape(kind: str) -> None:
    x = torch.rand(3, 20, 4, 4)
    assert norm(kind, 20)(x).shape == x.shape  # type: ignore[arg-type]


def test_a_picture_is_coded_alike_in_any_batch() -> None:
    encoder, x = ContextEncoder(4).eval(), torch.rand(3, 3, 32, 32)
    assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-5)


# -- the same, sooner ----------------------------------------------------------------------------------------------------------


def gradients(y: torch.Tensor, *of: torch.Tensor) -> list[torch.Tensor]:
    """Of a sum in which every number counts differently."""
    weights = torch.rand(y.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((y * weights).sum(), of))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [HalvingConv, DoublingConv])
def test_convolutions_of_small_maps_are_convolutions(kind: type[nn.Module], side: int, bias: bool) -> None:
    """Forward and backward, as PyTorch's own layer with the same weights does it; and the same weights in a file."""
    conv = kind(5, 3, bias=bias)
    plain = nn.Conv2d(5, 3, 4, 2, 1, bias=bias) if kind is HalvingConv else nn.ConvTranspose2d(5, 3, 4, 2, 1, bias=bias)
    plain.load_state_dict(conv.state_dict())
    x = torch.randn(4, 5, side * (2 if kind is HalvingConv else 1), side * (2 if kind is HalvingConv else 1), requires_grad=True)
    made, expected = conv(x), plain(x)
    assert made.shape == expected.shape and made.is_contiguous()
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    for own, true in zip(gradients(made, x, *conv.parameters()), gradients(expected, x, *plain.parameters()), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [HalvingConv, DoublingConv])
def test_convolutions_of_small_maps_in_bf16(kind: type[nn.Module]) -> None:
    """Under autocast as close to the sums in full precision as PyTorch's own layer is, of maps that are no squares too."""
    conv, x = kind(32, 24), torch.randn(4, 32, 16, 8)
    plain = nn.Conv2d(32, 24, 4, 2, 1) if kind is HalvingConv else nn.ConvTranspose2d(32, 24, 4, 2, 1)
    plain.load_state_dict(conv.state_dict())
    x = x if kind is HalvingConv else x[:, :, ::2, ::2].clone()
    true = plain(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert multiplied(x, 16) == torch.bfloat16
        made, expected = conv(x), plain(x)
    assert (made - true).abs().max() < 2 * (expected - true).abs().max() < 0.05


def test_patches_have_all_derivatives() -> None:
    """Gradient penalties need the gradient of a gradient."""
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(48, 5, dtype=torch.float64, requires_grad=True)
    assert patches(x).shape == (2 * 2 * 3, 48)
    assert torch.autograd.gradcheck(lambda x, w: patches(x) @ w, (x, weight))
    assert torch.autograd.gradgradcheck(lambda x, w: (patches(x) @ w).square(), (x, weight))
    rows = torch.randn(2 * 2 * 3, 48, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda r: summed(r, 2, 2, 3).square(), (rows,))
    torch.testing.assert_close((patches(x) * rows).sum(), (x * summed(rows, 2, 2, 3)).sum())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_a_doubled_map_is_convolved_as_if_it_were_there(kernel: int, bias: bool) -> None:
    """Forward and backward, at the borders too."""
    conv, x = nn.Conv2d(5, 3, kernel, 1, kernel // 2, bias=bias), torch.randn(2, 5, 4, 6, requires_grad=True)
    made, expected = doubled(x, conv), conv(F.interpolate(x, scale_factor=2))
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    for own, true in zip(gradients(made, x, *conv.parameters()), gradients(expected, x, *conv.parameters()), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-4, atol=1e-5)


def test_together_is_one_by_one() -> None:
    """Outputs, gradients and running statistics: in training and in use."""
    network = nn.Sequential(down(3, 8, "batch"), down(8, 8, "batch"))
    other = nn.Sequential(down(3, 8, "batch"), down(8, 8, "batch"))
    other.load_state_dict(network.state_dict())
    batches = [scale * torch.randn(4, 3, 16, 16) + scale for scale in (1.0, 2.0, 5.0)]  # of different statistics
    for training in (True, False):
        network.train(training)
        other.train(training)
        made = together(network, *[(x,) for x in batches])
        expected = [other(x) for x in batches]
        assert len(made) == 3
        for own, true in zip(made, expected, strict=True):
            torch.testing.assert_close(own, true, rtol=1e-5, atol=1e-5)
        all_made, all_expected = torch.cat(made), torch.cat(expected)
        for own, true in zip(gradients(all_made, *network.parameters()), gradients(all_expected, *other.parameters()), strict=True):
            torch.testing.assert_close(own, true, rtol=1e-4, atol=1e-4)
        for own, true in zip(network.buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(own, true)
    mixed = BatchNorm(3)(torch.cat(batches))
    assert not torch.allclose(mixed[:4].mean(), torch.zeros(()), atol=0.1)  # without `together` the statistics are those of all


def test_together_with_several_tensors() -> None:
    first, second = together(lambda x, y: (x + y, x * y), (torch.ones(2), torch.ones(2)), (torch.ones(2), torch.full((2,), 3.0)))
    assert [part.tolist() for part in (*first, *second)] == [[2.0, 2.0], [1.0, 1.0], [4.0, 4.0], [3.0, 3.0]]


def test_a_steady_look_teaches_only_what_to_drop() -> None:
    torch.manual_seed(0)
    encoder, x = ContextEncoder(8), torch.rand(2, 3, 32, 32) * 2 - 1
    head = encoder.last[-1]
    for steady in (False, True):
        encoder.zero_grad()
        encoder.look(x, steady)[0].square().sum().backward()
        drop, instead = head.weight.grad.split((4, 12))
        assert drop.abs().sum() > 0 and (instead.abs().sum() == 0) == steady


def test_a_look_behind_teaches_what_to_drop_and_what_to_put_there_apart() -> None:
    torch.manual_seed(0)
    encoder, x, covered = ContextEncoder(8), torch.rand(2, 3, 32, 32) * 2 - 1, torch.zeros(2, 1, 32, 32)
    covered[..., 8:16, 8:16] = 1
    head = encoder.last[-1]
    common, bare, drop = encoder.look_behind(x, covered)
    torch.testing.assert_close(common, encoder.look(x)[0])
    torch.testing.assert_close(drop, encoder.look(x)[1])
    instead = encoder.decide(x)[1]
    torch.testing.assert_close(F.pixel_shuffle(bare, 4)[..., 8:16, 8:16], instead[..., 8:16, 8:16])  # all of it is replaced
    torch.testing.assert_close(F.pixel_shuffle(bare - common, 4) * (1 - covered), torch.zeros_like(x))  # and nothing else
    for which, learns, stays in ((common, 0, 1), (bare, 1, 0)):
        gradient = torch.autograd.grad(which.square().sum(), head.weight, retain_graph=True)[0].split((4, 12))
        assert gradient[learns].abs().sum() > 0 and gradient[stays].abs().sum() == 0


def test_what_is_sure_to_be_there_is_dropped_more() -> None:
    torch.manual_seed(0)
    encoder, x = ContextEncoder(8), torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(encoder.look(x, sure=2.0)[1], encoder.look(x)[1] + 2)


def test_a_painter_that_sees_only_averages() -> None:
    """With blur, pictures whose 4x4 squares have the same means are painted alike; without, they are not."""
    torch.manual_seed(0)
    picture, vector = torch.rand(1, 3, 32, 32), torch.rand(1, 6)
    other = F.interpolate(F.avg_pool2d(picture, 4), scale_factor=4, mode="nearest")
    for blur in (0, 4):
        painter = ContextPainter(6, 8, blur=blur)
        torch.nn.init.normal_(painter.last[0].weight)
        drawn = [painter(F.pixel_unshuffle(x, 4), vector) for x in (picture, other)]
        assert drawn[0].shape == (1, 4, 32, 32) and torch.allclose(*drawn, atol=1e-5) == (blur == 4)


def test_what_planes_add_is_the_convolution_of_planes() -> None:
    """The published fader's last layer, forward and backward, against one convolution of map and planes together."""
    decoder, code, told = PlanesDecoder(32, (16, 8), 4), torch.randn(3, 32, 4, 4, requires_grad=True), torch.rand(3, 4)

    def beside(h: torch.Tensor) -> torch.Tensor:
        return torch.cat([h, told[:, :, None, None].expand(-1, -1, *h.shape[2:])], 1)

    expected = code
    for step in [*decoder.steps, decoder.last]:
        expected = step(beside(expected))
    made = decoder(code, told)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    for own, true in zip(gradients(made, code, *decoder.parameters()), gradients(expected, code, *decoder.parameters()), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-3, atol=1e-4)
