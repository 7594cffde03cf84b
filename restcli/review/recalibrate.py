"""A threshold and a calibration for one ward, from the verdicts of its reviewers; the network stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import evidence, logistic, to_events
from restcli.errors import UsageError
from restcli.evaluation.measures import binomial_interval, fit_logistic, lowest_safe, poisson_interval
from restcli.evaluation.scoring import RULES, Tally, score_events
from restcli.events import EventRule, Events, Scores
from restcli.files import make_folder, write_atomically
from restcli.nn.weights import Calibration, Weights, save_weights
from restcli.output.shown import ACCEPTED, REJECTED, UNSURE
from restcli.review.agreement import interval_text, with_interval
from restcli.review.apply import Verdicts
from restcli.review.stored import StoredResult
from restcli.review.verdicts import PENDING, Review, reviewed_events
from restcli.text import count
from restcli.train.card import card_text

LEAST_SEIZURES, LEAST_VERDICTS, LEAST_RECORDINGS = 5, 10, 2
_POINTS = 60  # thresholds tried
_SMALLEST = 5e-5  # half of the last digit of a probability in a table of scores


@dataclass(frozen=True, eq=False)
class Judged:
    """One reviewed recording."""

    result: StoredResult
    review: Review

    @property
    def read_whole(self) -> bool:
        """Whether a reviewer read all of it, so that what was not detected is known as well."""
        return bool(self.review.read_by)

    @property
    def decided(self) -> int:
        """Number of events with a verdict."""
        return sum(item.state in (ACCEPTED, REJECTED) for item in self.review.items.values())

    @cached_property
    def seizures(self) -> Events:
        """What the reviewers confirmed."""
        result = self.result  # its recording is not needed, and may be elsewhere
        return reviewed_events(self.review, Events(result.found, result.duration, unscored=result.unscored))

    @cached_property
    def scores(self) -> Scores:
        """The scores, unknown where an event was detected that nobody decided on."""
        scores = self.result.scores
        probability = scores.probability.astype(np.float64)
        for item in self.review.of("e"):
            if item.state in (PENDING, UNSURE):
                probability[(scores.time >= item.event.onset) & (scores.time < item.event.stop)] = np.nan
        nothing = np.zeros((len(probability), 0))
        return replace(
            scores, probability=probability, by_node=nothing, nodes=(), types=(), by_type=None, interval=None
        )

    @property
    def days(self) -> float:
        """Days that were scored."""
        return self.scores.n_scored * self.scores.step / 86400


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """New weights and what they rest on."""

    weights: Weights
    path: Path
    card: Path
    facts: dict[str, Any]
    notes: tuple[str, ...]


def recalibrate(
    weights: Weights, results: Sequence[StoredResult], *, per_day: float, out: Path, name: str
) -> Recalibrated:
    """Write weights with the threshold, and where it can be known the calibration, that the verdicts ask for.

    UsageError when there are too few verdicts.
    """
    _refuse_copies(results)
    judged, notes = _judged(weights, results)
    _refuse_too_few(judged, per_day, notes)
    line, calibrated = _fit_line(judged)
    base = replace(
        weights.rule,
        threshold=float(_shifted(weights.rule.threshold, line)),
        release=float(_shifted(weights.rule.release, line)),
    )
    levels = _levels(judged, line, base)
    counts = _counts(judged, line, base, levels)
    chosen = _choose(counts.sum(axis=1), per_day)
    rule = base.with_threshold(round(float(levels[chosen]), 4))
    facts = _facts(judged, counts, per_day) | {
        "threshold_before": weights.rule.threshold,
        "threshold": rule.threshold,
        "scale": line.scale,
        "bias": line.bias,
        "calibrated": calibrated,
    }
    notes += _notes(facts, at_lowest=chosen == 0)
    own = weights.calibration
    calibration = replace(own, scale=own.scale * line.scale, bias=own.bias * line.scale + line.bias)
    provenance = {**weights.provenance, "recalibration": facts | {"from": weights.name, "from_sha256": weights.sha256}}
    new = replace(weights, name=name, rule=rule, points=(), calibration=calibration, provenance=provenance)
    path = make_folder(out) / f"{name}.safetensors"
    new = replace(new, sha256=save_weights(new, path))
    card = write_atomically(path.with_suffix(".md"), _card(new, weights, facts, notes))
    return Recalibrated(new, path, card, facts, tuple(notes))


def _refuse_copies(results: Sequence[StoredResult]) -> None:
    """Refuse verdicts on one result from several places, which would count several times."""
    first: dict[str, Path] = {}
    for result in results:
        other = first.setdefault(result.digest, result.path)
        if other != result.path:
            raise UsageError(str(result.path), f"is the same result as {other}", "each once", "Leave one of them out")


def _judged(weights: Weights, results: Sequence[StoredResult]) -> tuple[list[Judged], list[str]]:
    """Return the recordings with verdicts on what these weights found, and why others are left out."""
    judged, other, foreign = [], 0, 0
    for result in results:
        verdicts = Verdicts.of(result)
        if verdicts.entries and result.report["weights"]["sha256"] != weights.sha256:
            other += 1
        elif verdicts.entries:
            judged.append(Judged(result, verdicts.review()))
        foreign += verdicts.n_foreign
    notes = []
    if other:
        notes.append(f"{count(other, 'recording')} left out: their events were found by other weights")
    if foreign:
        notes.append(f"{count(foreign, 'verdict')} left out: they are on earlier results, or on another recording")
    return judged, notes


def _refuse_too_few(judged: Sequence[Judged], per_day: float, notes: Sequence[str]) -> None:
    seizures, decided = sum(len(each.seizures) for each in judged), sum(each.decided for each in judged)
    days = sum(each.days for each in judged)
    enough = seizures >= LEAST_SEIZURES and decided >= LEAST_VERDICTS and len(judged) >= LEAST_RECORDINGS
    left_out = "".join(f"; {note}" for note in notes)
    if not enough or days * per_day < 1:
        raise UsageError(
            "recalibrate",
            f"{count(decided, 'verdict')} on {count(len(judged), 'recording')} with "
            f"{count(seizures, 'confirmed seizure')} in {24 * days:.1f} scored hours are too few to say anything"
            f"{left_out}",
            f"at least {LEAST_VERDICTS} verdicts on {LEAST_RECORDINGS} recordings, {LEAST_SEIZURES} confirmed seizures "
            f"and {24 / per_day:.1f} hours"
            if per_day
            else "a number of false alarms a day above 0",
            "Review more recordings that these weights annotated",
        )


def _fit_line(judged: Sequence[Judged]) -> tuple[Calibration, bool]:
    """Fit the calibration on recordings that were read whole; elsewhere most seconds are known only where detected."""
    whole = [each for each in judged if each.read_whole]
    if sum(len(each.seizures) for each in whole) < LEAST_SEIZURES:
        return Calibration(), False
    values, targets = [], []
    for each in whole:
        known = np.isfinite(each.scores.probability)
        values.append(_logit(each.scores.probability[known]))
        targets.append(each.seizures.mask(each.scores.time[known]))
    target = np.concatenate(targets)
    if not 0 < target.sum() < len(target):
        return Calibration(), False
    scale, bias = fit_logistic(np.concatenate(values), target)
    return (Calibration(scale, bias), True) if scale > 0 else (Calibration(), False)


def _shifted(probability: Any, line: Calibration) -> NDArray[np.float64]:
    """Return new probabilities, in double precision as thresholds are; unknown ones stay unknown."""
    return logistic(line.scale * _logit(probability) + line.bias)


def _logit(probability: Any) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(probability, dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def _levels(judged: Sequence[Judged], line: Calibration, base: EventRule) -> NDArray[np.float64]:
    """Return thresholds to try, ascending: none below that of a run whose missed events nobody looked for."""
    blind = [each.result.rule.threshold for each in judged if not each.read_whole]
    lowest = float(_shifted(max(blind), line)) if blind else 0.02
    known = np.concatenate(
        [evidence(_shifted(each.scores.probability, line), base, each.scores.step) for each in judged]
    )
    known = known[np.isfinite(known) & (known > lowest)]
    grid = np.quantile(known, 1 - np.geomspace(0.5, 1 / max(2, known.size), _POINTS)) if known.size else np.zeros(0)
    return np.unique(np.clip([lowest, *grid], lowest, 0.999))


def _counts(
    judged: Sequence[Judged], line: Calibration, base: EventRule, levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count SzCORE events at each threshold and recording: (K, R, 4), the fields of `Tally`."""
    counts = np.zeros((len(levels), len(judged), 4))
    for column, each in enumerate(judged):
        scores = replace(each.scores, probability=_shifted(each.scores.probability, line))
        for row, level in enumerate(levels):
            tally = score_events(each.seizures, to_events(scores, base.with_threshold(float(level))))
            counts[row, column] = (tally.expert, tally.found, tally.false, each.days * 86400)
    return counts


