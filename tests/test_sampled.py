"""Edits of models that draw pictures out of noise."""

from dataclasses import replace

import pytest
import torch

from contract import tiny
from unweave import sampled
from unweave.codes import Codes
from unweave.errors import UserError
from unweave.methods.stylegan import Stylegan


@pytest.fixture(scope="module")
def model() -> Stylegan:
    torch.manual_seed(0)
    one = Stylegan(replace(tiny.config("stylegan"), size=16)).eval().requires_grad_(False)
    for conv in one.synthesis.convs:
        conv.noise.fill_(0.1)
    one.mean_style.copy_(one.mapping(torch.randn(500, 8)).mean(0))
    return one


# -- samples -------------------------------------------------------------------------------------------------------------------


def test_a_seed_means_the_same_picture_in_any_company(model: Stylegan) -> None:
    many = sampled.sample(model, [3, 7, 11])
    assert many.shape == (3, 3, 16, 16) and many.abs().max() <= 1
    assert torch.allclose(sampled.sample(model, [7]), many[1:2], atol=1e-5)
    assert not torch.allclose(many[0], many[1], atol=0.01)


def test_many_samples_are_drawn_in_pieces(model: Stylegan) -> None:
    seeds = range(sampled.CHUNK + 3)
    assert torch.allclose(sampled.sample(model, seeds)[-1:], sampled.sample(model, [seeds[-1]]), atol=1e-5)


def test_noise_can_be_left_out_and_truncation_leads_to_one_picture(model: Stylegan) -> None:
    with_noise, without = (sampled.sample(model, [1, 2], noise=noise) for noise in (True, False))
    assert not torch.allclose(with_noise, without)
    means = sampled.sample(model, [1, 2], truncation=0.0, noise=False)
    assert torch.allclose(means[0], means[1], atol=1e-5)


@pytest.mark.parametrize(
    ("seeds", "truncation", "word"), [([], 0.7, "seed"), ([-1], 0.7, "-1"), ([1], 3.0, "3"), ([1], float("nan"), "nan")]
)
def test_impossible_samples_are_said(model: Stylegan, seeds: list[int], truncation: float, word: str) -> None:
    with pytest.raises(UserError, match=word):
        sampled.sample(model, seeds, truncation)


def test_a_model_that_encodes_does_not_sample() -> None:
    with pytest.raises(UserError, match="cannot sample"):
        sampled.sample(tiny.build("autoencoder"), [0])


# -- layers and mixing ---------------------------------------------------------------------------------------------------------


def test_layers_are_named_or_numbered(model: Stylegan) -> None:
    assert sampled.chosen(model, "coarse") == [0] and sampled.chosen(model, "middle,fine") == [1, 2, 3, 4, 5]
    assert sampled.chosen(model, "2-4, 0") == [0, 2, 3, 4] and sampled.chosen(model, range(2)) == [0, 1]
    assert sampled.chosen(model, None) == sampled.chosen(model, "all") == list(range(6))
    for wrong in ("corse", "4-9", [6], "5-4", []):
        with pytest.raises(UserError, match="layers"):
            sampled.chosen(model, wrong)


def test_mixing_lays_the_sources_layers_over_the_others(model: Stylegan) -> None:
    sheet = model.mix([1, 2], [3, 4, 5], "coarse")
    assert sheet.shape == (2, 3, 3, 16, 16)
    source, onto = sampled.seeded(model, [2]), sampled.seeded(model, [5])
    style = onto["style"].clone()
    style[:, 0] = source["style"][:, 0]
    assert torch.allclose(sheet[1, 2], model.decode(onto | Codes(style=style)).image[0], atol=1e-5)
    everything = model.mix([1], [3], "all")[0, 0]
    assert torch.allclose(
        everything, model.decode(sampled.seeded(model, [1]) | onto.only() | sampled.seeded(model, [3]).only("noise")).image[0], atol=1e-5
    )


def test_codes_can_be_mixed_with_seeds(model: Stylegan) -> None:
    assert torch.equal(model.mix(sampled.seeded(model, [1]), [3], "fine"), model.mix([1], [3], "fine"))


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_loop_passes_its_seeds_and_has_no_seam(model: Stylegan, space: str) -> None:
    film = model.loop([1, 2, 3], steps=12, space=space)
    assert film.shape == (36, 3, 16, 16)
    noise = sampled.seeded(model, [1]).only("noise")
    assert torch.allclose(film[::12], sampled.drawn(model, sampled.seeded(model, [1, 2, 3]) | noise), atol=1e-3)
    steps = (film - film.roll(-1, 0)).abs().mean((1, 2, 3))
    assert steps[-1] < 2 * steps.max() and steps.max() < (film[0] - film[12]).abs().mean()  # the last step is one like the others
    with pytest.raises(UserError, match="two seeds"):
        model.loop([1], space=space)


# -- a picture of one's own ----------------------------------------------------------------------------------------------------


