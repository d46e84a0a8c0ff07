"""Losses: pure functions of tensors and networks, one paper equation each. All return scalars; pictures are (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def absolute(x: Tensor, target: Tensor) -> Tensor:
    """Mean |x - target| (L1)."""
    return F.l1_loss(x.float(), target.float())


def in_proportion(x: Tensor, target: Tensor, sizes: int = 3) -> Tensor:
    """Mean of |x - target| over pictures, at `sizes` sizes, each half of the one before, in proportion to each target's contrast.

    (N, C, H, W) each. Thin strokes on empty paper count as much as bold ones; and where a stroke is missed by a little, its absence
    is no better, which it is for the absolute difference at full size alone.
    """
    contrast = (target - target.mean((2, 3), keepdim=True)).abs().mean((1, 2, 3))
    far = (x - target).abs().mean((1, 2, 3))
    for _ in range(sizes - 1):
        x, target = F.avg_pool2d(x, 2), F.avg_pool2d(target, 2)
        far = far + (x - target).abs().mean((1, 2, 3))
    return (far / (sizes * (contrast + 0.1))).mean()


def squared(x: Tensor, target: Tensor) -> Tensor:
    """Mean (x - target)^2."""
    return F.mse_loss(x.float(), target.float())


def absolute_inside(x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean |x - target| over what a mask (N, 1, H, W) in [0, 1] covers; small masks count as much as large ones."""
    error = (x.float() - target.float()).abs().sum(1, keepdim=True)
    return (error * mask).sum() / (x.shape[1] * mask.sum() + 1)


