"""The edits of models that draw pictures out of noise: sample, mix, loop, project, directions. They are methods of such a model too
(but for `sample`: a model's own makes codes, this one pictures).

    sample(model, range(16))                                     sixteen pictures, always the same ones
    model.mix([0, 1], [2, 3, 4], "coarse")                       shapes of two on the colours of three
    found = model.project(picture)                               a picture of one's own as codes
    model.along(found.codes["style"], model.directions(5)[0], 2.0)

Pictures are (N, C, S, S) in [-1, 1]; styles (N, L, W), one for each of L layers; w (N, W) is one for all layers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.codes import Codes
from unweave.errors import UserError, did_you_mean
from unweave.verbs import made, require

if TYPE_CHECKING:
    from unweave.method import Method

Layers = str | Sequence[int] | None
PSI = 0.7  # truncation where none is said
CHUNK = 64  # pictures drawn in one call
SPREAD = 4_000  # draws that say how much w varies
# A projection's step size at its highest; how far w is shaken at first, in deviations of w; weights of features and of changed noise.
RATE, SHAKE, GUIDE, STILL = 0.1, 0.05, 0.1, 1e-3


# -- samples -------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def sample(model: Method, seeds: Sequence[int], truncation: float = PSI, noise: bool = True) -> Tensor:
    """A picture for each seed, the same whatever else is asked for. -> (N, C, S, S).

    truncation: 1 draws the whole distribution, less stays nearer to the mean style (better and more alike), 0 is the mean.
    noise: with each seed's own noise maps, or without any. Raises UserError for seeds and truncations that cannot be.
    """
    require(model, "sample")
    codes = seeded(model, seeds, truncation)
    return drawn(model, codes if noise else codes.only(*(name for name in codes if name != "noise")))


@torch.no_grad()
def seeded(model: Method, seeds: Sequence[int], truncation: float = PSI) -> Codes:
    """The codes behind `sample`: z, noise, and style where the model knows styles; a batch of as many as there are seeds."""
    if not len(seeds):
        raise UserError("Say at least one seed.")
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise UserError(f"A seed is a whole number from 0 on, not {seed}.")
    if not -2 <= truncation <= 2:
        raise UserError(
            f"Truncation is a number from 0 (the mean) over 1 (everything) to 2, or negative for the opposite, not {truncation:g}."
        )
    codes = Codes.stack(*[model.sample(1, torch.Generator().manual_seed(int(seed))) for seed in seeds])
    return codes | Codes(style=model.map(codes["z"], truncation)) if "style" in {code.name for code in model.codes} else codes


@torch.no_grad()
def drawn(model: Method, codes: Codes) -> Tensor:
    """Decoded in pieces that fit in memory, (N, C, S, S)."""
    return torch.cat([made(model.decode(codes.take(slice(i, i + CHUNK)))) for i in range(0, codes.batch, CHUNK)])


def chosen(model: Method, layers: Layers) -> list[int]:
    """Layers by name ("coarse", "middle", "fine", several with commas), as "4-7" or "3", as numbers, or all (None, "all"): their numbers.

    Raises UserError for layers that the model has not."""
    count = next(code.shape[0] for code in model.codes if code.kind == "layers")
    assert count is not None
    if layers is None or layers == "all":
        return list(range(count))
    if not isinstance(layers, str):
        numbers = [int(layer) for layer in layers]
    else:
        numbers = []
        for part in layers.replace(" ", "").split(","):
            if match := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
                numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
            elif part in model.layers:
                numbers += model.layers[part]
            else:
                raise UserError(f'There are no layers "{part}": {did_you_mean(part, [*model.layers, "all"])}, or numbers as 4-7.')
    if not numbers or not all(0 <= layer < count for layer in numbers):
        raise UserError(f"This model's layers are 0-{count - 1}, coarse to fine; {layers} is not among them.")
    return sorted(set(numbers))


@torch.no_grad()
def mix(
    model: Method, sources: Sequence[int] | Codes, onto: Sequence[int] | Codes, layers: Layers = "coarse", truncation: float = PSI
) -> Tensor:
    """Style mixing: each of `onto` with these layers of each source's styles (Karras et al. 2019, figure 3). -> (S, T, C, H, W).

    sources, onto: seeds, or codes with `style` (of `project`, say). Noise is that of `onto`. layers: as in `chosen`.
    """
    require(model, "mix")
    where = chosen(model, layers)
    first, second = (some if isinstance(some, Codes) else seeded(model, some, truncation) for some in (sources, onto))
    rows = []
    for style in first["style"]:
        mixed = second["style"].clone()
        mixed[:, where] = style[where]
        rows.append(drawn(model, second | Codes(style=mixed)))
    return torch.stack(rows)


@torch.no_grad()
def loop(model: Method, seeds: Sequence[int], steps: int = 24, space: Literal["w", "z"] = "w", truncation: float = PSI) -> Tensor:
    """A walk past each seed's picture and back to the first, without a seam: (N * steps, C, S, S), the seeds' at 0, steps, 2 steps ...

    space: "w" walks smoothly in styles (Catmull-Rom), "z" on great circles of z. Noise stays that of the first seed.
    """
    require(model, "mix")
    if len(seeds) < 2 or steps < 1:
        raise UserError(f"A loop takes two seeds or more and at least 1 step between them, not {len(seeds)} and {steps}.")
    if space not in ("w", "z"):
        raise UserError(f'A loop goes through "w" or "z", not "{space}".')
    codes = seeded(model, seeds, truncation)
    share = (torch.arange(steps) / steps).to(codes["z"])
    if space == "w":
        a, b, c, d = (codes["style"].roll(shift, 0)[:, None] for shift in (1, 0, -1, -2))
        t = share[None, :, None, None]
        style = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        style = style.flatten(0, 1)
    else:
        first, second = (z.repeat_interleave(steps, 0) for z in (codes["z"], codes["z"].roll(-1, 0)))
        style = model.map(slerp(first, second, share.repeat(len(seeds))), truncation)
    return drawn(model, Codes(style=style, noise=codes["noise"][:1].expand(len(style), -1)))


def slerp(first: Tensor, second: Tensor, where: Tensor) -> Tensor:
    """On the great circle from points (n, D) to others, `where` (n,) of the way; lengths go along on a straight line. For z."""
    t = where[:, None]
    lengths = torch.lerp(first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True), t)
    a, b = F.normalize(first, dim=1), F.normalize(second, dim=1)
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin().clamp_min(1e-7) * lengths


# -- a picture of one's own ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Projection:
    """What `project` found. codes: style (N, L, W) and noise (N, P), or those it started from. images: what they draw, (N, C, S, S).

    psnr: decibels, (N,). feature_distance: 1 - cosine of the features of picture and drawing, (N,); None without features.
    """

    codes: Codes
    images: Tensor
    psnr: Tensor
    feature_distance: Tensor | None = None


def project(
    model: Method,
    images: Tensor,
    steps: int = 500,
    features: Callable[[Tensor], Tensor] | None = None,
    space: Literal["w+", "w"] = "w+",
    progress: Callable[[int, int, float], None] | None = None,
    start: Codes | None = None,
    seed: int = 0,
) -> Projection:
    """The codes that draw a picture, by gradient descent through `decode` (Karras et al. 2020, D). The more steps, the nearer.

    images: (N, C, S, S), each on its own. space: "w", one style for all layers, stays where the model draws well, and edits well; "w+", one
    for each layer, from w's on after two fifths of the steps, comes nearer. features: (N, C, S, S) -> (N, D); where they have gradients
    they are followed, and in any case measured. progress: hears (step, steps, mean psnr). start: codes of any kind, which are all improved
    from where they are, of any model (an encoder's answer, say); without, the mean style and random noise.
    Raises UserError for pictures of another size.
    """
    if start is None:
        require(model, "project")
    if images.dim() != 4 or images.shape[2:] != (model.size, model.size):
        size = model.size
        raise UserError(f"This model draws pictures of {size} px: give (N, 3, {size}, {size}), not {tuple(images.shape)}.")
    if space not in ("w", "w+") or steps < 1:
        raise UserError(f'A projection goes to "w" or "w+" in at least one step, not to "{space}" in {steps}.')
    generator, n, deviation, switch = torch.Generator().manual_seed(seed), len(images), 0.0, -1
    if start is None:
        mean, varies = spread(model)
        deviation = varies.item()
        start = Codes(style=mean[None, None], noise=model.sample(1, generator)["noise"])
        switch = int(0.4 * steps) if space == "w+" else -1
    found = {name: code.detach().expand(n, *code.shape[1:]).clone().requires_grad_() for name, code in start.items()}
    layers = next((code.shape[0] for code in model.codes if code.kind == "layers"), None)

    def spelled(codes: dict[str, Tensor], shake: float = 0.0) -> Codes:
        """The codes as `decode` takes them: w for each layer, and shaken."""
        if "style" not in codes:
            return Codes(**codes)
        w = codes["style"] + shake * torch.randn(codes["style"].shape, generator=generator).to(images)
        return Codes(**codes | {"style": w.expand(-1, layers or -1, -1)})

    wanted = features(images).flatten(1).detach() if features else None

    def distance(drawing: Tensor) -> Tensor | None:
        return None if features is None or wanted is None else 1 - F.cosine_similarity(features(drawing).flatten(1), wanted)

    guided = features is not None and features(images.clone().requires_grad_()).requires_grad
    optimiser = torch.optim.Adam(found.values(), betas=(0.9, 0.999))
    for step in range(steps):
        if step == switch:
            found["style"] = found["style"].detach().expand(-1, layers or -1, -1).clone().requires_grad_()
            optimiser = torch.optim.Adam(found.values(), betas=(0.9, 0.999))
        done = step / steps
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, 20 * done + 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, 4 - 4 * done)))
        drawing = made(model.decode(spelled(found, SHAKE * deviation * max(0.0, 1 - done / 0.75) ** 2)))
        error = (drawing - images).square().flatten(1).mean(1)
        loss = error.sum()
        if guided and (apart := distance(drawing)) is not None:
            loss = loss + GUIDE * apart.sum()
        if "noise" in found:  # or it would draw what styles should say
            loss = loss + STILL * (found["noise"] - start["noise"]).square().mean(1).sum()
        for code, gradient in zip(found.values(), torch.autograd.grad(loss, list(found.values()))):
            code.grad = gradient
        optimiser.step()
        if progress:
            progress(step + 1, steps, psnr(error).mean().item())
    with torch.no_grad():
        codes = spelled({name: code.detach() for name, code in found.items()})
        drawing = drawn(model, codes)
        return Projection(codes, drawing, psnr((drawing - images).square().flatten(1).mean(1)), distance(drawing))


def psnr(error: Tensor) -> Tensor:
    """Mean squared errors of pictures in [-1, 1], in decibels."""
    return 10 * (4 / error.detach().clamp_min(1e-12)).log10()


# -- directions ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Directions:
    """Directions of w, the strongest first; `directions[0]` is the first.

    vectors: (K, W), each as long as one standard deviation of w along it, so that an amount of 1 to 3 is seen and stays a likely picture.
    strengths: (K,), what they were ordered by. kind: how they were found. layers: where they were found, and act if no others are said.
    """

    vectors: Tensor
    strengths: Tensor
    kind: str
    layers: tuple[int, ...]

    def __getitem__(self, number: int) -> Tensor:
        return self.vectors[number]

    def __len__(self) -> int:
        return len(self.vectors)


@torch.no_grad()
def spread(model: Method, count: int = SPREAD, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mean (W,) of w and its standard deviation as one number (the root of the mean variance)."""
    w = _many(model, count, seed)
    return w.mean(0), w.var(0).mean().sqrt()


@torch.no_grad()
def directions(model: Method, count: int = 8, kind: Literal["factorised", "pca"] = "factorised", layers: Layers = None) -> Directions:
    """Directions of w that change pictures most, without any label.

    factorised: those that the layers' affine maps stretch most, eigenvectors of A^T A (Shen and Zhou 2021, SeFa, eq. 6). pca: those in
    which w varies most (Härkönen et al. 2020, GANSpace). layers: of which the weights are factorised, as in `chosen`.
    """
    require(model, "directions")
    where = chosen(model, layers)
    w = _many(model, SPREAD, 0)
    w = w - w.mean(0)
    if not 1 <= count <= w.shape[1]:
        raise UserError(f"There are 1 to {w.shape[1]} directions of styles, not {count}.")
    if kind == "pca":
        square = w.T @ w / len(w)
    elif kind == "factorised":
        weights = torch.cat([model.style_weights(layer) for layer in where]).float()
        square = weights.T @ weights
    else:
        raise UserError(f'Directions are found by "factorised" or "pca", not by "{kind}".')
    strengths, vectors = torch.linalg.eigh(square)
    strengths, vectors = strengths.flip(0)[:count].clamp_min(0).sqrt(), vectors.flip(1)[:, :count].T
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()  # of the two signs, always the same one
    return Directions(vectors * (w @ vectors.T).std(0)[:, None], strengths, kind, tuple(where))


def labelled_direction(model: Method, styles: Tensor, labels: Tensor, apart: Sequence[Tensor] = ()) -> Tensor:
    """The direction of w from styles labelled 0 to those labelled 1, (W,), as long as one standard deviation of w along it.

    styles: (N, L, W) or (N, W). labels: (N,), true or false. With 20 of each or more, the normal of the plane that a logistic regression
    puts between them (Shen et al. 2020, InterFaceGAN); with fewer, the difference of their means. apart: directions that it must not
    follow: made orthogonal to them. Raises UserError unless both labels are there, and where nothing else is left.
    """
    require(model, "directions")
    w = (styles.mean(1) if styles.dim() == 3 else styles).detach().float().cpu()
    yes = labels.detach().cpu().flatten() > 0.5
    few = int(min(yes.sum(), (~yes).sum()))
    if len(w) != len(yes) or few < 1:
        raise UserError("A direction needs styles with both labels: at least one picture with the attribute and one without.")
    if few < 20:
        vector = w[yes].mean(0) - w[~yes].mean(0)
    else:
        from sklearn.linear_model import LogisticRegression

        deviation = w.std(0).clamp_min(1e-6)
        fitted = LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced").fit((w / deviation).numpy(), yes.numpy())
        vector = torch.from_numpy(fitted.coef_[0]).float() / deviation
    basis: list[Tensor] = []
    for other in apart:
        other = other.detach().float().cpu()
        basis.append(F.normalize(other - sum((other @ b) * b for b in basis), dim=0))
    free = vector - sum((vector @ b) * b for b in basis)
    if free.norm() < 1e-3 * vector.norm():
        raise UserError("Nothing is left of this direction apart from the others: leave one of them out.")
    vector = F.normalize(free, dim=0)
    with torch.no_grad():
        everywhere = _many(model, SPREAD, 0)
        vector = vector.to(everywhere)
        return vector * (everywhere @ vector).std()


def along(model: Method, style: Tensor, direction: Tensor, amount: float | Tensor = 1.0, layers: Layers = None) -> Tensor:
    """Styles moved along a direction, in these layers alone. style: (N, L, W); direction: (W,), or one for each layer, (L, W); amount: a
    number, or one for each, (N,).

    -> (N, L, W). A strip of one picture: `model.along(style, direction, torch.linspace(-3, 3, 7))`.
    """
    require(model, "directions")
    where = chosen(model, layers)
    steps = torch.as_tensor(amount, dtype=style.dtype, device=style.device).reshape(-1, 1, 1)
    moved = style.expand(max(len(style), len(steps)), -1, -1).clone()
    moved[:, where] += steps * direction.to(style).expand(style.shape[1:])[where]
    return moved


def _many(model: Method, count: int, seed: int) -> Tensor:
    """w of many draws, (count, W), always the same ones."""
    with torch.no_grad():
        return model.map(
            torch.randn(count, *_shape(model, "z"), generator=torch.Generator().manual_seed(seed)).to(next(model.parameters()))
        )[:, 0].float()


def _shape(model: Method, name: str) -> tuple[int, ...]:
    """The declared shape of a code without open dimensions."""
    return tuple(side for code in model.codes if code.name == name for side in code.shape if side is not None)
