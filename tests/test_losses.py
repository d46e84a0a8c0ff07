"""Losses, each against its formula in NumPy, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unweave import losses


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


X, Y = draw(3, 2, 4, 4), draw(3, 2, 4, 4, seed=1)
LOGITS_A, LOGITS_B = draw(5, 1, seed=2), draw(7, 1, seed=3)


def test_absolute_squared_and_zero() -> None:
    x, y = X.numpy(), Y.numpy()
    assert losses.absolute(X, Y).item() == pytest.approx(np.abs(x - y).mean(), rel=1e-6)
    assert losses.squared(X, Y).item() == pytest.approx(((x - y) ** 2).mean(), rel=1e-6)
    assert losses.zero(X).item() == pytest.approx(np.abs(x).mean(), rel=1e-6)
    assert losses.zero(torch.zeros(2, 3)) == 0


def test_in_proportion_is_the_error_at_three_sizes_over_the_contrast() -> None:
    x, y = X.numpy(), Y.numpy()
    contrast, far = np.abs(y - y.mean((2, 3), keepdims=True)).mean((1, 2, 3)), 0.0
    for _ in range(3):
        far = far + np.abs(x - y).mean((1, 2, 3))
        x, y = (
            z.reshape(*z.shape[:2], max(1, z.shape[2] // 2), -1, max(1, z.shape[3] // 2), min(2, z.shape[3])).mean((3, 5)) for z in (x, y)
        )
    assert losses.in_proportion(X, Y).item() == pytest.approx((far / (3 * (contrast + 0.1))).mean(), rel=1e-6)


def test_absolute_inside_counts_only_what_is_covered() -> None:
    mask = (draw(3, 1, 4, 4, seed=4) > 0).float()
    wanted = sum(abs(X - Y)[n, c, i, j].item() for n in range(3) for c in range(2) for i in range(4) for j in range(4) if mask[n, 0, i, j])
    assert losses.absolute_inside(X, Y, mask).item() == pytest.approx(wanted / (2 * mask.sum().item() + 1), rel=1e-5)
    assert losses.absolute_inside(X, Y, 0 * mask) == 0


def test_covers_is_cross_entropy_of_each_pixel() -> None:
    mask = draw(3, 2, 4, 4, seed=5).sigmoid()
    p = sigmoid(X.numpy())
    wanted = -(mask.numpy() * np.log(p) + (1 - mask.numpy()) * np.log(1 - p)).mean()
    assert losses.covers(X, mask).item() == pytest.approx(wanted, rel=1e-5)


def test_present_asks_the_highest_logits_of_each_picture() -> None:
    drop = torch.full((2, 1, 10, 10), -5.0)
    drop[0, 0, 3, 2:6] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    drop = drop.requires_grad_()
    lost = losses.present(drop)
    assert lost.item() == pytest.approx((math.log1p(math.exp(-2.5)) + math.log1p(math.exp(5.0))) / 2)
    lost.backward()
    assert drop.grad is not None
    assert (drop.grad[0] != 0).nonzero()[:, 1:].tolist() == [[3, 2], [3, 3], [3, 4], [3, 5]], "and nothing else of the picture"


def test_idle_is_what_is_dropped_beyond_the_change() -> None:
    drop = draw(3, 1, 4, 4, seed=6)
    change = np.abs(X.numpy() - Y.numpy()).mean(1, keepdims=True)
    wanted = np.maximum(0, sigmoid(drop.numpy()) - change / 0.5).mean()
    assert losses.idle(drop, X, Y, seen=0.5).item() == pytest.approx(wanted, rel=1e-5)
    assert losses.idle(drop, X, X + 2) == 0


def test_tell_apart_is_cross_entropy_with_both_sets_of_equal_weight() -> None:
    a, b = LOGITS_A.numpy(), LOGITS_B.numpy()
    wanted = (-np.log(1 - sigmoid(a)).mean() - np.log(sigmoid(b)).mean()) / 2
    assert losses.tell_apart(LOGITS_A, LOGITS_B).item() == pytest.approx(wanted, rel=1e-6)
    assert losses.tell_apart(torch.tensor([-20.0]), torch.tensor([20.0])).item() < 1e-6  # a is 0 and b is 1
    assert losses.tell_apart(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(np.log(2))


def test_domain_confusion_is_cross_entropy_of_both_sets_with_label_a() -> None:
    a, b = LOGITS_A.numpy(), LOGITS_B.numpy()
    wanted = (-np.log(1 - sigmoid(a)).mean() - np.log(1 - sigmoid(b)).mean()) / 2
    assert losses.domain_confusion(lambda x: x, LOGITS_A, LOGITS_B).item() == pytest.approx(wanted, rel=1e-6)


def test_domain_confusion_pushes_both_codes_towards_a() -> None:
    """A step against the gradient lowers the critic's "b" for the codes of both sets."""
    critic = nn.Linear(4, 1).requires_grad_(False)
    codes = [draw(6, 4, seed=seed).float().requires_grad_() for seed in (4, 5)]
    losses.domain_confusion(critic, *codes).backward()
    for code in codes:
        assert code.grad is not None
        moved = code.detach() - code.grad
        assert (critic(moved) < critic(code)).all()