def _choose(counts: NDArray[np.float64], per_day: float) -> int:
    """Return the place of a threshold, among ascending ones, with at most so many false alarms a day."""
    rates = [Tally(*row).false_per_day for row in counts[::-1]]
    return len(rates) - 1 - lowest_safe(rates, per_day)


def _facts(judged: Sequence[Judged], counts: NDArray[np.float64], per_day: float) -> dict[str, Any]:
    """Return what is expected of the new threshold: each recording is counted at the one chosen by the others."""
    held_out = [_choose(np.delete(counts, k, axis=1).sum(axis=1), per_day) for k in range(len(judged))]
    tally = Tally(*np.sum([counts[row, k] for k, row in enumerate(held_out)], axis=0).tolist())
    days = tally.seconds / 86400
    whole = [each.read_whole for each in judged]
    return {
        "recordings": len(judged),
        "read_whole": sum(whole),
        "verdicts": sum(each.decided for each in judged),
        "seizures": sum(len(each.seizures) for each in judged),
        "scored_hours": round(24 * days, 3),
        "reviewers": sorted({name for each in judged for name in each.review.reviewers}),
        "false_alarms_per_day_asked": per_day,
        "false_alarms_per_day": with_interval(tally.false_per_day, poisson_interval(int(tally.false), days)),
        "sensitivity": with_interval(tally.sensitivity, binomial_interval(int(tally.found), int(tally.expert))),
        "rule": RULES["event"],
        "measured": "each recording at the threshold chosen on the others; exact 95 % intervals, independent events",
    }


