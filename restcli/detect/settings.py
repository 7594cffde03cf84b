"""What a user asks for, and whether a recording can serve it; knows neither torch nor the command line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from restcli.errors import RecordingError, UsageError
from restcli.events import EventRule
from restcli.io.recording import Channel, Recording
from restcli.nn.weights import DEFAULT_NAME, Weights
from restcli.signal.montage import Montage, derive, parse_label


@dataclass(frozen=True)
class Settings:
    """What a user may choose about an annotation; written to the run report and part of the key of a result.

    Parameters
    ----------
    weights : str
        Shipped name or path of a weights file.
    step : int
        Seconds between scores.
    threshold : float or None
        Probability that an event must reach; None takes the weights' own.
    allow_missing : int or None
        How many of the weights' nodes may be missing; None takes the weights' own limit.
    channel_map : tuple of (str, str)
        Label in the file, our name.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    passes : int
        Masked passes for an interval around each probability; 0 for none.
    seed : int
        Seed of the masks of those passes.
    """

    weights: str = DEFAULT_NAME
    step: int = 1
    threshold: float | None = None
    allow_missing: int | None = None
    channel_map: tuple[tuple[str, str], ...] = ()
    device: str = "auto"
    passes: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.step < 1 or int(self.step) != self.step:
            raise UsageError("--step", str(self.step), "a whole number of seconds, 1 or more")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError("--threshold", str(self.threshold), "a probability above 0 and at most 1")
        if self.passes < 0 or self.passes == 1:
            raise UsageError("--passes", str(self.passes), "0, or at least 2 passes")
        if self.allow_missing is not None and self.allow_missing < 0:
            raise UsageError("--allow-missing", str(self.allow_missing), "a number of nodes, 0 or more")


def needed_nodes(weights: Weights, settings: Settings) -> int:
    """Return how many good nodes a second must have to be scored."""
    if settings.allow_missing is None:
        return weights.min_nodes
    return max(1, len(weights.nodes) - settings.allow_missing)


def rule_in_force(weights: Weights, settings: Settings) -> EventRule:
    """Return the weights' rule, with the user's threshold when one is given."""
    return weights.rule if settings.threshold is None else weights.rule.with_threshold(settings.threshold)


def usable_labels(recording: Recording, highest: float = 0.0) -> list[str]:
    """Return one label a channel, empty for a channel that cannot be used.

    Parameters
    ----------
    recording : Recording
        An opened recording.
    highest : float
        Highest frequency that will be looked at, Hz: a channel must hold it.

    Returns
    -------
    list of str
        Empty where a channel cannot be read, holds no voltage, or is sampled too slowly.
    """
    return ["" if _unusable(channel, highest) else channel.label for channel in recording.channels]


def _left_out(recording: Recording, highest: float) -> str:
    """Name EEG channels that cannot be used, with the reason of the first."""
    found = [(channel.label, _unusable(channel, highest)) for channel in recording.channels]
    known = [(label, reason) for label, reason in found if reason and parse_label(label) is not None]
    if not known:
        return ""
    others = f" and {len(known) - 1} more" if len(known) > 1 else ""
    return f"; EEG channel '{known[0][0]}'{others} left out: {known[0][1]}"


def _unusable(channel: Channel, highest: float) -> str:
    """Say why a channel cannot be used; empty when it can."""
    if channel.problem:
        return channel.problem
    if channel.unit != "µV":
        return f"its unit '{channel.unit}' is no voltage"
    if channel.sfreq < 2 * highest:
        return f"it is sampled at {channel.sfreq:g} Hz, too slowly for the {highest:g} Hz that the weights look at"
    return ""


def fit_montage(recording: Recording, weights: Weights, settings: Settings) -> Montage:
    """Find how the weights' nodes follow from the recording's channels.

    Parameters
    ----------
    recording : Recording
        An opened recording.
    weights : Weights
        Names the nodes and how many are needed.
    settings : Settings
        Its `channel_map` and `allow_missing` count.

    Returns
    -------
    Montage

    Raises
    ------
    UsageError
        If the channel map names a channel that is not there.
    RecordingError
        If fewer nodes than needed can be derived.
    """
    labels = [channel.label for channel in recording.channels]
    unknown = [theirs for theirs, _ in settings.channel_map if theirs not in labels]
    if unknown:
        raise UsageError(
            "--channel-map",
            f"no channel {unknown[0]!r} in {recording.path.name}",
            "labels as restcli info lists them",
        )
    highest = float(weights.features.range[1])
    montage = derive(usable_labels(recording, highest), weights.nodes, channel_map=dict(settings.channel_map))
    needed = needed_nodes(weights, settings)
    least = weights.look_ahead + rule_in_force(weights, settings).min_duration
    longest = max((segment.stop - segment.start for segment in recording.segments), default=0.0)
    if longest < least:
        raise RecordingError(
            str(recording.path),
            f"too short: its longest stretch without a gap lasts {longest:.1f} s",
            f"at least {least:g} s, or no event could be found in it",
        )
    if len(montage.nodes) < needed:
        shown = ", ".join(repr(label) for label in labels[:6]) + (", ..." if len(labels) > 6 else "")
        raise RecordingError(
            str(recording.path),
            f"only {len(montage.nodes)} of {len(weights.nodes)} nodes can be derived from its {len(labels)} "
            f"channels ({shown}); missing: {', '.join(montage.missing[:8])}"
            + (" ..." if len(montage.missing) > 8 else "")
            + _left_out(recording, highest),
            f"weights {weights.name} need {needed}, from electrodes of the 10-20 system",
            "name the channels with --channel-map, or accept fewer with --allow-missing",
        )
    return montage


def read_channel_map(path: Path | None) -> tuple[tuple[str, str], ...]:
    """Read a channel map: a TOML file of lines ``"their label" = "our name"``.

    Parameters
    ----------
    path : Path or None
        None gives an empty map.

    Returns
    -------
    tuple of (str, str)

    Raises
    ------
    UsageError
        If the file cannot be read, is no TOML, or names something that is no electrode or derivation.
    """
    if path is None:
        return ()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(str(path), f"cannot be read ({error.strerror})", "a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(str(path), f"is not TOML ({error})", '"their label" = "our name" on each line') from error
    for theirs, ours in table.items():
        if not isinstance(ours, str) or (ours and parse_label(ours) is None):
            raise UsageError(
                str(path), f"{theirs!r} = {ours!r}", "an electrode (F3), a derivation (F3-C3), or '' to leave it out"
            )
    return tuple(table.items())
