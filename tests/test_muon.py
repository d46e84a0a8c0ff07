"""Muon: orthogonal updates, Adam for the rest, state that can be saved, and that it learns."""

import torch
from torch import nn

from unweave.method import Muon as Settings
from unweave.muon import QUINTIC, STEPS, Muon, orthogonalised


def test_orthogonalised_keeps_the_directions_and_evens_their_lengths() -> None:
    torch.manual_seed(0)
    for shape in ((3, 24, 40), (2, 40, 24)):
        x = torch.randn(*shape)
        u, _, vh = torch.linalg.svd(x, full_matrices=False)
        got = orthogonalised(x)
        lengths = (u.mT @ got @ vh.mT).diagonal(dim1=1, dim2=2)
        assert lengths.min() > 0.5 and lengths.max() < 1.3
        assert (got - u @ torch.diag_embed(lengths) @ vh).abs().max() < 0.01


def test_orthogonalised_is_newton_schulz_also_of_nearly_singular_matrices() -> None:
    torch.manual_seed(0)
    for rows, columns in ((24, 216), (40, 40)):
        u, s, vh = torch.linalg.svd(torch.randn(1, rows, columns), full_matrices=False)
        x = u @ torch.diag_embed(torch.logspace(0, -8, s.shape[1])[None]) @ vh
        step = x.double() / x.double().norm()
        for _ in range(STEPS):  # as it is defined: a X + b X X^T X + c X X^T X X^T X
            a, b, c = QUINTIC
            gram = step @ step.mT
            step = a * step + (b * gram + c * gram @ gram) @ step
        assert (orthogonalised(x) - step).abs().max() < 1e-3


def test_zero_gradients_move_nothing() -> None:
    layer = nn.Conv2d(16, 16, 3)
    before = [p.detach().clone() for p in layer.parameters()]
    optimiser = Muon(list(layer.parameters()), lr=0.1)
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_momentum_without_gradients_fades_to_none_and_never_to_subnormal_numbers() -> None:
    table = nn.Parameter(torch.randn(40, 20))
    optimiser = Muon([table], lr=0.1, momentum=0.5)
    for step in range(140):  # .5 ** 140 would be subnormal
        table.grad = torch.zeros_like(table)
        table.grad[20 if step else slice(None)] = 1.0  # after the first step one row alone is asked for
        optimiser.step()
    momentum = optimiser.state[table]["momentum"]
    assert momentum[20].eq(1.0).all() and momentum.count_nonzero() == 20


def test_thin_matrices_and_biases_move_as_with_adam() -> None:
    torch.manual_seed(0)
    one, two = nn.Linear(40, 3), nn.Linear(40, 3)
    two.load_state_dict(one.state_dict())
    muon = Muon(list(one.parameters()), lr=0.1, adam=0.1, betas=(0.8, 0.95))
    adam = torch.optim.Adam(two.parameters(), lr=0.01, betas=(0.8, 0.95))
    for _ in range(5):
        x = torch.randn(8, 40)
        for layer, optimiser in ((one, muon), (two, adam)):
            optimiser.zero_grad()
            layer(x).square().mean().backward()
            optimiser.step()
    assert torch.allclose(one.weight, two.weight, atol=1e-5) and torch.allclose(one.bias, two.bias, atol=1e-5)


def test_a_convolution_steps_as_the_matrix_that_it_is() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 3, bias=False)
    before = conv.weight.detach().clone()
    conv.weight.grad = gradient = torch.randn_like(conv.weight)
    Muon([conv.weight], lr=0.5, momentum=0.9).step()
    ahead = gradient * 0.1 + 0.9 * (0.1 * gradient)  # a first step's average is a tenth of the gradient
    expected = before - 0.5 * orthogonalised(ahead.flatten(1)[None])[0].view_as(before)
    assert torch.allclose(conv.weight, expected, atol=1e-2)


def test_state_goes_on_where_it_was_saved() -> None:
    def run(steps: int, state: dict | None = None, weights: dict | None = None) -> tuple[dict, dict, nn.Module]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 2))
        if weights:
            net.load_state_dict(weights)
        optimiser = Settings().build(list(net.parameters()))
        if state:
            optimiser.load_state_dict(state)
        for _ in range(steps):
            optimiser.zero_grad()
            net(torch.ones(4, 20)).square().sum().backward()
            optimiser.step()
        return optimiser.state_dict(), net.state_dict(), net

    state, weights, _ = run(2)
    saved = {k: v.clone() for k, v in weights.items()}
    copied = {"param_groups": state["param_groups"], "state": {i: {k: v.clone() for k, v in e.items()} for i, e in state["state"].items()}}
    _, resumed, _ = run(2, copied, saved)
    _, straight, _ = run(4)
    assert all(torch.equal(resumed[k], straight[k]) for k in straight)


def test_it_learns_faster_than_it_starts() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)), torch.randn(256, 32)
    target = x @ torch.randn(32, 32) / 6
    optimiser = Settings(lr=0.02).build(list(net.parameters()))
    losses = []
    for _ in range(100):
        loss = (net(x) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
