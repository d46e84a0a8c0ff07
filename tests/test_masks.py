import pytest
import torch

from unweave import masks
from unweave.errors import UserError


def naive_otsu(values):
    """Tries all edges on the numbers themselves, without a histogram."""
    best, at = -1.0, 0.0
    for edge in torch.arange(1, 256) / 256:
        low, high = values[values <= edge], values[values > edge]
        if len(low) and len(high):
            between = len(low) * len(high) * (low.mean() - high.mean()).item() ** 2
            if between > best + 1e-9:
                best, at = between, edge.item()
    return at


@pytest.mark.parametrize("seed", range(3))
def test_otsu_against_all_thresholds_tried(seed):
    draw = torch.Generator().manual_seed(seed)
    values = torch.cat([torch.rand(300, generator=draw) ** 3 * 0.6, 0.5 + 0.4 * torch.rand(80, generator=draw)])
    values = (torch.floor(values * 256) + 0.5) / 256  # on the bins' centres, so that both see the same numbers
    assert masks.otsu(values) == pytest.approx(naive_otsu(values), abs=1 / 256)


def test_a_gap_is_cut_in_the_middle():
    assert masks.otsu(torch.tensor([0.1] * 90 + [0.9] * 10)) == pytest.approx(0.5, abs=0.01)


def test_every_picture_has_its_own_threshold():
    faint, strong = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    faint[:, 2:4], strong[:, 4:6] = 0.4, 1.0
    both = torch.stack([faint, strong])
    alone = torch.cat([masks.automatic_threshold(m[None]) for m in both])
    assert torch.equal(masks.automatic_threshold(both), alone)
    assert torch.equal(masks.binary(both), torch.stack([faint > 0, strong > 0]))


def test_scaling_a_mask_does_not_change_what_is_marked():
    mask = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.2
    mask[..., 8:16, 4:28] += 0.7
    assert (masks.binary(mask) == masks.binary(mask * 0.6)).float().mean() > 0.99


def test_an_empty_mask_stays_empty():
    faint = torch.rand(1, 1, 16, 16) * 0.08
    assert not masks.binary(faint).any() and not masks.binary(torch.zeros(1, 1, 16, 16)).any()


def test_thresholds_given_by_hand_and_wrong_ones():
    mask = torch.tensor([[[[0.2, 0.6]]]])
    assert masks.binary(mask, "0.4").flatten().tolist() == [False, True] and masks.binary(mask, 0.1).all()
    for wrong in ("automatic", "1.5", -0.1, "nan"):
        with pytest.raises(UserError, match="A threshold is auto, soft or a number"):
            masks.binary(mask, wrong)


def test_iou_by_hand():
    one, two = torch.zeros(3, 4, 4, dtype=torch.bool), torch.zeros(3, 4, 4, dtype=torch.bool)
    one[0, :2], two[0, 1:3] = True, True  # 8 and 8 pixels, 4 in common
    one[1, 0] = True  # nothing there to find
    assert masks.iou(one, two).tolist() == pytest.approx([4 / 12, 0, 1])
    assert masks.iou(one[:, None], two[:, None]).tolist() == masks.iou(two, one).tolist()


def test_random_masks_overlap_as_chance_says():
    draw = torch.Generator().manual_seed(0)
    one, two = torch.rand(2, 50, 64, 64, generator=draw) < 0.2
    assert masks.iou(one, two).mean().item() == pytest.approx(0.04 / 0.36, abs=0.005)


def test_a_mask_of_whole_pictures_is_where_they_differ() -> None:
    x, y = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    y[:, :, 2:4, 2:4] = 0.3
    y[:, :, 5, 5] = 1.9
    mask = masks.changed(x, y)
    assert mask.shape == (1, 1, 8, 8) and mask[0, 0, 2, 2].item() == pytest.approx(0.3**0.5) and mask[0, 0, 5, 5].item() == 1.0
    assert mask.count_nonzero() == 5


def test_a_part_is_laid_over_and_seen_where_it_changes_something():
    """Three pixels: fully masked and changed by 1; fully masked and hardly changed; not masked."""
    logits = torch.tensor([40.0, 40.0, -40.0]).view(1, 1, 1, 3)
    before = torch.zeros(1, 3, 1, 3)
    raw = torch.tensor([[1.0, 0.05, 1.0], [0.0, 0.0, 0.0], [0.0, -0.1, 0.0]]).view(1, 3, 1, 3)
    after = masks.painted(logits, raw, before)
    assert after[0, 0, 0].tolist() == pytest.approx([1.0, 0.05, 0.0])
    assert masks.visible(logits, before, after).flatten().tolist() == pytest.approx([1.0, 0.4, 0.0])
    half = masks.painted(torch.zeros(1, 1, 1, 3), raw, before + 0.5)
    torch.testing.assert_close(half, (raw + 0.5) / 2)


def test_the_region_of_an_attribute_is_where_two_drawings_differ_much():
    """One strong square, one a tenth as strong: the first alone, a pixel wider and soft; the same of any strength, but for none."""
    least, most = torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)
    most[:, :, 8:16, 8:16], most[:, :, 22:28, 22:28] = 0.8, 0.08
    most[1] *= 0.5
    found = masks.region(least, most)
    assert found.shape == (2, 1, 32, 32) and torch.allclose(found[0], found[1], atol=1e-5)
    assert (found[:, :, 9:15, 9:15] == 1).all() and (found[:, :, 7:17, 7:17] > 0.5).all()
    assert (found[:, :, 20:] == 0).all() and (found[:, :, :, 20:] == 0).all()
    assert torch.equal(masks.region(most, least), found)
    assert (masks.region(least, least + 1e-2 * most) == 0).all()
