import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unweave.errors import UserError
from unweave.metrics import images


def test_kernel_distance_against_a_double_loop():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(7, 5)), random.normal(0.5, 1, size=(7, 5))

    def k(p, q):
        return (p @ q / 5 + 1) ** 3

    n, total = 7, 0.0
    for i in range(n):
        for j in range(n):
            total -= 2 * k(x[i], y[j]) / n**2
            if i != j:
                total += (k(x[i], x[j]) + k(y[i], y[j])) / (n * (n - 1))
    found = images.kernel_distance(torch.from_numpy(x), torch.from_numpy(y), subsets=3)
    assert found == pytest.approx([total] * 3)


def test_two_halves_of_one_collection_are_at_zero_and_others_are_not():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 8, generator=draw)
    same, other = images.kernel_distance(x[:200], x[200:], size=100), images.kernel_distance(x[:200], x[200:] + 1, size=100)
    assert abs(np.mean(same)) < 0.1 < np.mean(other)
    with pytest.raises(ValueError, match="at least two pictures"):
        images.kernel_distance(x[:1], x)


@pytest.fixture
def weights(tmp_path):
    random = np.random.default_rng(0)
    widths, sides = (3, 64, 192, 384, 256, 256), (11, 5, 3, 3, 3)
    arrays = {}
    for i, (before, after, side) in enumerate(zip(widths, widths[1:], sides)):
        arrays[f"conv{i}.weight"] = (random.normal(size=(after, before, side, side)) / (before * side * side) ** 0.5).astype(np.float16)
        arrays[f"conv{i}.bias"] = random.normal(size=after).astype(np.float16)
    np.savez(tmp_path / "weights.npz", **arrays)
    return tmp_path / "weights.npz", {k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()}


def test_features_are_the_stages_channel_means(weights, monkeypatch):
    file, kept = weights
    x = torch.rand(3, 3, 64, 64) * 2 - 1
    found = images.Features(file)(x, batch=2)
    assert found.shape == (3, 1152)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    first = F.conv2d((x - shift[:, None, None]) / scale[:, None, None], kept["conv0.weight"], kept["conv0.bias"], 4, 2).relu()
    second = F.conv2d(F.max_pool2d(first, 3, 2), kept["conv1.weight"], kept["conv1.bias"], 1, 2).relu()
    assert torch.allclose(found[:, :64], first.mean((2, 3)), atol=1e-5) and torch.allclose(found[:, 64:256], second.mean((2, 3)), atol=1e-5)

    monkeypatch.delenv("UNWEAVE_FEATURES", raising=False)
    assert images.find_features() is None
    monkeypatch.setenv("UNWEAVE_FEATURES", str(file))
    assert torch.allclose(images.find_features()(x), found, atol=1e-5)


def test_wrong_features_files(tmp_path):
    with pytest.raises(UserError, match="There is no features file"):
        images.Features(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no array")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(UserError, match="does not hold AlexNet's weights"):
            images.Features(tmp_path / name)
