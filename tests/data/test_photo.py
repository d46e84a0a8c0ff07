"""Pictures as they come: every format, every way of being broken, and pasting back at full size."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data.feed import to_float
from unweave.data.photo import Photo, decode, read_image
from unweave.errors import UserError

RED, BLUE = (220, 30, 20), (10, 40, 200)


def halves(width=96, height=64):
    """Red above, blue below."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture


def noise(width=90, height=60):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def is_halves(tensor, tolerance=12):
    middle = tensor.shape[1] // 2
    above, below = tensor[:, : middle - 2], tensor[:, middle + 2 :]
    return all((part.float().mean((1, 2)) - torch.tensor(colour)).abs().max() < tolerance for part, colour in ((above, RED), (below, BLUE)))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.bmp", "x.tif", "x.gif", "x.ppm", "x.tga", "x.jp2"])
def test_formats(tmp_path, name):
    halves().save(tmp_path / name)
    assert is_halves(read_image(tmp_path / name, 32))


@pytest.mark.parametrize("mode, name", [("CMYK", "x.jpg"), ("CMYK", "x.tif"), ("YCbCr", "x.jpg"), ("LAB", "x.tif"), ("P", "x.png")])
def test_colour_models(tmp_path, mode, name):
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        ImageCms.profileToProfile(halves(), *profiles, outputMode="LAB").save(tmp_path / name)
    else:
        halves().convert(mode, **({"palette": Image.Palette.ADAPTIVE} if mode == "P" else {})).save(tmp_path / name)
    assert is_halves(read_image(tmp_path / name, 32), tolerance=20)


def test_grey_and_black_and_white(tmp_path):
    for mode in ("L", "1", "LA"):
        halves().convert("L").point(lambda v: 255 if v > 60 else 0).convert(mode).save(tmp_path / "x.png")
        picture = read_image(tmp_path / "x.png", 32)
        assert picture.shape == (3, 32, 32) and picture[:, :14].min() >= 254 and picture[:, 18:].max() <= 1