def test_domain_confusion_is_not_flipped_labels() -> None:
    """Once every code looks like a, there is nothing to gain by looking like b."""
    a, b = torch.full((3,), -9.0), torch.full((3,), -9.0)
    assert losses.domain_confusion(lambda x: x, a, b) < losses.domain_confusion(lambda x: x, -a, b)
    assert losses.domain_confusion(lambda x: x, a, b).item() < 1e-3


def test_normal_is_half_the_squared_distance_of_whole_pictures() -> None:
    x, y = X.numpy(), Y.numpy()
    wanted = np.mean([sum((x[n] - y[n]).ravel() ** 2) / 2 for n in range(len(x))])
    assert losses.normal(X, Y).item() == pytest.approx(wanted, rel=1e-6)
    # The difference of two log densities, whose constant cancels.
    density = torch.distributions.Normal(Y, 1.0).log_prob
    gap = (density(X) - density(Y)).flatten(1).sum(1).mean()
    assert losses.normal(X, Y).item() == pytest.approx(-gap.item(), rel=1e-6)


def test_kl_is_the_integral() -> None:
    """Against sums over a fine line of q (log q - log p), number by number."""
    mean, log_variance = draw(3, 2, seed=4), draw(3, 2, seed=5)
    line = np.linspace(-60, 60, 60001)
    total = 0.0
    for mu, log_var in zip(mean.numpy().ravel(), log_variance.numpy().ravel()):
        log_q = -((line - mu) ** 2 / np.exp(log_var) + log_var + np.log(2 * np.pi)) / 2
        log_p = -(line**2 + np.log(2 * np.pi)) / 2
        total += np.sum(np.exp(log_q) * (log_q - log_p)) * (line[1] - line[0])
    assert losses.kl(mean, log_variance).item() == pytest.approx(total / 3, rel=1e-5)
    assert losses.kl(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_total_correlation_is_the_papers_estimate() -> None:
    """Against loops over draws, codes and numbers: log q(z) and log q(z_d) are log 1 / (N M) sum_j q(. | n_j)."""
    z, mean, log_variance, samples = draw(5, 3, seed=6), draw(5, 3, seed=7), draw(5, 3, seed=8), 40

    def density(i: int, j: int, d: int) -> float:
        deviation = np.exp(log_variance[j, d].item() / 2)
        return float(np.exp(-(((z[i, d] - mean[j, d]).item() / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi)))

    total = 0.0
    for i in range(5):
        together = sum(density(i, j, 0) * density(i, j, 1) * density(i, j, 2) for j in range(5)) / (5 * samples)
        apart = [sum(density(i, j, d) for j in range(5)) / (5 * samples) for d in range(3)]
        total += np.log(together) - sum(np.log(apart))
    assert losses.total_correlation(z, mean, log_variance, samples).item() == pytest.approx(total / 5, rel=1e-5)
    shift = losses.total_correlation(z, mean, log_variance, 400) - losses.total_correlation(z, mean, log_variance, 40)
    assert shift.item() == pytest.approx(2 * np.log(10), rel=1e-5)  # (D - 1) log of the ratio: a constant


def test_total_correlation_sees_numbers_that_say_the_same() -> None:
    """Two copies of one number against two independent ones; a batch that is the whole set."""
    mean = draw(200, 2, seed=9)
    twice, narrow = mean[:, :1].expand(200, 2), torch.full((200, 2), -4.0)
    noise = draw(200, 2, seed=10) * np.exp(-2)
    same, different = (losses.total_correlation(m + noise, m, narrow, 200) for m in (twice, mean))
    assert same - different > 1.0
    one = slice(0, 1)
    assert losses.total_correlation(mean[:, one], mean[:, one], narrow[:, one], 200).abs() < 1e-5  # a single number has no other


def test_recombine_has_every_choice_once() -> None:
    first, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0, 20.0, 30.0]])
    grid = torch.cat(losses.recombine(first.split(1, 1), second.split(1, 1)), -1)
    assert grid.shape == (1, 2, 2, 2, 3)
    assert grid[0, 0, 0, 0].tolist() == [1, 2, 3] and grid[0, 1, 0, 0].tolist() == [10, 2, 3]
    assert grid[0, 0, 1, 0].tolist() == [1, 20, 3] and grid[0, 0, 1, 1].tolist() == [1, 20, 30]