def test_its_own_pictures_are_found_again(model: Stylegan) -> None:
    pictures = sampled.sample(model, [5, 6])
    heard: list[tuple[int, int, float]] = []
    found = model.project(pictures, steps=150, progress=lambda *now: heard.append(now))
    assert found.psnr.min() > 25 and found.feature_distance is None
    assert torch.allclose(sampled.drawn(model, found.codes), found.images, atol=1e-5)
    assert [step for step, _, _ in heard] == list(range(1, 151)) and heard[-1][2] > heard[0][2] + 5
    assert found.codes["style"].shape == (2, 6, 8) and found.codes["noise"].shape == (2, *model.codes[2].shape)
    alone = model.project(pictures[:1], steps=5).codes["style"]
    assert torch.equal(alone, model.project(pictures[:1], steps=5).codes["style"])  # nothing random that is not seeded


def test_w_has_one_style_and_w_plus_one_for_each_layer(model: Stylegan) -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, many = (model.project(picture, steps=120, space=space) for space in ("w", "w+"))
    assert (one.codes["style"] - one.codes["style"][:, :1]).abs().max() == 0
    assert (many.codes["style"] - many.codes["style"][:, :1]).abs().max() > 0.01
    assert many.psnr > one.psnr


def test_features_are_measured_and_followed_where_they_can(model: Stylegan) -> None:
    picture = sampled.sample(model, [5])

    def shapes(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 4).flatten(1)

    followed = model.project(picture, steps=40, features=shapes)
    measured = model.project(picture, steps=40, features=torch.no_grad()(shapes))
    assert followed.feature_distance is not None and measured.feature_distance is not None
    assert 0 <= followed.feature_distance < 0.1 and measured.feature_distance.shape == (1,)
    assert not torch.equal(followed.codes["style"], measured.codes["style"])
    assert torch.equal(measured.codes["style"], model.project(picture, steps=40).codes["style"])


def test_codes_of_any_model_can_be_improved() -> None:
    encoder = tiny.build("autoencoder").eval().requires_grad_(False)
    x = tiny.batch(encoder)["image"]
    first = encoder.encode(x)
    before = (encoder.decode(first).image - x).square().mean()
    found = encoder.project(x, steps=40, start=first)
    assert found.codes.keys() == first.keys() and (found.images - x).square().mean() < before
    with pytest.raises(UserError, match="cannot project"):
        encoder.project(x)


def test_pictures_of_another_size_are_refused(model: Stylegan) -> None:
    with pytest.raises(UserError, match="16 px"):
        model.project(torch.zeros(1, 3, 32, 32))
    with pytest.raises(UserError, match="at least one step"):
        model.project(torch.zeros(1, 3, 16, 16), steps=0)


# -- directions ----------------------------------------------------------------------------------------------------------------


def test_factorised_directions_are_those_that_the_layers_stretch_most(model: Stylegan) -> None:
    found = model.directions(3, layers="coarse")
    weights = model.style_weights(0)
    along = [(weights @ v / v.norm()).norm().item() for v in found.vectors]
    assert along == sorted(along, reverse=True) and along == pytest.approx(found.strengths.tolist(), rel=1e-3)
    assert along[0] == pytest.approx(torch.linalg.matrix_norm(weights, 2).item(), rel=1e-3)
    assert (found.vectors[0] @ found.vectors[1]).abs() < 1e-5 and found.layers == (0,) and len(found) == 3


def test_directions_are_as_long_as_w_varies(model: Stylegan) -> None:
    w = model.mapping(torch.randn(5000, 8, generator=torch.Generator().manual_seed(9)))
    for kind in ("factorised", "pca"):
        for v in model.directions(4, kind).vectors:
            assert v.norm().item() == pytest.approx((w @ (v / v.norm())).std().item(), rel=0.1)
    found = model.directions(2, "pca")
    variances = torch.linalg.eigvalsh(torch.cov(w.T)).flip(0)
    assert found.strengths.square()[0].item() == pytest.approx(variances[0].item(), rel=0.1)
    for wrong in ({"count": 9}, {"count": 0}, {"kind": "magic"}):
        with pytest.raises(UserError):
            model.directions(**wrong)


@pytest.mark.parametrize("count", [400, 12])
def test_a_labelled_direction_leads_from_no_to_yes(model: Stylegan, count: int) -> None:
    styles = sampled.seeded(model, range(count), truncation=1.0)["style"]
    says, other = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    labels = (styles[:, 0] - model.mean_style) @ says > 0
    way = model.labelled_direction(styles, labels)
    moved = [((model.along(styles, way, amount)[:, 0] - model.mean_style) @ says > 0).float().mean() for amount in (-2.0, 2.0)]
    assert moved[0] < 0.15 and moved[1] > 0.85
    assert abs(model.labelled_direction(styles, labels, apart=[other]) @ other) < 1e-4
    with pytest.raises(UserError, match="Nothing is left"):
        model.labelled_direction(styles, labels, apart=[other, way])
    with pytest.raises(UserError, match="both labels"):
        model.labelled_direction(styles, torch.ones(count))


def test_moving_touches_the_chosen_layers_alone(model: Stylegan) -> None:
    style, way = sampled.seeded(model, [1])["style"], model.directions(1)[0]
    strip = model.along(style, way, torch.linspace(-2, 2, 5), "middle")
    assert strip.shape == (5, 6, 8) and torch.equal(strip[2:3], style)
    assert torch.equal(strip[:, 0], style[:, 0].expand(5, -1)) and torch.equal(strip[:, 3:], style[:, 3:].expand(5, -1, -1))
    assert torch.allclose(strip[4, 1] - style[0, 1], 2 * way)
