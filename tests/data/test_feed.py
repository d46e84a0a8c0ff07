"""The endless stream, and the feed that serves it."""

import numpy as np
import pytest
import torch

from unweave.data import load
from unweave.data.dataset import Dataset
from unweave.data.feed import Feed, match, to_float, to_uint8
from unweave.errors import UserError
from unweave.method import Need, images


class Numbers(Dataset):
    """Two sets of 7 and 5 and a third of pictures with their number beside them: each sample says who it is."""

    split, size, key, spec, source = "train", 4, "numbers", "numbers", "numbers"
    streams = {"a": ("a",), "b": ("b",), "image": ("image", "attributes")}
    offers = {"a": images(4), "b": images(4), "image": images(4), "attributes": Need("attributes", (1,))}
    lengths = {"a": 7, "b": 5, "image": 6, "attributes": 6}

    def take(self, name, indices):
        index = torch.as_tensor(np.asarray(indices))
        if name == "attributes":
            return index[:, None].float()
        pictures = index[:, None, None, None].expand(-1, 3, 4, 4).to(torch.uint8).clone()
        pictures[..., 0] += 100  # so that a mirrored one is known
        return pictures


def who(pictures):
    return pictures[:, 0, 0, 1].tolist()


def test_every_picture_comes_once_an_epoch_in_a_new_order():
    data = Numbers()
    stream = who(data.batch(0, 21, seed=0)["a"])
    epochs = [stream[0:7], stream[7:14], stream[14:21]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert stream != who(data.batch(0, 21, seed=1)["a"])


def test_a_position_means_the_same_however_the_stream_is_cut():
    whole = Numbers().batch(0, 24, seed=5)
    data = Numbers()
    for count in (1, 2, 3, 4, 6, 8):
        parts = [data.batch(start, count, seed=5) for start in reversed(range(0, 24, count))][::-1]
        for name, expected in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), expected)


def test_two_sets_are_shuffled_apart_and_columns_of_one_together():
    batch = Numbers().batch(0, 60, seed=0)
    assert who(batch["image"]) == batch["attributes"][:, 0].tolist()
    a, image = who(batch["a"])[:5], who(batch["image"])[:5]
    assert a != image and a != who(batch["b"])[:5]


def test_processes_together_read_what_one_reads():
    data = Numbers()
    one = Feed(data, 8, seed=2)
    four = [Feed(data, 2, seed=2, rank=rank, world=4) for rank in range(4)]
    for position in (0, 1, 2, 7):
        whole = one(position)
        shares = [feed(position) for feed in four]
        for name, expected in whole.items():
            assert torch.equal(torch.cat([share[name] for share in shares]), expected)
    for feed in (one, *four):
        feed.close()


def test_a_feed_may_be_asked_in_any_order():
    data = Numbers()
    feed = Feed(data, 3, seed=1)
    forward = [feed(position)["b"] for position in range(6)]
    backward = [feed(position)["b"] for position in reversed(range(6))][::-1]
    assert all(torch.equal(x, y) for x, y in zip(forward, backward))
    assert forward[0].dtype == torch.float32
    expected = to_float(data.batch(6, 3, seed=1)["b"])
    assert torch.equal(forward[2], expected)
    feed.close()


def test_mirroring_half_of_the_pictures_depends_on_the_position_alone():
    data = Numbers()
    data.flip = True
    batch = data.batch(0, 400, seed=0)
    mirrored = batch["a"][:, 0, 0, 3] >= 100
    assert 0.4 < mirrored.float().mean() < 0.6
    assert torch.equal(torch.cat([data.batch(i, 1, seed=0)["a"] for i in range(50)]), batch["a"][:50])
    assert not torch.equal(mirrored, batch["b"][:, 0, 0, 3] >= 100)
    assert who(batch["image"]) == batch["attributes"][:, 0].tolist()


def test_floats_and_bytes_are_the_same_picture():
    every = torch.arange(256, dtype=torch.uint8)
    assert to_float(every).min() == -1 and to_float(every).max() == 1
    assert torch.equal(to_uint8(to_float(every)), every)
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_what_does_not_fit_is_said_with_both_sides():
    two, table = load("faces:glasses", 32, n=4), load("faces", 32, n=4)
    match({"a": images(32), "b": images(32)}, two)
    match({"image": images(32)}, table)
    with pytest.raises(
        UserError, match=r"needs a \(64 px\), b \(64 px\), but faces:glasses offers a \(32 px\), b \(32 px\): open it at 64 px"
    ):
        match({"a": images(64), "b": images(64)}, two)
    with pytest.raises(UserError, match="two sets would fit, as faces:glasses or --data.a DIR --data.b DIR"):
        match({"a": images(32), "b": images(32)}, table)
    with pytest.raises(UserError, match="a set with 3 attributes would fit"):
        match({"image": images(32), "attributes": Need("attributes", (3,))}, two)
    with pytest.raises(UserError, match="at least one picture"):
        Feed(two, 0)