def _notes(facts: dict[str, Any], *, at_lowest: bool) -> list[str]:
    notes = []
    n_partly = facts["recordings"] - facts["read_whole"]
    if n_partly:
        notes.append(
            f"{count(n_partly, 'recording')} not read as a whole: sensitivity counts only seizures that were detected "
            "or added, and no threshold below that of the run can be judged"
        )
    if not facts["calibrated"]:
        notes.append(
            f"calibration unchanged: fewer than {LEAST_SEIZURES} seizures in recordings that were read as a whole"
        )
    if at_lowest and n_partly:
        notes.append("the threshold is the lowest that can be judged; a lower one may also meet the target")
    value = facts["false_alarms_per_day"]["value"]
    if value is not None and value > facts["false_alarms_per_day_asked"]:
        notes.append("the expected false alarms exceed the target")
    return notes


def _card(new: Weights, old: Weights, facts: dict[str, Any], notes: Sequence[str]) -> str:
    """Return the card: what the verdicts changed, then that of the weights that were recalibrated."""
    alarms, found = facts["false_alarms_per_day"], facts["sensitivity"]
    before, after = old.calibration, new.calibration
    changes = [
        f"- verdicts: {facts['verdicts']} by {', '.join(facts['reviewers'])} on {facts['recordings']} recordings "
        f"({facts['read_whole']} read as a whole), {facts['seizures']} confirmed seizures, "
        f"{facts['scored_hours']:.1f} h",
        f"- threshold: {facts['threshold']:g}, before {facts['threshold_before']:g}; target: at most "
        f"{facts['false_alarms_per_day_asked']:g} false alarms a day",
        f"- calibration: scale {after.scale:.4f}, bias {after.bias:+.4f}; "
        f"before {before.scale:.4f}, {before.bias:+.4f}",
        f"- expected false alarms a day: {interval_text(alarms)}",
        f"- expected sensitivity: {interval_text(found)}",
        f"- rule: {facts['rule']}; {facts['measured']}",
        *(f"- {note}" for note in notes),
        f"- events: {new.rule.describe()}",
    ]
    no_card = "These weights have no card: restcli train did not make them."
    paragraphs = [
        f"# {new.name}",
        f"{old.name} ({old.sha256[:12]}) with a threshold for one ward; the network is unchanged.",
        "## Recalibration",
        "\n".join(changes),
        f"## Model card of {old.name}",
        card_text(old) if "training" in old.provenance else no_card,
    ]
    return "\n\n".join(paragraphs)