def test_sixteen_bits_and_floats_are_scaled_not_cut(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    expected = torch.from_numpy(ramp / 257)
    for name, array in {
        "x.png": ramp.astype(np.uint16),
        "y.tif": ramp.astype(np.uint16),
        "z.tif": (ramp / 65535).astype(np.float32),
    }.items():
        Image.fromarray(array).save(tmp_path / name)
        assert (read_image(tmp_path / name, 64)[0] - expected).abs().max() < 2


def test_what_is_transparent_is_white(tmp_path):
    picture = halves()
    picture.putalpha(Image.fromarray(np.repeat(np.array([[255] * 48 + [0] * 48], np.uint8), 64, 0)))
    picture.save(tmp_path / "x.png")
    seen = read_image(tmp_path / "x.png", 64, "stretch")
    assert is_halves(seen[:, :, :30]) and seen[:, :, 34:].min() >= 254
    palette = halves().quantize(2)
    blue = palette.getpixel((0, 63))
    palette.save(tmp_path / "y.png", transparency=blue)
    assert read_image(tmp_path / "y.png", 32)[:, 18:].min() >= 254


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(tmp_path, orientation):
    upright = halves(96, 64)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL.Image.Transpose that undoes each orientation's own
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert is_halves(read_image(tmp_path / "x.jpg", 32))
    assert decode(tmp_path / "x.jpg").rgb.size == decode(tmp_path / "x.jpg").size == (96, 64)


def test_a_large_jpeg_is_the_same_read_quickly(tmp_path):
    Image.effect_mandelbrot((1600, 1200), (-3, -2.5, 2, 2.5), 20).convert("RGB").save(tmp_path / "x.jpg")
    assert decode(tmp_path / "x.jpg", least=64).rgb.size[0] < 400 and decode(tmp_path / "x.jpg", least=64).size == (1600, 1200)
    full = np.array(Image.open(tmp_path / "x.jpg").crop((200, 0, 1400, 1200)).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.abs(read_image(tmp_path / "x.jpg", 64).numpy().transpose(1, 2, 0) - full.astype(float)).mean() < 3


def test_ways_to_become_square(tmp_path):
    wide = Image.new("RGB", (90, 30), "black")
    wide.paste("white", (30, 0, 60, 30))
    wide.save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", 30, "crop").min() > 250
    padded = read_image(tmp_path / "x.png", 30, "pad")
    assert padded[:, :9].min() == 255 and padded[:, 11:19, :8].max() <= 1
    stretched = read_image(tmp_path / "x.png", 30, "stretch")
    assert stretched[:, :, :8].max() <= 1 and stretched[:, :, 12:18].min() > 250
    with pytest.raises(UserError, match='did you mean "crop"'):
        read_image(tmp_path / "x.png", 30, "cropp")


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_odd_sizes_are_read_and_pasted(tmp_path, size, fit):
    Image.new("RGB", size, RED).save(tmp_path / "x.png")
    photo = Photo(tmp_path / "x.png", 16, fit)
    assert photo.square.shape == (1, 3, 16, 16)
    out = photo.paste(photo.square)
    assert out.size == size and (fit == "pad" or out.getpixel((0, 0)) == RED)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    halves().save(tmp_path / "x.gif", save_all=True, append_images=[noise(96, 64), noise(96, 64)])
    assert is_halves(read_image(tmp_path / "x.gif", 32))
    assert "first frame" in Photo(tmp_path / "x.gif", 32).notes[0] and not Photo(save(halves(), tmp_path / "y.png"), 32).notes


def save(picture, path):
    picture.save(path)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def broken_files(folder):
    """name -> what the error says"""
    png, jpg = save(noise(), folder / "good.png").read_bytes(), save(noise(), folder / "good.jpg").read_bytes()
    files = {
        "cut.png": (png[: len(png) // 2], "cut short"),
        "cut.jpg": (jpg[: len(jpg) // 2], "cut short"),
        "head.png": (png[:20], "replace it"),
        "zero.png": (b"", "is empty"),
        "text.jpg": (b"dear diary\n" * 20, "not a picture"),
        "bomb.png": (bomb(60_000), "60,000 x 60,000 pixels"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    (folder / "good.png").unlink()
    (folder / "good.jpg").unlink()
    return {name: answer for name, (_, answer) in files.items()}


def test_broken_files_are_named_with_their_fault(tmp_path):
    for name, answer in broken_files(tmp_path).items():
        with pytest.raises(UserError, match=answer) as caught:
            read_image(tmp_path / name, 32)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="there is no file"):
        Photo(tmp_path / "nowhere.png", 32)
    with pytest.raises(UserError, match="is a folder"):
        Photo(tmp_path, 32)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    save(noise(), tmp_path / "x.png").chmod(0)
    with pytest.raises(UserError, match="may not be read"):
        read_image(tmp_path / "x.png", 32)


# -- pasting back --------------------------------------------------------------------------------------------------------------


def pixels(image):
    return np.array(image).astype(int)


def test_outside_the_square_and_where_the_mask_is_zero_nothing_changes(tmp_path):
    photo = Photo(save(noise(900, 600), tmp_path / "x.png"), 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:30, 25:45] = torch.linspace(0.1, 2, 20).clamp(max=1)
    raw = torch.full((1, 3, 64, 64), 1.0)
    out = photo.paste(mask * raw + (1 - mask) * photo.square, mask)
    before, after = pixels(photo.full), pixels(out)
    assert out.size == (900, 600) and np.array_equal(before[:, :150], after[:, :150]) and np.array_equal(before[:, 750:], after[:, 750:])
    scale = 600 / 64  # the box of the mask, and one small pixel around it for the enlargement
    top, bottom, left, right = (int(edge * scale) for edge in (19, 31, 24, 46))
    changed = (before != after).any(-1)
    changed[top:bottom, 150 + left : 150 + right] = False
    assert not changed.any()
    assert after[int(25 * scale), 150 + int(40 * scale)].min() >= 254  # fully masked: the model's white


def test_inside_the_mask_the_edit_is_as_the_formula_says(tmp_path):
    photo = Photo(save(halves(128, 128), tmp_path / "x.png"), 64)
    mask = torch.full((1, 64, 64), 0.25)
    raw = torch.zeros(3, 64, 64)
    out = photo.paste(mask * raw + (1 - mask) * photo.square[0], mask)
    expected = 0.75 * pixels(photo.full) + 0.25 * 127.5
    assert np.abs(pixels(out) - expected).max() <= 1
    assert photo.paste(photo.square, torch.zeros(64, 64)).tobytes() == photo.full.tobytes()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_without_a_mask_the_square_is_replaced(tmp_path, fit):
    photo = Photo(save(noise(200, 100), tmp_path / "x.png"), 32, fit)
    out = pixels(photo.paste(torch.full((1, 3, 32, 32), -1.0)))
    inside = out[:, 50:150] if fit == "crop" else out
    assert (inside == 0).all()
    if fit == "crop":
        assert np.array_equal(out[:, :50], pixels(photo.full)[:, :50])


def test_a_small_picture_of_the_models_size_is_edited_exactly(tmp_path):
    photo = Photo(save(noise(64, 64), tmp_path / "x.png"), 64)
    assert torch.equal(photo.square[0], to_float(torch.from_numpy(pixels(photo.full).transpose(2, 0, 1))))
    edited = torch.rand(1, 3, 64, 64) * 2 - 1
    assert np.array_equal(pixels(photo.paste(edited)), ((edited[0] + 1) * 127.5).round().permute(1, 2, 0).int().numpy())


def test_alpha_and_the_colour_profile_are_kept(tmp_path):
    picture = noise(80, 60)
    alpha = Image.linear_gradient("L").resize((80, 60))
    picture.putalpha(alpha)
    picture.save(tmp_path / "x.png", icc_profile=b"profile")
    photo = Photo(tmp_path / "x.png", 32)
    out = photo.paste(photo.square, torch.zeros(32, 32))
    assert out.mode == "RGBA" and np.array_equal(pixels(out), pixels(picture)) and out.info["icc_profile"] == b"profile"
