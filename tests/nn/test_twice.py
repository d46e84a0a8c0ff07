"""Convolutions that can be differentiated twice, against double precision and PyTorch's own."""

import pytest
import torch
from torch import Tensor, nn

from unweave.nn.twice import SMALL, Twice


def network(kind: type[nn.Conv2d], dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    parts = [kind(8, 16, 3, padding=1), nn.LeakyReLU(0.2), kind(16, 16, 7, padding=3), nn.LeakyReLU(0.2), kind(16, 4, 1, bias=False)]
    return nn.Sequential(*parts).to(dtype)


def pictures(side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(4, 8, side, side, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()


def gradients(net: nn.Module, x: Tensor, bf16: bool = False) -> Tensor:
    """Of a loss of the output, and of the gradient of x: all parameters' in one row, double."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = net(x).to(x.dtype)
    (slope,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
    (y.square().mean() + slope.square().sum()).backward()
    return torch.cat([p.grad.double().flatten() for p in net.parameters()])


@pytest.mark.parametrize("side", [4, 5, 32])
def test_it_is_a_convolution_with_its_gradients(side: int) -> None:
    assert 4 * 4 <= SMALL < 5 * 5
    one, other = network(Twice, torch.float64), network(nn.Conv2d, torch.float64)
    assert one.state_dict().keys() == other.state_dict().keys()
    x = pictures(side, torch.float64)
    torch.testing.assert_close(one(x), other(x))
    torch.testing.assert_close(gradients(one, x), gradients(other, pictures(side, torch.float64)))


@pytest.mark.parametrize("side", [4, 32])
def test_second_derivatives_are_right_in_bf16(side: int) -> None:
    right = gradients(network(nn.Conv2d, torch.float64), pictures(side, torch.float64))
    found = gradients(network(Twice), pictures(side), bf16=True)
    assert torch.cosine_similarity(right, found, 0) > 0.998 and 0.99 < found.norm() / right.norm() < 1.01


def test_a_pass_for_pictures_alone_computes_no_gradient_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("unweave.nn.twice.grad.conv2d_weight", lambda *_, **__: asked.append(1))
    net, x = network(Twice), pictures(8)
    torch.autograd.grad(net(x).sum(), x, create_graph=True)
    net(x).sum().backward(inputs=[x])
    assert x.grad is not None and not asked
