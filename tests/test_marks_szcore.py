"""SzCORE tables: exact bytes, safe from the scorer's whole seconds, read in hospital spellings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks_tables import FOUND, HEADER, NONE, START, table, written
from timescoring.annotations import Annotation
from timescoring.scoring import SampleScoring

from restcli.detect.rule import to_events
from restcli.errors import AnnotationError
from restcli.events import Event, EventRule, Events, Scores
from restcli.marks.registry import read_events
from restcli.marks.szcore import COLUMNS, SIMULATED_COLUMNS


def test_tsv_has_exactly_szcores_bytes(tmp_path: Path) -> None:
    assert written(FOUND, tmp_path, "tsv").read_bytes() == (
        b"onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
        b"10.00\t60.00\tsz\t0.87\tall\t2016-11-06 13:43:04\t3600.00\n"
        b"3010.50\t42.00\tsz_foc_ia\t0.50\tT3,T5\t2016-11-06 13:43:04\t3600.00\n"
    )


def test_tsv_says_that_nothing_was_found(tmp_path: Path) -> None:
    lines = written(NONE, tmp_path, "tsv").read_text().splitlines()
    assert lines[1:] == ["0.00\t3600.00\tbckg\tn/a\tn/a\t2016-11-06 13:43:04\t3600.00"]


def test_tsv_spells_what_is_not_known_as_n_a(tmp_path: Path) -> None:
    path = written(Events((Event(1.0, 2.0),), 10.0), tmp_path, "tsv")
    assert path.read_text().splitlines()[1] == "1.00\t2.00\tsz\tn/a\tn/a\tn/a\t10.00"
    frame = pd.read_csv(path, delimiter="\t")
    assert frame.confidence.isna().all()


@pytest.mark.parametrize(
    ("duration", "printed"),
    [(3600.0, "3600.00"), (3599.999, "3599.999"), (600.125, "600.125"), (86399.9999, "86399.9999"), (0.5, "0.50")],
)
def test_recording_duration_floors_as_the_file_does(tmp_path: Path, duration: float, printed: str) -> None:
    path = written(Events((), duration), tmp_path, "tsv")
    last = path.read_text().splitlines()[1].split("\t")[-1]
    assert last == printed
    assert int(float(last)) == int(duration)


def test_tsv_scores_perfectly_against_itself_in_timescoring(tmp_path: Path) -> None:
    frame = pd.read_csv(written(FOUND, tmp_path, "tsv"), delimiter="\t")
    mask = np.zeros(int(frame.recordingDuration[0]), dtype=bool)
    for onset, length in zip(frame.onset, frame.duration, strict=True):
        mask[int(onset) : int(onset + length)] = True
    truth = Annotation([(event.onset, event.stop) for event in FOUND], 10, 36000)
    result = SampleScoring(truth, Annotation(mask, 1), 1)
    # 3010.5 to 3052.5 floors to one second earlier on the whole-second grid
    assert (result.tp, result.fp, result.refTrue) == (102, 0, 102) or abs(result.tp - result.refTrue) <= 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(0.02, 40.0), min_size=2, max_size=8),
    st.floats(0.0, 0.99999),
    st.floats(1.5, 40.0),
)
def test_tsv_events_survive_the_scorers_whole_seconds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[float], part: float, rest: float
) -> None:
    times = np.cumsum([part, *steps])
    duration = float(times[-1]) + rest
    pairs = zip(times[::2], times[1::2], strict=False)
    events = Events(tuple(Event(float(a), float(b - a)) for a, b in pairs), duration)
    path = written(events, tmp_path_factory.mktemp("t"), "tsv")
    frame = pd.read_csv(path, delimiter="\t")
    assert (frame.duration >= 0.995).all()
    assert (frame.onset + frame.duration <= duration + 1e-9).all()
    for onset, length in zip(frame.onset, frame.duration, strict=True):
        assert int(min(onset + length, int(duration))) - int(onset) >= 1
    for event in events:  # nothing was lost
        assert ((frame.onset <= event.stop + 0.011) & (frame.onset + frame.duration >= event.onset - 0.011)).any()


def test_a_short_event_becomes_one_second_around_its_middle(tmp_path: Path) -> None:
    path = written(Events((Event(110.2, 0.7),), 3600.0), tmp_path, "tsv")
    assert path.read_text().splitlines()[1].startswith("110.05\t1.00\tsz")


@pytest.mark.parametrize("kind", ["csv", "csv_bi", "edf", "xml", "json"])
def test_other_forms_keep_a_short_event(tmp_path: Path, kind: str) -> None:
    path = written(Events((Event(110.2, 0.7),), 3600.0, START), tmp_path, kind)
    (event,) = read_events(path, duration=3600.0, start=START)
    assert (event.onset, event.duration) == pytest.approx((110.2, 0.7), abs=1e-6)


def test_a_table_without_rows_is_unknown_and_a_bckg_row_is_none_found(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no rows\. .*bckg"):
        read_events(table(tmp_path, "a.tsv", HEADER), duration=100.0)
    found = read_events(table(tmp_path, "b.tsv", HEADER + "0\t100\tbckg\tn/a\tn/a\tn/a\t100\n"))
    assert found == Events((), 100.0)


def test_a_table_that_speaks_of_other_things_only_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no row speaks of seizures"):
        read_events(table(tmp_path, "a.tsv", HEADER + "0\t5\timpd\tn/a\tn/a\tn/a\t100\n"))


def test_overlapping_rows_become_one_event(tmp_path: Path) -> None:
    rows = "20\t10\tsz\tn/a\tn/a\tn/a\t100\n5\t20\tsz_foc\t0.3\tT3\tn/a\t100\n"
    (event,) = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert (event.onset, event.stop, event.label, event.channels) == (5.0, 30.0, "sz", ("T3",))


def test_hyphens_of_the_documentation_and_hospital_spellings_are_taken(tmp_path: Path) -> None:
    rows = "5\t20\tsz-foc-ia\tNA\t\t\t100\r\n\r\n50\t20\tSeizure\tn/a\tn/a\tn/a\t100\n"
    first, second = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert (first.label, second.label) == ("sz_foc_ia", "sz")
    assert math.isnan(first.confidence)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "# made by hand\nonset,duration,trial_type\n5,20,sz\n"
    (event,) = read_events(table(tmp_path, "a.csv", text), duration=60.0)
    assert (event.onset, event.duration) == (5.0, 20.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("5\tlong\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a text is not a number"),
        ("1\t1\tsz\tn/a\tn/a\tn/a\t100\n5\t20\tsz\n", "line 3: the row has 3 cells"),
        ("90\t20\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a seizure ends at 110.00 s\\. .* 100.00 s"),
        ("-5\t20\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a seizure from -5.00"),
        ("5\tn/a\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: the row has no duration"),
        ("5\t0\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: the seizure has no length"),
        ("1\t1\tsz\tn/a\tn/a\tn/a\t100\n5\t2\tsz\tn/a\tn/a\tn/a\t200\n", "several recordingDuration"),
        ("5\t20\tsz\tn/a\tn/a\tn/a\tn/a\n", "does not say how long the recording is"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_events(table(tmp_path, "a.tsv", HEADER + rows))


def test_a_table_of_another_recording_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a.tsv", HEADER + "0\t100\tbckg\tn/a\tn/a\tn/a\t100\n")
    assert read_events(path, duration=100.9).duration == 100.9
    with pytest.raises(AnnotationError, match=r"the table is of a recording of 100.00 s. Expected one of 101.50 s"):
        read_events(path, duration=101.5)


def test_a_rounded_end_is_clipped_to_the_recording(tmp_path: Path) -> None:
    path = table(tmp_path, "a.tsv", HEADER + "90\t10\tsz\tn/a\tn/a\tn/a\t100\n")
    (event,) = read_events(path, duration=99.6)
    assert event.stop == pytest.approx(99.6)


@pytest.mark.parametrize(
    "kind", ["SZ", "FBTC", "sz-foc", "Seizure", "cpsz", "sz_GEN_m_tonicclonic", "F-BTC", "ＳＺ", "s\u200bz"]
)
def test_known_spellings_of_types_are_taken(tmp_path: Path, kind: str) -> None:
    rows = f"50\t4\tsz\tn/a\tn/a\tn/a\t180\n130\t8\t{kind}\tn/a\tn/a\tn/a\t180\n"
    assert [event.onset for event in read_events(table(tmp_path, "a.tsv", HEADER + rows))] == [50.0, 130.0]


FOREIGN = (
    "Iktales Muster|Grand mal|petit-mal|Absenz|absances|sGTC|PGTCS 2|gensz|fnsz1|klonisch|Myoklonie|aura|EPC|"
    "focal aware|gelastic|ceizure|seisure|Krampeanfall|drgawki|criză|けいれん|抽搐|تشنج|نوبة صرع"
)


@pytest.mark.parametrize(
    "kind",
    [
        "sezure",
        "sz focal",
        "seizure onset",
        "siezure",
        "tonic",
        "Anfall",
        "sz?",
        "ictal",
        "SE",
        "ictus",
        "epileptic event",
        "focal",
        "Krampfanfall",
        "癫痫发作",
        "приступ",
        *FOREIGN.split("|"),
        "приступ".encode("cp1251").decode("latin-1"),
    ],
)
@pytest.mark.parametrize("other", ["0\t180\tbckg", "50\t4\tsz"])
def test_an_unknown_type_that_may_be_a_seizure_does_not_vanish(tmp_path: Path, kind: str, other: str) -> None:
    rows = f"{other}\tn/a\tn/a\tn/a\t180\n130\t8\t{kind}\tn/a\tn/a\tn/a\t180\n"
    with pytest.raises(AnnotationError, match=r"a\.tsv, line 3: an unknown event type that may mean a seizure"):
        read_events(table(tmp_path, "a.tsv", HEADER + rows))


DOUBTFUL = (
    "seizure, no motor signs|seizure not visible on EEG|previous seizure continues|last seizure before meds|"
    "non-convulsive seizure|nonconvulsive status|seziure|siezure|sez|attack|epileptic attack|IS|TC|status|CPS 2|"
    "SPS left|TCS?|GTCS 1|NCSE?|CSE|ESz 3|status epilepticus ongoing|no seizure onset on EEG|post-seizure sz|"
    "no seizure, then seizure|seizure without aura|non-motor seizure|pre-surgical seizure|no seizure end seen"
)


@pytest.mark.parametrize("kind", DOUBTFUL.split("|"))
def test_a_denial_of_something_else_hides_no_seizure(tmp_path: Path, kind: str) -> None:
    rows = f"0\t180\tbckg\tn/a\tn/a\tn/a\t180\n130\t8\t{kind}\tn/a\tn/a\tn/a\t180\n"
    with pytest.raises(AnnotationError, match=r"a\.tsv, line 3: an unknown event type that may mean a seizure"):
        read_events(table(tmp_path, "a.tsv", HEADER + rows))


DENIED = (
    "no seizure|No seizures|not a seizure|without seizure|seizure-free|seizure free|non-epileptic|PNES|no ictal|"
    "non-epileptic seizure|psychogenic non-epileptic seizure|no ictal activity|no further seizures|post-seizure|"
    "interictal|inter-ictal|postictal|pseudo-seizure|history of seizures|absence of seizures|3 cps spike-wave|"
    "non-ictal|interiktal|inter-iktal|anfallsfrei"
)


@pytest.mark.parametrize("kind", DENIED.split("|"))
def test_a_denied_seizure_is_ignored(tmp_path: Path, kind: str) -> None:
    rows = f"0\t180\tbckg\tn/a\tn/a\tn/a\t180\n130\t8\t{kind}\tn/a\tn/a\tn/a\t180\n"
    found = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert len(found) == 0 and len(found.ignored) == 1


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("CPS", "sz_foc_ia"),
        ("SPS", "sz_foc_a"),
        ("TCS", "sz_gen_m_tonicClonic"),
        ("NCSE", "sz"),
        ("status epilepticus", "sz"),
        ("ESz", "sz"),
    ],
)
def test_abbreviations_of_seizure_types(tmp_path: Path, kind: str, label: str) -> None:
    rows = f"0\t180\tbckg\tn/a\tn/a\tn/a\t180\n130\t8\t{kind}\tn/a\tn/a\tn/a\t180\n"
    assert [event.label for event in read_events(table(tmp_path, "a.tsv", HEADER + rows))] == [label]


def test_a_seizure_in_a_remark_or_a_repeated_column_does_not_vanish(tmp_path: Path) -> None:
    remark = "onset\tduration\ttrial_type\tcomments\n0\t180\tbckg\tquiet\n50\t10\tevent\tseizure\n"
    with pytest.raises(AnnotationError, match="line 3: its type does not name a seizure, but another column may"):
        read_events(table(tmp_path, "a.tsv", remark), duration=180.0)
    twice = "onset\tduration\teventType\teventType\n0\t180\tbckg\tbckg\n50\t10\tsz\tbckg\n"
    with pytest.raises(AnnotationError, match="line 1: two columns have the same name"):
        read_events(table(tmp_path, "a.tsv", twice), duration=180.0)


def test_a_seizure_without_length_does_not_vanish(tmp_path: Path) -> None:
    rows = "50\t4\tsz\tn/a\tn/a\tn/a\t180\n130\t0\tsz\tn/a\tn/a\tn/a\t180\n0\t180\tbckg\tn/a\tn/a\tn/a\t180\n"
    with pytest.raises(AnnotationError, match="line 3: the seizure has no length"):
        read_events(table(tmp_path, "a.tsv", HEADER + rows))


def test_ignored_types_are_listed_without_free_text(tmp_path: Path) -> None:
    types = ("impd", "post-seizure", "interictal", "impd", "Max Mustermann coughs", "sz")
    rows = "".join(f"{10 * k}\t4\t{kind}\tn/a\tn/a\tn/a\t180\n" for k, kind in enumerate(types))
    found = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert len(found) == 1 and found.ignored == ("impd", "interictal", "other")


def test_empty_first_and_last_cells_keep_their_columns(tmp_path: Path) -> None:
    text = "channels\tonset\tduration\teventType\trecordingDuration\n\t5\t20\tsz\t\nT3\t40\t20\tsz\t100\n"
    first, second = read_events(table(tmp_path, "a.tsv", text))
    assert (first.onset, first.channels, second.channels) == (5.0, (), ("T3",))


def test_the_sidecar_describes_the_columns_and_what_confidence_is() -> None:
    assert list(COLUMNS) == list(SIMULATED_COLUMNS) == HEADER.split()
    probability = np.array([0.1, 0.7, 0.95, 0.7, 0.1])
    by_node = np.tile(probability[:, None], 2)
    scores = Scores(np.arange(5) + 0.5, probability, by_node, ("T3", "T4"), 1.0, 5.0)
    (event,) = to_events(scores, EventRule(0.5, 0.5, 1.0, 1.0, 3.0))
    odds = (2 * np.log(0.7 / 0.3) + np.log(0.95 / 0.05)) / 3
    assert event.confidence == pytest.approx(1 / (1 + np.exp(-odds)))
    assert COLUMNS["confidence"]["Description"] == "Highest seizure probability in the event after smoothing, 0 to 1"


@pytest.mark.parametrize(
    ("names", "cells"),
    [("eventType\tHED", "n/a\tSeizure"), ("trial_type\tvalue", "rest\tictal"), ("trial_type\teventType", "sz\tbckg")],
)
def test_a_seizure_in_another_column_does_not_vanish(tmp_path: Path, names: str, cells: str) -> None:
    other = "\t".join("bckg" if name != "HED" else "n/a" for name in names.split("\t"))
    rows = f"onset\tduration\t{names}\n0\t180\t{other}\n10\t20\t{cells}\n"
    with pytest.raises(AnnotationError, match=r"a\.tsv, line 3: .* another column may"):
        read_events(table(tmp_path, "a.tsv", rows), duration=180.0)
