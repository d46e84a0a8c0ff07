"""Disturbances: what is covered is said, the rest is untouched, and a seed means the same ones."""

from __future__ import annotations

import pytest
import torch

from unweave.nn.disturb import disturbed, grafts, lent, shifted, stickers


def pictures(n: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_rest_is_untouched_and_something_is_covered() -> None:
    x = pictures()
    stuck, covered = stickers(x, torch.Generator().manual_seed(0))
    assert stuck.shape == x.shape and covered.shape == (32, 1, 64, 64)
    free = (covered == 0).expand_as(x)
    assert torch.equal(stuck[free], x[free])
    assert (covered.flatten(1).amax(1) > 0).float().mean() > 0.9
    assert 0 <= covered.min() and covered.max() <= 1 and stuck.abs().max() <= 1
    changed = (stuck - x).abs().mean(1, keepdim=True)
    assert changed[covered > 0.9].mean() > 0.1


def test_a_seed_means_the_same_stickers() -> None:
    x = pictures(4)
    first, again, other = (stickers(x, torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_stickers_differ_from_picture_to_picture_and_cover_a_small_part() -> None:
    _, covered = stickers(pictures(64), torch.Generator().manual_seed(0))
    shares = covered.flatten(1).mean(1)
    assert shares.std() > 0.01 and 0.02 < shares.mean() < 0.4


def test_shifted_moves_each_picture_as_a_whole() -> None:
    x = torch.arange(64.0).expand(1, 1, 64, 64).repeat(16, 1, 1, 1)
    x = torch.cat([x, x.transpose(2, 3)], 1)  # the column in one channel, the row in the other
    moved = shifted(x, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape
    by = moved[:, :, 32, 32] - 32
    assert by.abs().max() <= 11 and by.std() > 3
    inner = slice(12, 52)
    assert torch.equal(moved[:, :, inner, inner] - by[:, :, None, None], x[:, :, inner, inner])
    assert torch.equal(moved, shifted(x, torch.Generator().manual_seed(0)))


def test_patches_are_pieces_of_the_other_pictures() -> None:
    """Pictures of one colour each: what is stuck on is in the colour of another one, and without patches in colours of its own."""
    colours = torch.linspace(-1, 1, 16)
    x = colours[:, None, None, None].expand(16, 3, 64, 64)
    stuck, covered = stickers(x, torch.Generator().manual_seed(0), shapes=1, patches=1.0)
    deep = (covered > 0.999).expand_as(x)
    distance = (stuck[..., None] - colours).abs().amin(-1)
    assert deep.any() and distance[deep].max() < 0.01 and (stuck - x).abs()[deep].min() > 0.1
    plain, covered = stickers(x, torch.Generator().manual_seed(0), shapes=1)
    deep = (covered > 0.999).expand_as(x)
    assert ((plain[..., None] - colours).abs().amin(-1)[deep] > 0.01).any()


def test_behind_a_piece_of_b_is_the_picture_and_a_piece_of_its_own_kind_stays() -> None:
    """Set a is dark, set b bright: what of b shows is said, and nothing else; what lies behind is always dark."""
    a, b = pictures() / 4 - 0.5, pictures(33)[1:] / 4 + 0.5
    soiled, covered, behind = grafts(a, b, torch.Generator().manual_seed(0), foreign=0.25)
    assert soiled.shape == behind.shape == a.shape and covered.shape == (32, 1, 64, 64)
    assert torch.equal(behind[:8], a[:8]) and torch.equal(behind[8:], soiled[8:])
    assert covered[8:].max() == 0 and 0 <= covered.min() and covered.max() <= 1
    assert (covered[:8].flatten(1).amax(1) > 0.5).float().mean() > 0.7
    free = (covered[:8] == 0).expand_as(a[:8])
    assert torch.equal(soiled[:8][free], a[:8][free])
    own = (soiled[8:] - a[8:]).abs().amax((1, 2, 3))
    assert (own > 0.1).float().mean() > 0.7, "pieces of a must be as common as those of b"
    bright = (soiled[:8] > 0).any(1, keepdim=True)
    assert 0.2 < bright.flatten(1).any(1).float().mean() < 0.9, "some pieces take on the colours around them, not all"
    assert covered[:8][bright].min() > 0.24 and not (soiled[8:] > 0).any()


def test_no_piece_is_put_where_the_picture_is_spared() -> None:
    x, seed = pictures(8), torch.Generator().manual_seed
    spared = torch.zeros(8, 1, 64, 64)
    spared[..., 32:] = 1
    soiled, covered, behind = disturbed(x, x.flip(0), seed(0), 1.0, spared=spared)
    free, whole = grafts(x, x.flip(0), seed(0)), (soiled, covered, behind)
    assert torch.equal(soiled[..., 32:], x[..., 32:]) and not covered[..., 32:].any()
    assert all(torch.equal(one[..., :32], other[..., :32]) for one, other in zip(whole, free, strict=True))


def test_every_second_picture_is_lent_a_piece_in_its_own_colours() -> None:
    x = pictures(4)
    theirs, where = x.flip(0) * 0.5, torch.zeros(4, 1, 64, 64)
    where[..., :32] = 1
    out = lent(x, theirs, where, x)
    assert torch.equal(out[::2], x[::2]) and torch.equal(out[..., 32:], x[..., 32:])
    grey = lent(torch.zeros(4, 3, 64, 64), torch.full((4, 3, 64, 64), 0.7), where, torch.full((4, 3, 64, 64), 0.2))
    assert torch.allclose(grey[1::2, :, :, :32], torch.tensor(0.2)) and not grey[::2].any()


def test_a_seed_means_the_same_grafts() -> None:
    x = pictures(8)
    first, again, other = (grafts(x, x.flip(0), torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(("grafted", "n"), [(0.0, 4), (0.5, 4), (1.0, 4), (0.5, 1), (0.5, 0)])
def test_some_pictures_have_pieces_on_them_and_the_rest_stickers(grafted: float, n: int) -> None:
    x, y = pictures(n), pictures(n).flip(-1)
    soiled, covered, behind = disturbed(x, y, torch.Generator().manual_seed(1), grafted)
    few = round(grafted * n)
    assert soiled.shape == behind.shape == x.shape and covered.shape == (n, 1, 64, 64)
    assert torch.equal(behind[few:], x[few:])
    if not few:
        assert torch.equal(soiled, stickers(x, torch.Generator().manual_seed(1))[0])
