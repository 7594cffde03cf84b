"""The rivals of the REST paper as plain torch networks, at the sizes that give the published parameter counts.

Inputs are the paper's for all of them: a window of log spectra, (window, second, electrode, bin) = (B, 14, 19, 100);
each gives one logit a window. The paper's table names sizes by parameter count alone; where a published implementation
of the baseline exists its widths are taken, elsewhere the widths that come closest.

References
----------
Afzal et al., *REST*, ICML 2024, table of detection results; Tang et al., *Self-supervised graph neural networks for
improved electroencephalographic seizure analysis*, ICLR 2022 (LSTM, CNN-LSTM, DCRNN); Lee et al., *Real-time seizure
detection using EEG*, CHIL 2022 (ResNet-LSTM).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

N_NODES, N_BINS, N_SECONDS = 19, 100, 14


class Recurrent(nn.Module):
    """Two stacked LSTM or GRU layers of 64 units over all electrodes' bins together."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cell = kind(N_NODES * N_BINS, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        out: Tensor = self.head(self.cell(x.flatten(2))[0][:, -1])[:, 0]
        return out


class CnnLstm(nn.Module):
    """Each second's (electrode, bin) picture through two convolutions and a wide layer, then two LSTM layers."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 3), nn.MaxPool2d(2), nn.Flatten())
        self.wide = nn.Linear(32 * ((N_NODES - 4) // 2) * ((N_BINS - 4) // 2), 512)
        self.cell = nn.LSTM(512, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        seconds = self.wide(self.picture(x.flatten(0, 1)[:, None])).unflatten(0, x.shape[:2])
        out: Tensor = self.head(self.cell(seconds)[0][:, -1])[:, 0]
        return out


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, (1, 9), (1, stride), (0, 4), bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, (1, 9), 1, (0, 4), bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, (1, stride), bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNetLstm(nn.Module):
    """Residual convolutions along time over all electrodes' bins, averaged, then two LSTM layers of 512 units."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, 64, (7, 21), (7, 2), (0, 10)), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d((1, 2))
        )
        widths = (64, 64, 64, 128, 128, 256, 256)
        strides = (1, 1, 2, 1, 2, 1)
        blocks = zip(widths, widths[1:], strides, strict=False)
        self.body = nn.Sequential(*(_Residual(before, after, stride) for before, after, stride in blocks))
        self.cell = nn.LSTM(256, 512, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        along_time = self.body(self.first(x.flatten(2).transpose(1, 2)[:, None]))  # (B, 256, rows, steps)
        out: Tensor = self.head(self.cell(along_time.mean(2).transpose(1, 2))[0][:, -1])[:, 0]
        return out


class _DiffusionConvolution(nn.Module):
    """Chebyshev steps along each of the graph's two directions, then one linear map."""

    def __init__(self, before: int, after: int, steps: int = 2) -> None:
        super().__init__()
        self.steps = steps
        self.linear = nn.Linear(before * (1 + 2 * steps), after)

    def forward(self, x: Tensor, supports: Tensor) -> Tensor:
        found = [x]
        for support in supports:
            last, now = x, support @ x
            found.append(now)
            for _ in range(self.steps - 1):
                last, now = now, 2 * support @ now - last
                found.append(now)
        out: Tensor = self.linear(torch.cat(found, dim=-1))
        return out


class _DiffusionCell(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.gates = _DiffusionConvolution(before + width, 2 * width)
        self.candidate = _DiffusionConvolution(before + width, width)

    def forward(self, x: Tensor, state: Tensor, supports: Tensor) -> Tensor:
        reset, keep = torch.sigmoid(self.gates(torch.cat([x, state], dim=-1), supports)).chunk(2, dim=-1)
        fresh = torch.tanh(self.candidate(torch.cat([x, reset * state], dim=-1), supports))
        return keep * state + (1 - keep) * fresh


class Dcrnn(nn.Module):
    """Diffusion-convolutional gated recurrent network: three layers of 32 units, two diffusion steps each way.

    The published implementation has two layers of 64 (168,641 with one direction of the graph); the paper on REST
    prints 126 K, which three layers of 32 come closest to.
    """

    def __init__(self, adjacency: Tensor) -> None:
        super().__init__()
        walk = adjacency / adjacency.sum(dim=1, keepdim=True)
        back = adjacency.T / adjacency.T.sum(dim=1, keepdim=True)
        self.supports: Tensor
        self.register_buffer("supports", torch.stack([walk, back]))
        self.cells = nn.ModuleList(_DiffusionCell(before, 32) for before in (N_BINS, 32, 32))
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        states = [x.new_zeros(x.shape[0], N_NODES, 32) for _ in self.cells]
        for t in range(x.shape[1]):
            below = x[:, t]
            for i, cell in enumerate(self.cells):
                below = states[i] = cell(below, states[i], self.supports)
        out: Tensor = self.head(torch.relu(below)).amax(dim=1)[:, 0]
        return out


class Transformer(nn.Module):
    """Two encoder layers over the seconds of a window, 20 wide, four heads."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(N_NODES * N_BINS, 20)
        self.place = nn.Parameter(torch.randn(N_SECONDS, 20) * 0.02)
        layer = nn.TransformerEncoderLayer(20, 4, 80, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        out: Tensor = self.head(self.encoder(self.embed(x.flatten(2)) + self.place).mean(dim=1))[:, 0]
        return out


def rivals(adjacency: Tensor) -> dict[str, nn.Module]:
    """Build all rivals in evaluation mode, with weights from a fixed seed."""
    torch.manual_seed(0)
    built = {
        "LSTM": Recurrent(nn.LSTM),
        "GRU": Recurrent(nn.GRU),
        "CNN-LSTM": CnnLstm(),
        "ResNet-LSTM": ResNetLstm(),
        "DCRNN": Dcrnn(adjacency),
        "Transformer": Transformer(),
    }
    return {name: network.eval().requires_grad_(False) for name, network in built.items()}


class _ResidualInTime(nn.Module):
    """Normalise, rectify and convolve twice, beside a shortcut; even kernels look one sample further to the right."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            ends = nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0)
            layers += [nn.BatchNorm1d(width, eps=1e-3), nn.ReLU(), ends, nn.Conv1d(width, width, kernel)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class SeizureTransformer(nn.Module):
    """Raw samples to a probability for each: convolutions down, residual stack, eight transformer layers, up again.

    A window is 19 electrodes by 15,360 samples, 60 s at 256 Hz.

    References
    ----------
    Wu et al., *SeizureTransformer: scaling U-Net with transformer for simultaneous time-step level seizure detection
    from long EEG recordings*, arXiv:2504.00336, 2025; widths and kernels as the authors published them.
    """

    n_samples = 15360
    sfreq = 256

    def __init__(self) -> None:
        super().__init__()
        widths = (N_NODES, 32, 64, 128, 256, 512)

        def convolution(before: int, after: int, kernel: int) -> nn.Module:
            return nn.Sequential(nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.ELU())

        down = zip(widths, widths[1:], (11, 9, 7, 7, 5), strict=False)
        up = zip((512, *widths[:1:-1]), widths[:0:-1], (3, 5, 5, 7, 7), strict=False)
        self.down = nn.ModuleList(convolution(*shape) for shape in down)
        self.residual = nn.Sequential(*(_ResidualInTime(512, kernel) for kernel in (3, 3, 3, 3, 2, 3, 2)))
        layer = nn.TransformerEncoderLayer(512, 4, 2048, batch_first=True)
        self.attention = nn.TransformerEncoder(layer, 8, enable_nested_tensor=False)
        self.up = nn.ModuleList(convolution(*shape) for shape in up)
        self.head = nn.Conv1d(32, 1, 11, padding=5)
        place = torch.arange(self.n_samples // 32)[:, None] * 10000.0 ** (-torch.arange(0, 512, 2) / 512)
        self.place: Tensor
        self.register_buffer("place", torch.stack([place.sin(), place.cos()], dim=-1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 19, 15360) to probabilities (B, 15360)."""
        kept = []
        for convolution in self.down:
            x = convolution(x)
            kept.append(x)
            x = nn.functional.max_pool1d(x, 2)
        x = self.residual(x)
        x = x + self.attention(x.transpose(1, 2) + self.place).transpose(1, 2)
        for convolution, skipped in zip(self.up, reversed(kept), strict=True):
            x = convolution(nn.functional.interpolate(x, scale_factor=2.0)) + skipped
        return torch.sigmoid(self.head(x))[:, 0]
