"""The style-based generator's parts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.nn.style import Conv, Critic, Mapping, Styled, Synthesis, blur, halvings, spread


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("up", [False, True])
def test_scaling_maps_is_a_kernel_for_each_picture(up: bool) -> None:
    """Karras et al. 2020, eq. 1 and 3, written out: weights scaled by the style, divided by their norm, for each picture."""
    torch.manual_seed(0)
    layer, x, w, noise = Styled(5, 6, 4, up=up), picture(3, 5, 8, 8), picture(3, 4, seed=1), picture(3, 1, 16 if up else 8, 16 if up else 8)
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
        layer.noise.fill_(0.3)
        found = layer(x, w, noise)
        style = layer.affine(w)
        for n in range(3):
            kernel = layer.weight / (5 * 9) ** 0.5 * style[n][None, :, None, None]
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if up:
                y = blur(F.conv_transpose2d(x[n : n + 1], kernel.transpose(0, 1), stride=2), 1, gain=4.0)
            else:
                y = F.conv2d(x[n : n + 1], kernel, padding=1)
            y = F.leaky_relu(y + 0.3 * noise[n] + layer.bias[:, None, None], 0.2) * 2**0.5
            torch.testing.assert_close(found[n : n + 1], y, rtol=1e-4, atol=1e-4)


def test_adain_gives_maps_the_styles_mean_and_deviation() -> None:
    """Karras et al. 2019, eq. 1."""
    torch.manual_seed(0)
    layer, w = Styled(5, 6, 4, adain=True), picture(2, 4)
    with torch.no_grad():
        y = layer(picture(2, 5, 16, 16) * 3 + 1, w, None)
        scale, shift = layer.affine(w).chunk(2, 1)
    assert torch.allclose(y.mean((2, 3)), shift, atol=1e-4)
    assert torch.allclose(y.std((2, 3), correction=0), (scale + 1).abs(), atol=1e-3)


def test_blur_keeps_what_is_even() -> None:
    y = blur(torch.ones(1, 2, 8, 8), 2)
    assert y.shape == (1, 2, 9, 9)
    assert torch.allclose(y[:, :, 2:-2, 2:-2], torch.ones(()))
    assert y[0, 0, 0, 4] == 0.5  # zeros lie around


def test_doubling_pictures_by_straight_lines_is_the_same_filter() -> None:
    """Zeros between the pixels, then [1, 3, 3, 1]: but for the border what `interpolate` does."""
    x = picture(1, 3, 6, 6)
    apart = torch.zeros(1, 3, 12, 12)
    apart[:, :, ::2, ::2] = x
    by_hand = blur(F.pad(apart, (2, 1, 2, 1)), 0, gain=4.0)
    assert torch.allclose(by_hand[:, :, 2:-2, 2:-2], F.interpolate(x, scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_keep_the_scale_and_halve_the_side(kernel: int) -> None:
    torch.manual_seed(0)
    x = picture(4, 16, 16, 16)
    assert Conv(16, 24, kernel, act=False)(x).std().item() == pytest.approx(1, abs=0.15)
    assert Conv(16, 24, kernel, down=True)(x).shape == (4, 24, 8, 8)


def test_mapping_sees_only_the_direction_of_z_and_learns_slowly() -> None:
    torch.manual_seed(0)
    mapping, z = Mapping(6, 5, 3), picture(4, 6)
    w = mapping(z)
    assert w.shape == (4, 5) and torch.allclose(mapping(3 * z), w, atol=1e-5)
    slow, fast = mapping.layers[0].weight, Mapping(6, 5, 3, speed=1.0).layers[0].weight
    assert (slow.std() / fast.std()).item() == pytest.approx(100, rel=0.5)  # a step of Adam, the same for all, is a hundredth of it


@pytest.mark.parametrize(("size", "first", "layers"), [(64, 4, 10), (48, 6, 8), (80, 5, 10), (16, 4, 6), (176, 11, 10)])
def test_sizes_that_are_no_power_of_two(size: int, first: int, layers: int) -> None:
    net = Synthesis(size, 2, 4, 3)
    assert size >> halvings(size) == first == net.sides[0] and net.layers == layers
    with torch.no_grad():
        x = net(picture(2, layers, 3), picture(2, sum(side**2 for side in net.maps)))
        assert x.shape == (2, 3, size, size)
        assert Critic(size, 2, 4)(x).shape == (2,)


def test_weights_of_a_layer_are_all_that_reads_its_style() -> None:
    """A step of a style to which they are blind changes no pixel; one to which they are not, does."""
    torch.manual_seed(0)
    net, noise = Synthesis(16, 4, 8, 30), None
    styles = picture(1, net.layers, 30)
    with torch.no_grad():
        still = net(styles, noise)
        for layer in range(net.layers):
            weights = net.style_weights(layer)
            _, _, right = torch.linalg.svd(weights)
            for direction, same in ((right[-1], True), (right[0], False)):
                moved = styles.clone()
                moved[:, layer] += 3 * direction
                assert torch.allclose(net(moved, noise), still, atol=1e-4) == same, layer


def test_the_deviation_map_knows_a_group_of_four() -> None:
    x = picture(8, 3, 4, 4)
    x[4:] = x[4]  # the second group is one picture four times
    y = spread(x, 4)
    assert y.shape == (8, 1, 4, 4) and y[:4].std() == 0 and y[0, 0, 0, 0] > 0.5 and y[4, 0, 0, 0] < 1e-3
    assert spread(x[:6], 4).shape == (6, 1, 4, 4)  # groups of three


def test_gradient_penalties_have_gradients() -> None:
    """The second derivative of the critic, along one line of its weights, against differences."""
    torch.manual_seed(0)
    critic, x = Critic(16, 4, 8).double(), picture(4, 3, 16, 16).double().requires_grad_()
    weight = critic.blocks[0].first.weight

    def penalty() -> Tensor:
        return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0].square().sum()

    slope = torch.autograd.grad(penalty(), weight)[0]
    line, step = picture(*weight.shape, seed=2).double(), 1e-7
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * line)
        ends.append(penalty().item())
        with torch.no_grad():
            weight.sub_(sign * step * line)
    assert (slope * line).sum().item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.01)


def test_squares_take_the_place_of_the_critics_first_block() -> None:
    torch.manual_seed(0)
    whole, squares, x = Critic(16, 4, 8), Critic(16, 4, 8, squares=True), picture(4, 3, 16, 16)
    assert len(squares.blocks) == len(whole.blocks) - 1 and squares.dense.weight.shape == whole.dense.weight.shape
    changed = x.clone()
    changed[0, 0, 5, 5] += 1.0  # each pixel of a square is seen
    with torch.no_grad():
        assert squares(x).shape == (4,) and squares(x)[0] != squares(changed)[0]


def test_noise_is_off_at_first() -> None:
    torch.manual_seed(0)
    net = Synthesis(16, 4, 8, 5)
    styles, noise = picture(2, net.layers, 5), picture(2, sum(side**2 for side in net.maps))
    with torch.no_grad():
        assert torch.equal(net(styles, noise), net(styles, None))
        net.convs[2].noise.fill_(1.0)
        assert not torch.equal(net(styles, noise), net(styles, None))
