"""Names, derivations and the graph."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, derive, electrode_graph, node_position, parse_label

CHB_MIT = (
    "FP1-F7 F7-T7 T7-P7 P7-O1 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 FP2-F8 F8-T8 T8-P8 P8-O2 FZ-CZ CZ-PZ "
    "P7-T7 T7-FT9 FT9-FT10 FT10-T8 T8-P8"
).split()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("EEG FP1-REF", ("FP1", "ref:REF")),
        ("EEG Fp1-LE", ("FP1", "ref:LE")),
        ("Fp1-Avg", ("FP1", "ref:AVG")),
        ("FP1", ("FP1", "ref:")),
        ("T7", ("T3", "ref:")),
        ("EEG P8-REF", ("T6", "ref:REF")),
        ("01", ("O1", "ref:")),
        ("EEG F7-T7", ("F7", "T3")),
        ("T8-P8-1", ("T4", "T6")),
        ("EEG Fp2-A2", ("FP2", "A2")),
        ("EEG M1-REF", ("A1", "ref:REF")),
        ("Fp1.", ("FP1", "ref:")),
        ("POL Fp1", ("FP1", "ref:")),
        ("eeg:c3", ("C3", "ref:")),
        ("F3 - C3", ("F3", "C3")),
        ("FZ\x00\x00", ("FZ", "ref:")),
        ("EEGFp1", ("FP1", "ref:")),
        ("Fp1_REF", ("FP1", "ref:REF")),
        ("1 Fp1", ("FP1", "ref:")),
        ("EEG Fp1-MW", ("FP1", "ref:MW")),
    ],
)
def test_label_is_read(label: str, expected: tuple[str, str]) -> None:
    assert parse_label(label) == expected


@pytest.mark.parametrize(
    "label",
    [
        "EEG C3P-REF",
        "EEG EKG1-REF",
        "ECG",
        "PHOTIC-REF",
        "IBI",
        "EEG 26-REF",
        "-",
        "",
        "DC1-DC",
        "SpO2",
        "C3-C3",
        "EMG",
    ],
)
def test_other_label_is_no_eeg(label: str) -> None:
    assert parse_label(label) is None


def test_referential_recording_gives_any_derivation() -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    montage = derive(labels, DOUBLE_BANANA)
    potentials = np.random.default_rng(0).normal(size=(19, 4))
    signals = montage.matrix @ potentials[list(montage.channels)]
    for row, node in enumerate(montage.nodes):
        first, second = (ELECTRODES_19.index(name) for name in node.split("-"))
        np.testing.assert_allclose(signals[row], potentials[first] - potentials[second], atol=1e-6)
    assert montage.kind == "referential"
    assert montage.nodes == DOUBLE_BANANA


def test_bipolar_recording_gives_its_chains_and_skips_repeats() -> None:
    montage = derive(CHB_MIT, DOUBLE_BANANA)
    assert montage.nodes == DOUBLE_BANANA
    assert montage.kind == "bipolar"
    assert CHB_MIT.index("T8-P8") in montage.channels
    assert montage.duplicates == (22,)
    assert np.all(np.count_nonzero(montage.matrix, axis=1) == 1)


def test_reversed_derivation_changes_sign() -> None:
    montage = derive(["F7-FP1", "F3-C3"], ["FP1-F7", "F3-C3"])
    np.testing.assert_array_equal(montage.matrix, [[-1, 0], [0, 1]])


def test_chain_gives_what_lies_between_its_ends() -> None:
    montage = derive(["FP1-F7", "F7-T3"], ["FP1-T3"])
    np.testing.assert_array_equal(montage.matrix, [[1, 1]])


def test_missing_electrode_is_missing_never_zero() -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19 if name != "F7"]
    montage = derive(labels, DOUBLE_BANANA)
    assert montage.missing == ("FP1-F7", "F7-T3")
    assert np.all(np.abs(montage.matrix).sum(axis=1) == 2)


def test_different_references_are_never_mixed() -> None:
    assert derive(["FP1-REF", "F7-AVG"], ["FP1-F7"]).nodes == ()
    # Ears of both sides do not join unless the recording joins them.
    assert derive(["FZ-A1", "CZ-A2"], ["FZ-CZ"]).nodes == ()
    assert derive(["FP1-A1", "F7-A1"], ["FP1-F7"]).nodes == ("FP1-F7",)


def test_electrode_nodes_are_average_referenced_after_selection() -> None:
    labels = ["EEG F3-REF", "EEG C3-REF", "EEG P3-REF", "ECG"]
    montage = derive(labels, ["F3", "C3", "P3", "O1"])
    potentials = np.array([[1.0], [5.0], [-3.0]])
    np.testing.assert_allclose(montage.matrix @ potentials, potentials - potentials.mean(), atol=1e-6)
    assert montage.missing == ("O1",)


def test_bipolar_recording_gives_electrodes_of_its_largest_connected_part() -> None:
    montage = derive(CHB_MIT, ELECTRODES_19)
    assert montage.missing == ("FZ", "CZ", "PZ")
    potentials = {name: value for value, name in enumerate([*ELECTRODES_19, "FT9", "FT10"])}
    ends = [parse_label(label) for label in CHB_MIT]
    channels = np.array([[float(potentials[pair[0]] - potentials[pair[1]])] for pair in ends if pair is not None])
    found = montage.matrix @ channels[list(montage.channels)]
    wanted = np.array([[float(potentials[name])] for name in montage.nodes])
    np.testing.assert_allclose(found, wanted - wanted.mean(), atol=1e-5)


def test_one_common_electrode_is_a_reference() -> None:
    montage = derive([f"{name}-CPz" for name in ELECTRODES_19], DOUBLE_BANANA)
    assert montage.kind == "referential"
    assert montage.nodes == DOUBLE_BANANA


def test_channel_map_renames_and_leaves_out() -> None:
    labels = ["strange one", "F7", "FP1"]
    assert derive(labels, ["FP1-F7"], channel_map={"FP1": "", "strange one": "FP1"}).channels == (0, 1)


def test_paper_graph_has_its_published_edges() -> None:
    graph = electrode_graph(ELECTRODES_19)
    degree = (graph > 0).sum(axis=0)
    assert int(degree.sum()) == 72
    assert (degree.min(), degree.max()) == (3, 5)
    np.testing.assert_array_equal(graph, graph.T)
    assert np.all(np.diag(graph) == 0)
    # exp(-(d / .5192)^2) for FP1 and F7, 36 degrees apart on the equator.
    chord = 2 * np.sin(np.radians(18))
    weight = graph[ELECTRODES_19.index("FP1"), ELECTRODES_19.index("F7")]
    assert abs(weight - np.exp(-((chord / 0.5192) ** 2))) < 4e-4


def test_derivations_sit_at_projected_midpoints() -> None:
    np.testing.assert_allclose(node_position("C3-C4"), [0, 0, 1], atol=1e-9)
    assert int((electrode_graph(DOUBLE_BANANA) > 0).sum()) == 66
