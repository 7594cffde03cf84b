"""What a user asks for, and whether a recording can serve it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Any

from restcli.errors import RecordingError, UsageError
from restcli.events import EventRule, check_threshold
from restcli.files import read_toml
from restcli.io.recording import Channel, Recording
from restcli.nn.weights import BALANCED, DEFAULT_NAME, SENSITIVITIES, Weights
from restcli.signal.contacts import contact_families, families_in_words, other_kind
from restcli.signal.montage import Montage, derive, parse_label, parse_labels
from restcli.text import some_of

_LONGEST_STEP = 14  # s
_NAME_SCALP = "Name scalp electrodes with --channel-map if it has any"


@dataclass(frozen=True)
class Settings:
    """What a user may choose about an annotation.

    Parameters
    ----------
    weights : str
        Shipped name or path of a weights file.
    step : int
        Seconds between scores.
    threshold : float or None
        Probability that an event must reach; None takes that of `sensitivity`.
    allow_missing : int or None
        How many of the weights' nodes may be missing; None takes the weights' own limit.
    channel_map : tuple of (str, str)
        Label in the file, and the electrode or derivation that it stands for.
    device : str
        ``cpu`` or ``cuda``.
    passes : int
        Masked passes for an interval around each probability; 0 for none.
    seed : int
        Seed of the masks of those passes.
    threads : int
        Threads to compute on; 0 takes one for each processor, four at most.
    sensitivity : str
        Operating point of the weights: ``sensitive``, ``balanced`` or ``specific``; ignored when a threshold is given.
    types : bool
        Read out the type of each seizure. Experimental: on real recordings it has not been better than chance.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    weights: str = DEFAULT_NAME
    step: int = 1
    threshold: float | None = None
    allow_missing: int | None = None
    channel_map: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    passes: int = 0
    seed: int = 0
    threads: int = 0
    sensitivity: str = BALANCED
    types: bool = False

    def __post_init__(self) -> None:
        missing = self.allow_missing
        if not _is_whole(self.step) or self.step < 1:
            raise UsageError("--step", f"{self.step!r} s", "a whole number of seconds, 1 or more")
        if self.threshold is not None:
            check_threshold(self.threshold, "--threshold")
        if not all(isinstance(pair, tuple) and list(map(type, pair)) == [str, str] for pair in self.channel_map):
            raise UsageError("--channel-map", f"{self.channel_map!r}", "pairs of labels: theirs and ours")
        if self.sensitivity not in SENSITIVITIES:
            raise UsageError("--sensitivity", repr(self.sensitivity), f"one of {', '.join(SENSITIVITIES)}")
        if not _is_whole(self.passes) or self.passes < 0 or self.passes == 1:
            raise UsageError("--passes", f"{self.passes!r}", "0, or at least 2 passes")
        if missing is not None and not (_is_whole(missing) and missing >= 0):
            raise UsageError("--allow-missing", f"{missing!r}", "a number of nodes, 0 or more")
        if not _is_whole(self.seed) or self.seed < 0:
            raise UsageError("--seed", f"{self.seed!r}", "a whole number, 0 or more")
        if not _is_whole(self.threads) or self.threads < 0:
            raise UsageError("--threads", f"{self.threads!r}", "a number of threads, or 0 for one per processor")

    @classmethod
    def of(cls, **options: Any) -> Settings:
        """Return settings from keywords as `annotate` takes them."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise UsageError("settings", f"there is no setting {name!r}", f"one of {', '.join(known)}")
        if isinstance(options.get("channel_map"), Mapping):
            options["channel_map"] = tuple(options["channel_map"].items())
        if "weights" in options:
            options["weights"] = str(options["weights"])
        return cls(**options)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral)


def check_settings(weights: Weights, settings: Settings) -> None:
    """Refuse what these weights cannot do, before any recording is opened."""
    if settings.step > _LONGEST_STEP:
        raise UsageError("--step", f"{settings.step} s would pass over short seizures", f"at most {_LONGEST_STEP} s")
    if settings.passes and not weights.config.has_intervals:
        what = f"weights {weights.name} were not trained with a rescaled mask for each node"
        raise UsageError("--passes", what, "weights such as rest-default")
    if settings.types and not weights.types:
        raise UsageError(
            "--types", f"weights {weights.name} do not read out types", "weights that were trained with types"
        )
    rule_in_force(weights, settings)


def needed_nodes(weights: Weights, settings: Settings) -> int:
    """Return how many good nodes a second must have to be scored."""
    if settings.allow_missing is None:
        return weights.min_nodes
    return max(1, len(weights.nodes) - settings.allow_missing)


def rule_in_force(weights: Weights, settings: Settings) -> EventRule:
    """Return the weights' rule at the user's threshold, or at the operating point asked for."""
    if settings.threshold is not None:
        return weights.rule.with_threshold(settings.threshold)
    if settings.sensitivity == BALANCED:
        return weights.rule
    for point in weights.points:
        if point.name == settings.sensitivity:
            return weights.rule.with_threshold(point.threshold)
    what = f"weights {weights.name} have no operating point {settings.sensitivity!r}"
    raise UsageError("--sensitivity", what, "weights with operating points", "Choose a probability with --threshold")


def usable_labels(recording: Recording, highest: float = 0.0, mapped: Container[str] = ()) -> list[str]:
    """Return the label of each channel, empty where it cannot be used, see `_unusable`."""
    return ["" if _unusable(channel, highest, mapped) else channel.label for channel in recording.channels]


def _unusable(channel: Channel, highest: float, mapped: Container[str] = ()) -> str:
    """Return why a channel cannot be used: unit, type (unless the user's map names it) or rate; empty when it can."""
    if channel.problem:
        return channel.problem
    if channel.unit != "µV":
        if channel.unit in ("", "unknown"):
            return "its unit is unknown" if channel.unit else "it has no unit"
        return f"its unit '{channel.unit}' is not a voltage"
    if channel.inside and channel.label not in mapped:
        return "its type lies inside the head"
    if channel.sfreq < 2 * highest:
        return f"it is sampled at {channel.sfreq:g} Hz, too slowly for the {highest:g} Hz that the weights look at"
    return ""


def fit_montage(recording: Recording, weights: Weights, settings: Settings) -> Montage:
    """Find how the weights' nodes follow from the recording's channels; refuse a recording that cannot be scored."""
    labels = [channel.label for channel in recording.channels]
    unknown = [theirs for theirs, _ in settings.channel_map if theirs not in labels]
    if unknown:
        what, remedy = f"{recording.path.name} has no channel {unknown[0]!r}", "Run restcli info to list them"
        raise UsageError("--channel-map", what, "labels that the recording has", remedy)
    highest = float(weights.features.range[1])
    channel_map = dict(settings.channel_map)
    montage = derive(usable_labels(recording, highest, channel_map), weights.nodes, channel_map=channel_map)
    least = weights.look_ahead + rule_in_force(weights, settings).min_duration
    _refuse_intracranial(recording, settings)
    longest = max((segment.stop - segment.start for segment in recording.segments), default=0.0)
    if longest < least:
        what = f"is too short for any event: its longest stretch without a gap lasts {longest:.1f} s"
        raise RecordingError(str(recording.path), what, f"at least {least:g} s")
    needed = needed_nodes(weights, settings)
    if len(montage.nodes) < needed:
        raise RecordingError(
            str(recording.path),
            _why_too_few(recording, montage, len(weights.nodes), highest),
            f"at least {needed} nodes for weights {weights.name}, from electrodes of the 10-20 system",
            _remedy(recording, montage, settings, highest),
        )
    return montage


def _refuse_intracranial(recording: Recording, settings: Settings) -> None:
    """Refuse a file that BIDS calls intracranial, unless the user names its channels."""
    if recording.path.name.lower().split(".")[0].endswith("_ieeg") and not settings.channel_map:
        what, remedy = "is intracranial EEG by its BIDS name (_ieeg)", _NAME_SCALP
        raise RecordingError(str(recording.path), what, "EEG from the scalp", remedy)


def _why_too_few(recording: Recording, montage: Montage, n_nodes: int, highest: float) -> str:
    labels = [channel.label for channel in recording.channels]
    shown = ", ".join(repr(label) for label in labels[:6]) + (", ..." if len(labels) > 6 else "")
    text = (
        f"only {len(montage.nodes)} of {n_nodes} nodes can be derived from its {len(labels)} channels ({shown}); "
        f"missing: {some_of(montage.missing, 8)}"
    )
    families = contact_families(usable_labels(recording, highest))
    if families:
        named = families_in_words(families)
        return f"labels such as {named} name contacts of depth electrodes, grids or another cap; {text}"
    kind = other_kind(usable_labels(recording, highest))
    text = f"{kind}; {text}" if kind else text
    unusable = [
        (channel.label, reason)
        for channel, ends in zip(recording.channels, parse_labels(labels), strict=True)
        if (reason := _unusable(channel, highest)) and ends is not None
    ]
    if not unusable:
        return text
    others = f" and {len(unusable) - 1} more" if len(unusable) > 1 else ""
    return f"{text}; EEG channel '{unusable[0][0]}'{others} left out: {unusable[0][1]}"


def _remedy(recording: Recording, montage: Montage, settings: Settings, highest: float) -> str:
    """Say what may help: a map if a usable channel has no known name, fewer nodes if there are any."""
    mapped = dict(settings.channel_map)
    if any(channel.inside for channel in recording.channels):
        return _NAME_SCALP
    labels = usable_labels(recording, highest)
    read = zip(labels, parse_labels([mapped.get(label, label) for label in labels]), strict=True)
    unnamed = any(label and ends is None for label, ends in read)
    ways = ["name the channels with --channel-map"] if unnamed or montage.contacts else []
    if montage.nodes:
        ways.append("accept fewer with --allow-missing")
    return ", or ".join(ways)


def read_channel_map(path: Path | None) -> tuple[tuple[str, str], ...]:
    """Read a channel map, empty without a path: a TOML file of lines ``"their label" = "our name"``."""
    if path is None:
        return ()
    table = read_toml(path, '"their label" = "our name" on each line')
    for theirs, ours in table.items():
        if not isinstance(ours, str) or (ours and parse_label(ours) is None):
            raise UsageError(
                str(path), f"{theirs!r} = {ours!r}", "an electrode (F3), a derivation (F3-C3), or '' to leave it out"
            )
    return tuple(table.items())
