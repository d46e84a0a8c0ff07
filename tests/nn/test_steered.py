"""Networks of attribute editing."""

from __future__ import annotations

import pytest
import torch

from unweave.nn.steered import LatentCritic, PlanesDecoder, Reader, ResidualEncoder, SteeredDecoder


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_code_of_each_picture_has_one_scale() -> None:
    code = ResidualEncoder((8, 16, 16, 16), 6)(100 * draw(3, 3, 64, 64))
    assert code.shape == (3, 6, 4, 4)
    torch.testing.assert_close(code.mean((1, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(code.var((1, 2, 3), unbiased=False), torch.ones(3), rtol=0, atol=1e-3)


@pytest.mark.parametrize("decoder", [SteeredDecoder(6, (16, 16, 8, 8), 2), PlanesDecoder(6, (16, 8, 8), 2).eval()])
def test_a_vector_steers_the_picture(decoder: torch.nn.Module) -> None:
    torch.manual_seed(0)
    code = draw(2, 6, 4, 4)
    drawn = [decoder(code, torch.tensor([vector, vector])) for vector in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0])]
    assert all(picture.shape == (2, 3, 64, 64) for picture in drawn)
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-4) and not torch.allclose(drawn[1], drawn[2], atol=1e-4)


def test_colours_stay_absolute() -> None:
    """No norm stands between the shortcuts and the picture: a code twice as large gives a stronger picture."""
    torch.manual_seed(0)
    decoder, code, vector = SteeredDecoder(6, (16, 16, 8, 8), 2), draw(2, 6, 4, 4), torch.zeros(2, 2)
    assert decoder(8 * code, vector).std() > 2 * decoder(code, vector).std()


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 6, 8])
def test_the_critic_reads_codes_of_any_size_with_dropout(cells: int) -> None:
    critic, code = LatentCritic(6, cells, 5, width=16, kind="none"), draw(3, 6, cells, cells)
    assert critic(code).shape == (3, 5) and not torch.equal(critic(code), critic(code))
    assert sum(isinstance(m, torch.nn.Dropout) and m.p == 0.3 for m in critic.modules()) == 1 + (cells > 1) + (cells > 3) + (cells > 7)
    critic.eval()
    assert torch.equal(critic(code), critic(code))


def test_the_reader_averages_over_places() -> None:
    reader, x = Reader(4).eval(), torch.zeros(1, 3, 128, 128)
    x[:, :, 56:64, 56:64] = 1.0
    moved = x.roll((8, -8), (2, 3))  # by whole cells of its last map, and still away from the border
    torch.testing.assert_close(reader(x), reader(moved), rtol=1e-3, atol=1e-4)
