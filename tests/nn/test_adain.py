"""AdaIN and the networks around it."""

import torch

from unweave.nn.adain import AdaINDecoder, Ascent, ClassCritic, ClassEncoder, ContentEncoder, adain
from unweave.nn.bend import bent


def test_adain_gives_the_asked_mean_and_deviation() -> None:
    torch.manual_seed(0)
    x, scale, shift = torch.randn(2, 3, 8, 8) * 5 + 7, torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]]), torch.randn(2, 3)
    y = adain(x, scale, shift)
    assert torch.allclose(y.mean((2, 3)), shift, atol=1e-4)
    assert torch.allclose(y.std((2, 3), correction=0), scale, atol=1e-3)


def test_adain_is_an_instance_norm_and_then_a_scale_and_a_shift() -> None:
    torch.manual_seed(0)
    x = (torch.randn(2, 3, 8, 8) * 2 + 3).requires_grad_()
    scale, shift, weight = torch.randn(2, 3), torch.randn(2, 3), torch.randn(2, 3, 8, 8)
    by_torch = torch.nn.functional.instance_norm(x) * scale[..., None, None] + shift[..., None, None]
    y = adain(x, scale, shift)
    assert torch.allclose(y, by_torch, atol=1e-4)
    mine, theirs = (torch.autograd.grad((z * weight).sum(), x)[0] for z in (y, by_torch))
    assert torch.allclose(mine, theirs, atol=1e-4)
    assert torch.equal(adain(torch.ones(1, 1, 4, 4), torch.ones(1, 1), torch.zeros(1, 1)).round(decimals=3), torch.zeros(1, 1, 4, 4))


def test_shapes() -> None:
    x = torch.randn(2, 3, 32, 32)
    for patch, widths in ((1, (4, 8, 8, 16)), (2, (4, 8, 16))):
        content = ContentEncoder(3, widths, patch)(x)
        class_ = ClassEncoder(3, (4, 8, 8), 5, patch)(x)
        assert content.shape == (2, 16, 4, 4) and class_.shape == (2, 5)
        for fine in (False, True):
            assert AdaINDecoder(widths[::-1], 3, 5, 8, patch, fine)(content, class_).shape == x.shape


def test_a_critic_answers_for_the_class_alone() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 1, 32, 32)
    for projection in (False, True):
        critic = ClassCritic(1, (4, 8, 8), 5, 2, projection=projection)
        with torch.no_grad():
            logits, features = critic(x, torch.tensor([0, 1, 2]))
            alone = [critic(x[i : i + 1], torch.tensor([i]))[0][0] for i in range(3)]
        assert logits.shape == (3, 8, 8) and features.shape == (3, 8)
        assert torch.allclose(logits, torch.stack(alone), atol=1e-5)
    assert ClassCritic(1, (4, 8), 5, 2, reads=True).read(features).shape == (3, 5)
    assert Ascent(4, 8, half=True)(torch.randn(1, 4, 8, 8)).shape == (1, 8, 4, 4)


def test_the_published_critic_halves_after_each_pair_of_blocks() -> None:
    critic, sides = ClassCritic(1, (4, 8, 8, 8), 5, published=True), []
    for part in critic.body:
        part.register_forward_hook(lambda part, _, out: sides.append((type(part).__name__, out.shape[-1])))
    _, features = critic(torch.randn(2, 1, 32, 32), torch.tensor([0, 1]))
    pair = ["Ascent", "Ascent"]
    assert [name for name, _ in sides[1:]] == [*pair, "Halved", *pair, "Halved", *pair]
    assert [side for _, side in sides[1:]] == [32, 32, 16, 16, 16, 8, 8, 8]
    assert features.shape == (2, 8)
    assert (features < 0).any(1).all() and features.shape == (2, 8)


def test_bent_pictures() -> None:
    x = -torch.ones(16, 1, 32, 32)
    x[:, :, 10:20, 10:20] = 1.0
    y = bent(x, torch.Generator().manual_seed(0))
    assert y.shape == x.shape and y.min() >= -1 and y.max() <= 1 and not torch.allclose(x, y)
    area = (y > 0).sum((1, 2, 3))
    assert area.max() > 120 and area.min() < 90 and (area > 20).all()
    assert torch.equal(y, bent(x, torch.Generator().manual_seed(0)))