def test_cross_is_the_sum_over_the_recombinations() -> None:
    grid, first, second = draw(3, 2, 2, 1, 4, 4, seed=11), draw(3, 2, seed=12), draw(3, 2, seed=13)

    def paint(left: Tensor, right: Tensor) -> Tensor:
        """A picture whose left half is the first number and whose right half is the second."""
        return torch.cat([left, right], 1).repeat_interleave(2, 1)[:, None, None].expand(-1, 1, 4, -1)

    total = 0.0
    for i in range(2):
        for j in range(2):
            left, right = (first, second)[i][:, 0], (first, second)[j][:, 1]
            errors = [
                ((grid[n, i, j, 0, :, :2] - left[n]) ** 2).sum() + ((grid[n, i, j, 0, :, 2:] - right[n]) ** 2).sum() for n in range(3)
            ]
            total += sum(e.item() for e in errors) / (3 * 16)
    assert losses.cross(paint, first.split(1, 1), second.split(1, 1), grid).item() == pytest.approx(total, rel=1e-6)


def test_recombine_takes_codes_of_any_shape() -> None:
    moving, still = (draw(3, 5, 7, seed=30), draw(3, 5, 7, seed=31)), (draw(3, 4, seed=32), draw(3, 4, seed=33))
    first, second = losses.recombine((moving[0], still[0]), (moving[1], still[1]))
    assert first.shape == (3, 2, 2, 5, 7) and second.shape == (3, 2, 2, 4)
    for i in range(2):
        for j in range(2):
            assert torch.equal(first[:, i, j], moving[i]) and torch.equal(second[:, i, j], still[j])


def test_agree_is_the_share_of_what_a_code_says_of_other_things() -> None:
    anchor, negative = draw(50, 4, seed=34), draw(50, 4, seed=35)
    assert losses.agree(anchor, anchor, negative) == 0
    assert losses.agree(anchor, negative, negative).item() == pytest.approx(1)
    assert losses.agree(3 * anchor, 3 * (anchor + 0.1), 3 * negative).item() == pytest.approx(
        losses.agree(anchor, anchor + 0.1, negative).item(), rel=1e-4
    )


def test_triplet() -> None:
    anchor, positive, negative = draw(6, 4, seed=14), draw(6, 4, seed=15), draw(6, 4, seed=16)
    rows = zip(anchor.numpy(), positive.numpy(), negative.numpy())
    wanted = np.mean([max(np.sqrt(((a - p) ** 2).sum()) - np.sqrt(((a - n) ** 2).sum()) + 0.5, 0) for a, p, n in rows])
    assert losses.triplet(anchor, positive, negative, 0.5).item() == pytest.approx(wanted, rel=1e-6)
    assert losses.triplet(anchor, anchor, anchor + 9.0) == 0 and losses.triplet(anchor, anchor, anchor, 0.7).item() == pytest.approx(0.7)


def smooth(x: Tensor) -> Tensor:
    """A critic for checks: smooth, not linear, and exact for inputs of any precision."""
    return (x.double() ** 2).sum(1) - x.double().tanh().sum(1)


