"""Sheets, overlays and animations: the pixels asked for, where they belong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.pictures import GAP, MARK, Sheet, beside, column, draw, gif, overlay, strip, to_image


def test_to_image_covers_the_whole_range() -> None:
    picture = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 3).expand(3, 1, 3)
    assert np.asarray(to_image(picture))[0, :, 0].tolist() == [0, 128, 255]
    assert to_image(picture).mode == "RGB"
    mask = torch.tensor([[0.0, 0.5, 1.0]])
    assert to_image(mask).mode == "L" and np.asarray(to_image(mask))[0].tolist() == [0, 128, 255]
    assert np.asarray(to_image(mask > 0.4))[0].tolist() == [0, 255, 255]
    eight = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    assert np.asarray(to_image(eight)).transpose(2, 0, 1).tolist() == eight.tolist()


@pytest.mark.parametrize("shape", [(2, 4, 4), (4,), (1, 3, 4, 4)])
def test_to_image_refuses_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="picture is"):
        to_image(torch.zeros(shape))


def test_overlay() -> None:
    picture = torch.zeros(3, 2, 2)
    mask = torch.tensor([[[1.0, 0.0], [0.5, 0.0]]])
    painted = overlay(picture, mask, strength=1.0)
    assert torch.allclose(painted[:, 0, 0], torch.tensor(MARK))
    assert torch.equal(painted[:, :, 1], picture[:, :, 1])
    assert torch.allclose(painted[:, 1, 0], torch.tensor(MARK) / 2)


def test_draw_puts_each_cell_in_its_place() -> None:
    red, blue = torch.tensor([1.0, -1, -1]).view(3, 1, 1).expand(3, 8, 8), torch.tensor([-1.0, -1, 1]).view(3, 1, 1).expand(3, 8, 8)
    picture = np.asarray(draw(Sheet([[None, red], [blue, torch.ones(1, 8, 8)]]), scale=2))
    assert picture.shape == (GAP + 2 * (16 + GAP), GAP + 2 * (16 + GAP), 3)

    def cell(row: int, place: int) -> list[int]:
        return picture[GAP + row * (16 + GAP) + 8, GAP + place * (16 + GAP) + 8].tolist()

    assert [cell(0, 0), cell(0, 1), cell(1, 0), cell(1, 1)] == [[255, 255, 255], [255, 0, 0], [0, 0, 255], [255, 255, 255]]


@pytest.mark.parametrize(("side", "enlarged"), [(32, 128), (64, 128), (128, 128), (200, 200)])
def test_cells_are_readable(side: int, enlarged: int) -> None:
    assert draw(strip([torch.zeros(3, side, side)])).width == enlarged + 2 * GAP


def test_labels_take_room_and_long_ones_are_cut() -> None:
    cell = torch.zeros(3, 64, 64)
    bare = draw(Sheet([[cell]]))
    labelled = draw(Sheet([[cell]], top=["a label far too long for a cell of this size"], left=["left"]))
    assert labelled.width > bare.width and labelled.height > bare.height
    assert labelled.width < 2 * bare.width


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="without a single picture"):
        draw(Sheet([[None]]))


def test_column_holds_all() -> None:
    parts = [Image.new("RGB", (50, 20), "red"), Image.new("RGB", (80, 30), "blue")]
    whole = column([("one", parts[0]), ("two", parts[1])])
    assert whole.width == 80 and whole.height > 50
    assert whole.getpixel((10, whole.height - 5)) == (0, 0, 255)


def test_beside_holds_all() -> None:
    parts = [Image.new("RGB", (50, 20), "red"), Image.new("RGB", (80, 30), "blue")]
    whole = beside([("one", parts[0]), ("two", parts[1])])
    assert whole.width > 130 and whole.height > 50
    assert whole.getpixel((10, 40)) == (255, 0, 0) and whole.getpixel((whole.width - 5, whole.height - 5)) == (0, 0, 255)


def test_gif_moves(tmp_path: Path) -> None:
    gif([torch.full((3, 8, 8), level) for level in (-1.0, 0.0, 1.0)], tmp_path / "walk.gif", seconds=0.2)
    with Image.open(tmp_path / "walk.gif") as animation:
        assert animation.n_frames == 3 and animation.info["duration"] == 200