def covers(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of a mask in [0, 1] and one drawn as logits, both (N, 1, H, W)."""
    return F.binary_cross_entropy_with_logits(logits.float(), mask.float())


def idle(drop: Tensor, before: Tensor, after: Tensor, seen: float = 0.2) -> Tensor:
    """How much is dropped for no change that is seen: mean max(0, sigmoid(drop) - |after - before| / seen).

    drop: logits (N, 1, H, W). before, after: pictures; a change of `seen` counts in full. Only `drop` learns from it.
    """
    change = (after.float() - before.float()).abs().mean(1, keepdim=True).detach()
    return F.relu(drop.float().sigmoid() - change / seen).mean()


def present(drop: Tensor, share: float = 0.04) -> Tensor:
    """Cross-entropy of something being dropped, wherever it is: of the mean of each picture's highest logits, a `share` of all.

    drop: logits (N, 1, H, W). A picture as a bag of which one instance at least is positive (Maron and Lozano-Perez 1998)."""
    highest = drop.float().flatten(1)
    highest = highest.topk(max(1, round(share * highest.shape[1])), dim=1).values
    return F.softplus(-highest.mean(1)).mean()


def zero(code: Tensor) -> Tensor:
    """Mean |code|: this set has nothing to say here (Benaim et al. 2019, the zero loss)."""
    return code.float().abs().mean()


def tell_apart(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """The critic's side: cross-entropy of set a as 0 and set b as 1, the mean of both (Press et al. 2019, eq. 5)."""
    a, b = logits_a.float(), logits_b.float()
    return (F.softplus(a).mean() + F.softplus(-b).mean()) / 2


def domain_confusion(critic: Critic, code_a: Tensor, code_b: Tensor) -> Tensor:
    """The encoder's side: both codes are pushed towards the label of a, the set without the part (Press et al. 2019, eq. 4).

    One-sided on purpose: flipped labels would pay the encoder for writing the set into the code the other way round.
    """
    a, b = critic(code_a).float(), critic(code_b).float()
    return (F.softplus(a).mean() + F.softplus(b).mean()) / 2


def classify(logits: Tensor, labels: Tensor, sizes: Sequence[int]) -> Tensor:
    """Cross-entropy of several answers at once: mean over the batch, sum over the questions.

    The latent discriminator's side (Lample et al. 2017, eq. 2). logits: (N, sum of sizes), one stretch for each question. labels: (N,
    questions) int64, the right class of each.
    """
    answers = logits.float().split(list(sizes), dim=1)
    return torch.stack([F.cross_entropy(a, label) for a, label in zip(answers, labels.unbind(1), strict=True)]).sum()


def latent_adversary(logits: Tensor, labels: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """The encoder's side: cross-entropy with *another* class of each question (Lample et al. 2017, eq. 3).

    Of two classes that is the other one; of more, one of the others, each as likely. Sizes as in `classify`; generator on the CPU.
    """
    steps = [torch.randint(1, size, (len(labels),), generator=generator) for size in sizes]
    others = (labels + torch.stack(steps, 1).to(labels)) % torch.tensor(list(sizes)).to(labels)
    return classify(logits, others, sizes)


def read_off(logits: Tensor, numbers: Tensor, widths: Sequence[int]) -> Tensor:
    """A reader of attributes: mean over the batch, sum over the attributes of its cross-entropies.

    logits, numbers: (N, sum of widths), numbers in [0, 1]. Width 1: of a yes or no, or of a number (whose expected value is then the
    best answer). More: of a choice, whose numbers sum to 1.
    """
    parts = zip(logits.float().split(list(widths), dim=1), numbers.float().split(list(widths), dim=1), strict=True)
    return torch.stack([(F.cross_entropy if n.shape[1] > 1 else F.binary_cross_entropy_with_logits)(x, n) for x, n in parts]).sum()


def hinge_real(logits: Tensor) -> Tensor:
    """The critic's side, of real pictures: mean max(0, 1 - D(x)) (Lim and Ye 2017; Liu et al. 2019, eq. 4)."""
    return F.relu(1 - logits.float()).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    """The critic's side, of made pictures: mean max(0, 1 + D(x))."""
    return F.relu(1 + logits.float()).mean()


def hinge_adversary(logits: Tensor) -> Tensor:
    """The maker's side: mean -D(x)."""
    return -logits.float().mean()


def logistic_real(logits: Tensor) -> Tensor:
    """The critic's side, of real pictures: mean softplus(-D(x)) (Goodfellow et al. 2014, eq. 1, D a logit)."""
    return F.softplus(-logits.float()).mean()


def logistic_fake(logits: Tensor) -> Tensor:
    """The critic's side, of drawn pictures: mean softplus(D(x))."""
    return F.softplus(logits.float()).mean()


def logistic_adversary(logits: Tensor) -> Tensor:
    """The generator's side: mean softplus(-D(x)), which does not fade where the critic is sure (Goodfellow et al. 2014, 3)."""
    return F.softplus(-logits.float()).mean()


def path_lengths(drawn: Tensor, styles: Tensor, generator: torch.Generator) -> Tensor:
    """|J^T y| of each picture: how far a step of its styles moves it, in the random direction y (Karras et al. 2020, eq. 4). (N,)

    drawn: (N, C, H, W), computed from styles (N, L, W), which require a gradient; the length is the mean over L. y is standard normal over
    the root of the number of pixels, so that the length hardly depends on the size. generator: on the CPU.
    """
    y = torch.randn(drawn.shape, generator=generator).to(drawn) / math.sqrt(math.prod(drawn.shape[2:]))
    moved = torch.autograd.grad((drawn.float() * y).sum(), styles, create_graph=True)[0]
    return moved.float().square().sum(2).mean(1).sqrt()


def sliced_wasserstein(x: Tensor, target: Tensor, generator: torch.Generator, directions: int = 256) -> Tensor:
    """Mean |x - target| of two clouds of points after sorting along random directions: 0 where they have the same distribution.

    x, target: (N, D), as many points each (Rabin et al. 2011; Karras et al. 2018, 5). generator: on the CPU.
    """
    line = torch.randn(x.shape[1], directions, generator=generator).to(x)
    line = line / line.norm(dim=0)
    return ((x @ line).sort(0).values - (target @ line).sort(0).values).abs().mean()


def patches_apart(x: Tensor, target: Tensor) -> Tensor:
    """`sliced_wasserstein` of pictures, mean over sizes: of whole ones at 8 px, and, at a quarter, half and full size, of 16 patches of 5x5
    pixels each of what the next smaller size lacks, in standard deviations of the target's (Karras et al. 2018, 5).

    x, target: as many pictures each, (N, C, S, S), S a multiple of 8. Always with the same patches and lines.
    """
    side, found = x.shape[-1], []
    for size in (8, side // 4, side // 2, side):
        points = [F.interpolate(some.float(), size=(size, size), mode="area") for some in (x, target)]
        if size > 8:
            points = [some - F.interpolate(F.avg_pool2d(some, 2), size=(size, size), mode="bilinear") for some in points]
            places = torch.randint(0, size - 4, (16, 2), generator=torch.Generator().manual_seed(size)).tolist()
            points = [torch.cat([some[:, :, i : i + 5, j : j + 5] for i, j in places]) for some in points]
        deviation = points[1].std().clamp_min(1e-6)
        one, other = (some.flatten(1) / deviation for some in points)
        found.append(sliced_wasserstein(one, other, torch.Generator().manual_seed(0)))
    return torch.stack(found).mean()


def real_gradient(logits: Tensor, real: Tensor) -> Tensor:
    """Mean over the pictures of |grad D(x)|^2, D(x) a picture's mean logit (Mescheder et al. 2018, R1 without its half).

    logits: (N, ...) or (N,), computed from `real` (N, C, H, W), which requires a gradient.
    """
    own = logits.float().reshape(len(logits), -1).mean(1).sum()  # a sum: each picture's gradient is its own, whatever the batch
    return torch.autograd.grad(own, real, create_graph=True)[0].float().square().flatten(1).sum(1).mean()


def tell_made(critic: Critic, made: Tensor, real: Tensor, penalty: float = 0.3) -> Tensor:
    """The side of a critic of pictures: mean of `logistic_fake` and `logistic_real`, and `penalty` times `real_gradient`.

    made, real: (N, C, H, W). critic: (N, C, H, W) -> as many logits of each picture.
    """
    real = real.detach().requires_grad_()
    of_made, of_real = critic(torch.cat([made, real])).chunk(2)
    return (logistic_fake(of_made) + logistic_real(of_real)) / 2 + penalty * real_gradient(of_real.reshape(len(real), -1), real)


# -- of distributions of codes -------------------------------------------------------------------------------------------------


def normal(x: Tensor, target: Tensor) -> Tensor:
    """-log N(target; x, 1) without its constant, in nats: the sum of (x - target)^2 / 2 over a picture, mean over the batch."""
    return (x.float() - target.float()).square().flatten(1).sum(1).mean() / 2


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) in nats: sum over the numbers of a code, mean over the batch (Kingma and Welling 2014, appendix B).

    mean, log_variance: (N, D).
    """
    mu, log_var = mean.float(), log_variance.float()
    return (mu.square() + log_var.exp() - log_var - 1).sum(1).mean() / 2


def total_correlation(z: Tensor, mean: Tensor, log_variance: Tensor, samples: int) -> Tensor:
    """KL(q(z) | q(z_1) q(z_2) ...) in nats: how much the numbers of a code know of each other.

    Estimated from one batch by minibatch-weighted sampling (Chen et al. 2018, eq. 3). z: (N, D), one draw from each N(mean, variance).
    mean, log_variance: (N, D). samples: pictures in the data set; it moves the estimate by a constant, (D - 1) log samples, so not its
    gradient. Of a batch much smaller than the set the estimate is far off; its direction is what trains.
    """
    x, mu, log_var = z.float()[:, None], mean.float()[None], log_variance.float()[None]
    # [i, j, d]: of number d of draw i under code j
    log_density = -((x - mu).square() / log_var.exp() + log_var + math.log(2 * math.pi)) / 2
    weight = math.log(len(z) * samples)
    together = log_density.sum(2).logsumexp(1) - weight
    apart = (log_density.logsumexp(1) - weight).sum(1)
    return (together - apart).mean()


# -- of pictures with known factors --------------------------------------------------------------------------------------------


def recombine(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
    """All choices of each of K codes from one side or the other: code k, twice (N, ...), -> (N, 2, ..., 2, ...) with a 2 for each code.

    Entry [n, i, j, k] of the first is its value i, of the second its value j, of the third its value k.
    """
    count, found = len(first), []
    for k, pair in enumerate(zip(first, second, strict=True)):
        both = torch.stack(pair, 1)  # (N, 2, ...)
        own = [1] * k + [2] + [1] * (count - k - 1)
        found.append(both.reshape(len(both), *own, *both.shape[2:]).expand(-1, *[2] * count, *[-1] * (both.dim() - 2)))
    return found


def cross(draw: Callable[..., Tensor], first: Sequence[Tensor], second: Sequence[Tensor], grid: Tensor) -> Tensor:
    """The cross loss: codes of x_11..1 and x_22..2 recombined in all ways must draw the whole grid (Aberman et al. 2019).

    Sum over the recombinations of the mean (x - target)^2. draw: K codes (M, ...) -> (M, ...). first, second: K codes (N, ...), one a
    factor. grid: (N, 2, ..., 2, ...), the true pictures or clips.
    """
    k = len(first)
    return 2**k * squared(draw(*[code.flatten(0, k) for code in recombine(first, second)]), grid.flatten(0, k))


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Mean of max(|anchor - positive| - |anchor - negative| + margin, 0), Euclidean (Aberman et al. 2019). All (..., D)."""
    near, far = (torch.linalg.vector_norm(anchor.float() - other.float(), dim=-1) for other in (positive, negative))
    return (near - far + margin).clamp_min(0).mean()


def agree(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Mean |anchor - positive|^2 over mean |anchor - negative|^2: 0 when a code says nothing but its factor.

    All (N, D), or (..., N, D), of which the mean is taken."""
    near, far = ((anchor.float() - other.float()).square().mean((-2, -1)) for other in (positive, negative))
    return (near / far.clamp_min(1e-8)).mean()