SIZES = (2, 3)
ANSWERS, RIGHT = draw(6, 5, seed=7), torch.tensor([[0, 2], [1, 0], [1, 1], [0, 0], [1, 2], [0, 1]])


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, K) and (N,) -> (N,): minus the logarithm of the softmax at the label."""
    odds = np.exp(logits)
    return -np.log(odds[np.arange(len(labels)), labels] / odds.sum(1))


def test_classify_sums_the_cross_entropies_of_all_questions() -> None:
    x, right = ANSWERS.numpy(), RIGHT.numpy()
    wanted = cross_entropies(x[:, :2], right[:, 0]).mean() + cross_entropies(x[:, 2:], right[:, 1]).mean()
    assert losses.classify(ANSWERS, RIGHT, SIZES).item() == pytest.approx(wanted, rel=1e-6)


def test_latent_adversary_asks_for_another_class() -> None:
    """Of two classes the other one. Of three: the mean over many draws is that of both others."""
    x, right = ANSWERS.numpy(), RIGHT.numpy()
    of_two = cross_entropies(x[:, :2], 1 - right[:, 0]).mean()
    of_three = (cross_entropies(x[:, 2:], (right[:, 1] + 1) % 3) + cross_entropies(x[:, 2:], (right[:, 1] + 2) % 3)).mean() / 2
    draws = torch.Generator().manual_seed(0)
    assert losses.latent_adversary(ANSWERS[:, :2], RIGHT[:, :1], (2,), draws).item() == pytest.approx(of_two, rel=1e-6)
    found = [losses.latent_adversary(ANSWERS, RIGHT, SIZES, draws).item() for _ in range(400)]
    assert np.mean(found) == pytest.approx(of_two + of_three, rel=0.03)
    same = [losses.latent_adversary(ANSWERS, RIGHT, SIZES, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*same)


def test_latent_adversary_moves_a_code_towards_the_other_class() -> None:
    critic = nn.Linear(4, 2).requires_grad_(False)
    code, labels = draw(8, 4, seed=8).float().requires_grad_(), torch.tensor([0, 1] * 4)[:, None]
    losses.latent_adversary(critic(code), labels, (2,), torch.Generator()).backward()
    assert code.grad is not None
    before, after = (critic(c).softmax(1).gather(1, labels) for c in (code, code.detach() - code.grad))
    assert (after < before).all()


def test_read_off_is_least_at_the_right_answer() -> None:
    x, y = draw(5, 4, seed=9), torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0.25], [0, 0, 1, 1], [1, 1, 0, 0.5], [0, 1, 0, 0.75]]).double()
    yes, choice, number = x.numpy()[:, 0], x.numpy()[:, 1:3], x.numpy()[:, 3]
    t = y.numpy()
    binary = [-(t[:, k] * np.log(sigmoid(v)) + (1 - t[:, k]) * np.log(1 - sigmoid(v))).mean() for k, v in ((0, yes), (3, number))]
    wanted = sum(binary) + cross_entropies(choice, t[:, 1:3].argmax(1)).mean()
    assert losses.read_off(x, y, (1, 2, 1)).item() == pytest.approx(wanted, rel=1e-6)
    at = torch.full((4, 1), 0.3).logit().requires_grad_()
    losses.read_off(at, torch.full((4, 1), 0.3), (1,)).backward()
    assert at.grad is not None and at.grad.abs().max() < 1e-6  # a number's best answer is its expected value


CASES: dict[str, tuple[Callable[..., Tensor], int]] = {
    "absolute": (losses.absolute, 2),
    "squared": (losses.squared, 2),
    "zero": (losses.zero, 1),
    "absolute_inside": (lambda x, y: losses.absolute_inside(x[..., None], y[..., None], torch.ones(2, 1, 1, 1)), 2),
    "covers": (lambda x: losses.covers(x, torch.full((2, 3), 0.3)), 1),
    "tell_apart": (losses.tell_apart, 2),
    "domain_confusion": (lambda a, b: losses.domain_confusion(smooth, a, b), 2),
    "normal": (losses.normal, 2),
    "kl": (losses.kl, 2),
    "total_correlation": (lambda z, mean, log_variance: losses.total_correlation(z, mean, log_variance, 100), 3),
    "triplet": (losses.triplet, 3),
    "classify": (lambda x: losses.classify(x, torch.tensor([[0], [2]]), (3,)), 1),
    "latent_adversary": (lambda x: losses.latent_adversary(x, torch.tensor([[0], [2]]), (3,), torch.Generator().manual_seed(0)), 1),
    "read_off": (lambda x: losses.read_off(x, torch.tensor([[1.0, 0, 1], [0.25, 1, 0]]), (1, 2)), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    """Against finite differences. Losses compute in float32, so the step is large and the tolerance that of the step."""
    loss, count = CASES[name]
    inputs = tuple(draw(2, 3, seed=10 + i).requires_grad_() for i in range(count))
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-2, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_computed_in_full(name: str) -> None:
    """Under autocast, inputs arrive in bf16; the loss must not be rounded to its 8 bits."""
    loss, count = CASES[name]
    inputs = [draw(2, 3, seed=10 + i).bfloat16() for i in range(count)]
    assert loss(*inputs).dtype == torch.float32
    assert loss(*inputs).item() == loss(*[x.float() for x in inputs]).item()


# -- of the style-based generator ----------------------------------------------------------------------------------------------


def test_logistic_losses() -> None:
    a = LOGITS_A.numpy()
    assert losses.logistic_real(LOGITS_A).item() == pytest.approx(np.log1p(np.exp(-a)).mean(), rel=1e-5)
    assert losses.logistic_fake(LOGITS_A).item() == pytest.approx(np.log1p(np.exp(a)).mean(), rel=1e-5)
    assert losses.logistic_adversary(LOGITS_A) == losses.logistic_real(LOGITS_A)


def test_a_critic_of_pictures_pays_for_steep_answers() -> None:
    """Of D(x) = <w, x>, told in two halves: R1 is the squared length of the mean logit's gradient, w / 2."""
    made, real, w = draw(3, 1, 2, 2, seed=1), draw(3, 1, 2, 2, seed=2), draw(1, 1, 2, 2, seed=3)

    def critic(x: Tensor) -> Tensor:
        return (x * w).sum(3).flatten()

    alone = (losses.logistic_fake(critic(made)) + losses.logistic_real(critic(real))) / 2
    torch.testing.assert_close(losses.tell_made(critic, made, real, penalty=0.0), alone, check_dtype=False)
    torch.testing.assert_close(losses.tell_made(critic, made, real, penalty=2.0), alone + w.square().sum() / 2, check_dtype=False)


