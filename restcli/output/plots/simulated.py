"""Pictures of simulated recordings and of how they compare with real ones; knows arrays, not where they come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from restcli.events import Events
from restcli.signal.montage import DOUBLE_BANANA, derive
from restcli.simulate.draw import Simulated
from restcli.simulate.realism import Realism
from restcli.simulate.waves import Float32Array


def page(
    data: Float32Array,
    labels: Sequence[str],
    span: tuple[float, float],
    *,
    events: Events | None = None,
    scale: float = 70.0,
) -> Figure:
    """Draw one page of a recording in the double banana, as a clinician reads it.

    Parameters
    ----------
    data : ndarray, shape (C, n)
        µV at 200 Hz.
    labels : sequence of str
        C electrode or derivation names.
    span : tuple of float
        First and last second of the page.
    events : Events, optional
        Seizures, shaded.
    scale : float
        µV from one trace to the next.

    Returns
    -------
    Figure
    """
    montage = derive(labels, DOUBLE_BANANA)
    first, last = (round(second * 200) for second in span)
    traces = montage.matrix @ data[list(montage.channels), first:last]
    traces = traces - np.median(traces, axis=1, keepdims=True)
    figure = Figure(figsize=(14, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    time = span[0] + np.arange(traces.shape[1]) / 200
    for row, trace in enumerate(traces):
        axes.plot(time, -row - np.clip(trace, -3 * scale, 3 * scale) / scale, color="black", linewidth=0.5)
    axes.set_yticks(-np.arange(len(traces)), montage.nodes, fontsize=7)
    axes.set(xlim=span, ylim=(-len(traces) - 0.5, 1.5), xlabel=f"time / s (negative up, {scale:.0f} µV between traces)")
    axes.grid(axis="x", linewidth=0.3)
    for event in events or ():
        if event.stop > span[0] and event.onset < span[1]:
            axes.axvspan(max(event.onset, span[0]), min(event.stop, span[1]), color="tab:red", alpha=0.12, linewidth=0)
            axes.text(max(event.onset, span[0]), 1.0, event.label, color="tab:red", fontsize=8)
    return figure


def pages(simulated: Simulated, *, count: int = 4, width: float = 15.0) -> list[Figure]:
    """Draw the telling pages of a simulated recording: seizures first, then mimics, body, machine, rest.

    Parameters
    ----------
    simulated : Simulated
        From `restcli.simulate.draw.draw`.
    count : int
        Pages at most.
    width : float
        Seconds of each.

    Returns
    -------
    list of Figure
    """
    starts = [(event.onset - width / 3, event.label) for event in simulated.events]
    for state in ("mimic", "machine", "movement", "muscle", "postictal"):
        found = np.flatnonzero(simulated.states.get(state, np.zeros(1, dtype=bool)))
        if found.size:
            starts.append((float(found[0]) - 1, state))
    starts.append((0.0, "begin"))
    scale = float(np.clip(3 * np.median(simulated.data.std(axis=1)), 30, 200))
    figures = []
    longest = simulated.data.shape[1] / 200
    for start, what in starts[:count]:
        first = float(np.clip(start, 0, max(longest - width, 0)))
        span = (first, min(first + width, longest))
        figure = page(simulated.data, simulated.labels, span, events=simulated.events, scale=scale)
        figure.suptitle(f"seed {simulated.seed}: {what}", fontsize=9)
        figures.append(figure)
    return figures


def realism_figure(result: Realism) -> Figure:
    """Draw what tells simulated background from real: spectra, amplitude, correlation, the most telling features."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    colours = {"real": "black", "simulated": "tab:orange"}
    hertz = np.arange(1, 41)
    for side, rows in result.spectra.items():
        low, middle, high = np.percentile(rows, [10, 50, 90], axis=0)
        axes[0, 0].plot(hertz, middle, color=colours[side], label=f"{side} ({len(rows)} recordings)")
        axes[0, 0].fill_between(hertz, low, high, color=colours[side], alpha=0.15, linewidth=0)
    axes[0, 0].set(xlabel="frequency / Hz", ylabel="ln magnitude, median of a recording", title="spectra")
    axes[0, 0].legend(fontsize=7)
    for side, values in result.amplitude.items():
        axes[0, 1].hist(values, bins=60, density=True, histtype="step", color=colours[side], label=side)
    axes[0, 1].set(xlabel="ln(RMS 1-40 Hz / 15 µV)", ylabel="density", title="amplitude of a second")
    names, scores = zip(*result.single[:15], strict=True)
    axes[0, 2].barh(range(len(names)), np.array(scores) - 0.5, left=0.5, color="tab:orange")
    axes[0, 2].set_yticks(range(len(names)), names, fontsize=7)
    axes[0, 2].invert_yaxis()
    axes[0, 2].set(xlim=(0, 1), xlabel="AUROC alone", title="what gives it away")
    for axis, (side, table) in zip(axes[1], result.correlation.items(), strict=False):
        image = axis.imshow(table, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_xticks(range(18), DOUBLE_BANANA, fontsize=5, rotation=90)
        axis.set_yticks(range(18), DOUBLE_BANANA, fontsize=5)
        axis.set_title(f"correlation, {side}")
    figure.colorbar(image, ax=axes[1, 1], shrink=0.7)
    axes[1, 2].axis("off")
    lines = ["real or simulated?", "AUROC on unseen recordings"]
    lines += [f"{side}: {count} s" for side, count in result.seconds.items()]
    lines += [f"{name}: {value:.3f}" for name, value in result.auroc.items()]
    axes[1, 2].text(0, 0.5, "\n".join(lines), fontsize=9, va="center")
    return figure