def test_path_lengths_of_a_linear_map() -> None:
    """Pictures that are A w: J is A, and the length in direction y is |A^T y|, here of two layers that are read alike."""
    matrix, styles = draw(3 * 4 * 4, 6), draw(2, 2, 6, seed=1).requires_grad_()
    drawn = (styles.sum(1) @ matrix.T).view(2, 3, 4, 4)
    found = losses.path_lengths(drawn, styles, torch.Generator().manual_seed(3))
    y = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3)).double() / 4
    assert found.shape == (2,) and torch.allclose(found.double(), (y.flatten(1) @ matrix).norm(dim=1), rtol=1e-4)


def test_path_lengths_can_be_learned_from() -> None:
    scale, styles = torch.tensor(2.0, requires_grad=True), draw(4, 3, 6).float().requires_grad_()
    lengths = losses.path_lengths((scale * styles.sum((1, 2))).view(4, 1, 1, 1), styles, torch.Generator().manual_seed(0))
    slope = torch.autograd.grad(lengths.sum(), scale)[0]
    assert slope.item() == pytest.approx(lengths.sum().item() / 2, rel=1e-5)  # lengths are proportional to the scale


def test_sliced_wasserstein_knows_a_cloud_from_another() -> None:
    x, generator = draw(500, 3).float(), lambda: torch.Generator().manual_seed(0)
    assert losses.sliced_wasserstein(x, x[torch.randperm(500)], generator()) < 1e-6
    near, far = (losses.sliced_wasserstein(x, x + shift, generator()).item() for shift in (0.5, 2.0))
    assert far == pytest.approx(4 * near, rel=0.01) and near == pytest.approx(0.25 * 3**0.5, rel=0.1)  # mean |cos| over a sphere is 1/2


def test_patches_apart_sees_colour_layout_and_texture() -> None:
    x = torch.nn.functional.interpolate(draw(12, 3, 8, 8).float(), size=(32, 32), mode="bilinear")
    assert losses.patches_apart(x.flip(0), x) < 1e-5  # the same pictures in another order
    for other in (x + 0.3, x.flip(3) * torch.linspace(0, 1, 32), x + 0.3 * draw(12, 3, 32, 32).float()):
        assert losses.patches_apart(other, x) > 0.03
