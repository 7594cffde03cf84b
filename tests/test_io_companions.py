"""Which files make a recording: the ones that are opened are the ones that are hashed and stamped."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from foreign_files import write_brainvision, write_curry, write_eeglab, write_micromed, write_nihon, write_persyst

from restcli.errors import RecordingError
from restcli.io.registry import (
    READERS,
    files_of,
    is_recording,
    open_recording,
    recording_hash,
    stamp_of,
    why_no_recording,
)

KINDS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "EDF": (lambda folder: EdfFile().write(folder / "a.edf"), ("a.edf",)),
    "BrainVision": (lambda folder: write_brainvision(folder)[0], ("a.vhdr", "a.eeg", "a.vmrk")),
    "Persyst": (lambda folder: write_persyst(folder)[0], ("a.lay", "a.dat")),
    "EEGLAB": (lambda folder: write_eeglab(folder)[0], ("a.set", "a.fdt")),
    "Curry 7": (lambda folder: write_curry(folder, version=7)[0], ("c.dap", "c.dat", "c.rs3")),
    "Curry 8": (lambda folder: write_curry(folder)[0], ("c.cdt", "c.cdt.dpa")),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Callable[[Path], Path], tuple[str, ...]]:
    return KINDS[request.param]


def test_files_of_a_recording(tmp_path: Path, kind: tuple[Callable[[Path], Path], tuple[str, ...]]) -> None:
    write, names = kind
    path = write(tmp_path)
    assert [part.name for part in files_of(path)] == list(names)
    for part in files_of(path):  # naming the file of samples means the same recording, with the same hash
        if part.suffix != ".vmrk":
            assert files_of(part) == files_of(path)
            assert recording_hash(part) == recording_hash(path)


def test_every_file_counts_for_hash_and_stamp(
    tmp_path: Path, kind: tuple[Callable[[Path], Path], tuple[str, ...]]
) -> None:
    write, names = kind
    path = write(tmp_path)
    for name in names:
        before = recording_hash(path), stamp_of(path)
        part = tmp_path / name
        status = part.stat()
        raw = bytearray(part.read_bytes())
        raw[-2] ^= 1
        part.write_bytes(raw)
        assert recording_hash(path) != before[0], name
        # An older copy of equal size is put back: neither the sum of sizes nor the latest time says so.
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
        assert stamp_of(path) != before[1], name


def test_reading_opens_the_files_that_are_hashed(
    tmp_path: Path, kind: tuple[Callable[[Path], Path], tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kind[0](tmp_path)
    opened: set[Path] = set()

    def watching(function: Callable[..., object]) -> Callable[..., object]:
        def watched(file: object, *args: object, **options: object) -> object:
            if isinstance(file, str | Path) and Path(file).parent == tmp_path:
                opened.add(Path(file))
            return function(file, *args, **options)

        return watched

    monkeypatch.setattr(builtins, "open", watching(open))
    monkeypatch.setattr(os, "open", watching(os.open))
    monkeypatch.setattr(Path, "open", watching(Path.open))
    monkeypatch.setattr(np, "memmap", watching(np.memmap))
    open_recording(path).read([0], 0, 1)
    monkeypatch.undo()
    assert opened == set(files_of(path))


def test_equal_headers_with_other_samples_are_other_recordings(
    tmp_path: Path, kind: tuple[Callable[[Path], Path], tuple[str, ...]]
) -> None:
    write, names = kind
    (tmp_path / "one").mkdir()
    path = write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    same = tmp_path / "two" / path.name
    assert recording_hash(same) == recording_hash(path)
    samples = same.with_name(names[min(1, len(names) - 1)])
    samples.write_bytes(samples.read_bytes()[:-2] + b"\x11\x11")
    assert recording_hash(same) != recording_hash(path)


def test_hash_of_one_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    assert recording_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RecordingError):
        recording_hash(tmp_path / "none.edf")


def test_hash_tells_where_a_file_ends(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    before = recording_hash(path)
    data = path.with_suffix(".dat")
    path.write_bytes(path.read_bytes() + data.read_bytes()[:2])
    data.write_bytes(data.read_bytes()[2:])
    assert recording_hash(path) != before


def test_nihon_kohden_counts_electrode_names_and_log(shared_eeg: Path, tmp_path: Path) -> None:
    folder = shared_eeg / "edf_quirks" / "mne-testing-data" / "NihonKohden"
    for ending in (".EEG", ".PNT", ".21E", ".LOG"):
        shutil.copyfile(folder / f"MB0400FU{ending}", tmp_path / f"MB0400FU{ending}")
    path = tmp_path / "MB0400FU.EEG"
    assert [part.suffix for part in files_of(path)] == [".EEG", ".PNT", ".21E", ".LOG"]
    names = [channel.label for channel in open_recording(path).channels]
    before = recording_hash(path), stamp_of(path)
    electrodes = path.with_suffix(".21E")
    electrodes.write_bytes(electrodes.read_bytes().replace(b"Fp1", b"Fp9", 1))
    assert [channel.label for channel in open_recording(path).channels] != names
    assert recording_hash(path) != before[0] and stamp_of(path) != before[1]


@pytest.mark.parametrize("data", ["../a.eeg", "/tmp/a.eeg", "sub/a.eeg", "C:\\eeg\\a.eeg", ".."])
@pytest.mark.parametrize("key", ["DataFile", "MarkerFile"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, key: str, data: str) -> None:
    path, _ = write_brainvision(tmp_path)
    old = "DataFile=a.eeg" if key == "DataFile" else "MarkerFile=a.vmrk"
    path.write_text(path.read_text(encoding="utf-8").replace(old, f"{key}={data}"), encoding="utf-8")
    for function in (open_recording, files_of, recording_hash):
        with pytest.raises(RecordingError, match="lie beside it"):
            function(path)
    assert stamp_of(path) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_persyst_folder_is_that_of_another_machine(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.dat").write_bytes(bytes(4000))
    path.write_text(path.read_text().replace("C:\\EEG\\a.dat", "sub/other.dat"))
    assert [part.name for part in files_of(path)] == ["a.lay", "a.dat"]


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst", "EEGLAB"])
def test_header_that_names_the_samples_of_another_recording_is_refused(tmp_path: Path, kind_name: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    for part in files_of(path):
        shutil.copyfile(part, tmp_path / f"b{part.suffix}")
    with pytest.raises(RecordingError, match="other than"):
        open_recording(tmp_path / f"b{path.suffix}")


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst", "EEGLAB"])
@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("what", ["main", "others", "all"])
def test_case_of_names_does_not_count(tmp_path: Path, kind_name: str, spell: Callable[[str], str], what: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    expected, label = open_recording(path).read([0, 1], 0, 2), open_recording(path).channels[0].label
    files = []
    for number, file in enumerate(files_of(path)):
        respelled = what == "all" or (what == "main") == (number == 0)
        files.append(file.rename(tmp_path / f"{file.stem}{spell(file.suffix)}") if respelled else file)
    assert files_of(files[0]) == tuple(files) and files_of(files[1])[0] == files[0]
    recording = open_recording(files[0])
    assert recording.channels[0].label == label and recording.repairs == ()
    np.testing.assert_array_equal(recording.read([0, 1], 0, 2), expected)
    assert recording_hash(files[0]) == recording_hash(files[1])


@pytest.mark.parametrize(("named", "taken"), [("P.DAT", "P.DAT"), ("P.dat", ""), ("p.dat", ""), ("gone.dat", "")])
def test_of_files_whose_names_differ_in_case_alone_the_one_named_is_read(
    tmp_path: Path, named: str, taken: str
) -> None:
    path, expected = write_persyst(tmp_path)
    text = path.read_text("latin-1").replace("a.dat", named)
    path.rename(tmp_path / "P.lay").write_text(text, "latin-1")
    samples = (tmp_path / "a.dat").rename(tmp_path / "P.DAT").read_bytes()
    (tmp_path / "p.dat").write_bytes(samples[::-1])
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell case apart")
    if not taken:
        with pytest.raises(RecordingError, match=r"in different case|other than the one"):
            open_recording(tmp_path / "P.lay")
        return
    recording = open_recording(tmp_path / "P.lay")
    order = [recording.channels[k].label for k in range(2)]
    assert files_of(tmp_path / "P.lay") == (tmp_path / "P.lay", tmp_path / taken)
    np.testing.assert_allclose(recording.read([0, 1], 0, 4), expected, rtol=1e-6, err_msg=str(order))


def test_header_may_spell_its_files_in_another_case(tmp_path: Path) -> None:
    for write in (write_brainvision, write_persyst):
        path, _ = write(tmp_path)
        for file in files_of(path)[1:]:
            file.rename(tmp_path / file.name.upper())
        path.rename(tmp_path / f"A{path.suffix}")
        assert open_recording(tmp_path / f"A{path.suffix}").repairs == ()


@pytest.mark.parametrize("names", ["a.fdt", "A.fdt"])
def test_eeglab_files_that_were_copied_in_capitals(tmp_path: Path, names: str) -> None:
    path, values = write_eeglab(tmp_path, names=names)
    path.rename(tmp_path / "A.SET")
    (tmp_path / "a.fdt").rename(tmp_path / "A.FDT")
    recording = open_recording(tmp_path / "A.SET")
    assert recording.repairs == ()
    np.testing.assert_allclose(recording.read([0, 1], 0, 2), values, rtol=1e-5)


@pytest.mark.parametrize("ending", [".vhdr", ".VHDR"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("stem", "encoding"), [("E", "utf-8"), ("Ä", "utf-8"), ("E µ", "utf-8"), ("E", "latin-1")])
def test_brainvision_header_that_names_its_files_in_capitals(
    tmp_path: Path, ending: str, newline: str, stem: str, encoding: str
) -> None:
    path, values = write_brainvision(tmp_path, markers="Mk2=New Segment,,301,1,0,20210302151516000000\n")
    text = path.read_text(encoding="utf-8").replace("a.eeg", f"{stem}.EEG").replace("a.vmrk", f"{stem}.VMRK")
    path.unlink()
    path = tmp_path / f"{stem}{ending}"
    path.write_text(text.replace("UTF-8", encoding), encoding=encoding, newline=newline)
    (tmp_path / "a.eeg").rename(tmp_path / f"{stem}.EEG")
    (tmp_path / "a.vmrk").rename(tmp_path / f"{stem}.VMRK")
    recording = open_recording(path)
    assert recording.repairs == () and len(recording.segments) == 2 and recording.start is not None
    np.testing.assert_allclose(recording.read([0, 1], 0, 1.5), values[:, :300], rtol=1e-5)


def test_files_that_differ_in_case_alone_are_not_guessed(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    shutil.copyfile(tmp_path / "a.dat", tmp_path / "a.Dat")
    shutil.move(tmp_path / "a.dat", tmp_path / "A.dAT")
    if len(list(tmp_path.iterdir())) == 3:  # the file system tells them apart
        with pytest.raises(RecordingError, match="2 files"):
            open_recording(path)


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst", "EEGLAB"])
def test_header_that_was_copied_from_another_recording_is_refused(tmp_path: Path, kind_name: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    other = tmp_path / f"b{path.suffix}"
    shutil.copyfile(path, other)
    with pytest.raises(RecordingError):
        open_recording(other)


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst"])
def test_two_headers_that_name_one_file_of_samples_are_refused(tmp_path: Path, kind_name: str) -> None:
    path, *others = files_of(KINDS[kind_name][0](tmp_path))
    text = path.read_bytes()
    for file in others:
        text = text.replace(file.name.encode(), b"c" + file.suffix.encode())
        file.rename(tmp_path / f"c{file.suffix}")
    path.unlink()
    for name in ("a", "B"):
        (tmp_path / f"{name}{path.suffix}").write_bytes(text)
        if name == "a":
            assert len(open_recording(path).repairs) == 1
    for name in ("a", "B"):
        with pytest.raises(RecordingError, match="names the same file"):
            open_recording(tmp_path / f"{name}{path.suffix}")


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst", "EEGLAB"])
def test_renamed_files_are_reported(tmp_path: Path, kind_name: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    expected = open_recording(path).read([0, 1], 0, 2)
    for file in files_of(path):
        file.rename(tmp_path / f"b{file.suffix}")
    recording = open_recording(tmp_path / f"b{path.suffix}")
    assert len(recording.repairs) == 1 and "not there" in recording.repairs[0]
    np.testing.assert_array_equal(recording.read([0, 1], 0, 2), expected)


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")
@pytest.mark.parametrize("name", ["x.edf", "x.vhdr", "x.lay", "x.set", "x.EEG", "x.dat", "x.txt"])
def test_fifo_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    stamp_of(path)
    for function in (open_recording, files_of, recording_hash):
        with pytest.raises(RecordingError, match="not a regular file"):
            function(path)


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")
@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst", "EEGLAB"])
def test_fifo_as_companion_is_refused_at_once(tmp_path: Path, kind_name: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    for part in files_of(path)[1:]:
        raw = part.read_bytes()
        part.unlink()
        os.mkfifo(part)
        stamp_of(path)
        for function in (open_recording, recording_hash):
            with pytest.raises(RecordingError, match="not a regular file"):
                function(path)
        part.unlink()
        part.write_bytes(raw)


@pytest.mark.skipif(os.name != "posix", reason="needs sockets and devices with names")
def test_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "x.edf"))
        for path in (tmp_path / "x.edf", Path("/dev/zero")):
            with pytest.raises(RecordingError, match="not a regular file"):
                open_recording(path)


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_are_followed_to_regular_files_only(tmp_path: Path) -> None:
    file = EdfFile().write(tmp_path / "a.edf")
    link = tmp_path / "link.edf"
    link.symlink_to(file)
    assert open_recording(link).duration == 10 and recording_hash(link) == recording_hash(file)
    for name, target in (("fifo", "/dev/zero"), ("folder", str(tmp_path)), ("nowhere", str(tmp_path / "none"))):
        (tmp_path / f"{name}.edf").symlink_to(target)
        with pytest.raises(RecordingError):
            open_recording(tmp_path / f"{name}.edf")


def test_one_list_of_what_a_recording_is(tmp_path: Path) -> None:
    for write, _ in KINDS.values():
        write(tmp_path)
    (tmp_path / "b.EEG").write_bytes(b"EEG-1100A V01.00")
    for name in (".hidden.edf", "d.dat", "d.fdt", "e.txt", "f.rec", "g.BDF"):
        (tmp_path / name).write_bytes(b"0")
    found = sorted(path.name for path in tmp_path.iterdir() if is_recording(path))
    assert found == ["a.edf", "a.lay", "a.set", "a.vhdr", "b.EEG", "c.cdt", "c.dap", "f.rec", "g.BDF"]
    endings = [ending for reader in READERS for ending in reader.endings]
    shared = sorted(ending for ending in set(endings) if endings.count(ending) > 1)
    assert shared == [".cnt"] and all(ending == ending.lower() for ending in endings)  # told apart by the first bytes


def test_other_files_of_a_recording_that_begin_as_it_does_are_none(tmp_path: Path) -> None:
    path, _ = write_nihon(tmp_path, names={0: "Fp1"})
    header, _ = write_brainvision(tmp_path)
    for source, name in ((path, "n.CN2"), (path, "n.CMT"), (header, "a.vhdr_old")):
        (tmp_path / name).write_bytes(source.read_bytes())
        assert not is_recording(tmp_path / name)
    assert is_recording(path) and is_recording(path.rename(tmp_path / "n.001"))
    alone, _ = write_micromed(tmp_path)  # of a format whose recordings are single files
    for name in ("m.001", "M.TRC"):
        assert is_recording(alone) and is_recording(Path(shutil.copy(alone, tmp_path / name)))


@pytest.mark.parametrize("name", ["a.edf+", "a.EDF+", "a", "a.001", "a.rec", "a.dat", "a.edf_old"])
def test_content_tells_what_the_ending_does_not(tmp_path: Path, name: str) -> None:
    path = EdfFile().write(tmp_path / name)
    assert is_recording(path) and open_recording(path).duration == 10
    other = tmp_path / "other"
    for raw in (b"", b"0       ", b"0,1,2\n" * 99, bytes(999), b"0       " + bytes(248), b"[Patient]\n"):
        other.write_bytes(raw)
        assert not is_recording(other) and why_no_recording(other) == ""


@pytest.mark.parametrize("kind_name", ["BrainVision", "Persyst"])
def test_headers_are_known_without_their_ending(tmp_path: Path, kind_name: str) -> None:
    path = KINDS[kind_name][0](tmp_path)
    renamed = path.rename(tmp_path / "a.header")
    assert is_recording(renamed) and len(open_recording(renamed).channels) == 2


def test_nihon_kohden_is_known_without_its_ending(tmp_path: Path) -> None:
    path, _ = write_nihon(tmp_path, names={0: "Fp1"})
    renamed = path.rename(tmp_path / "n.nk")
    assert is_recording(renamed) and open_recording(renamed).format == "Nihon Kohden"


def test_compressed_recordings_and_annotations_are_passed_over_with_the_reason(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    for name in ("b.edf.gz", "b.BDF.zip", "b.vhdr.xz", "b.edf+.gz"):
        packed = tmp_path / name
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert not is_recording(packed) and "unpack" in why_no_recording(packed)
        with pytest.raises(RecordingError, match="not EDF or BDF"):
            open_recording(packed)
    (tmp_path / "a.edf.gz").write_bytes(b"")
    assert why_no_recording(tmp_path / "a.edf.gz") == ""  # unpacked beside it
    for name in ("c_events.edf", "c_events.bdf", "c.edf+"):
        file = EdfFile(labels=(), counts=(), onsets=["+0"], n_records=1, bdf=name.endswith("bdf"))
        marks = file.write(tmp_path / name)
        assert not is_recording(marks) and "annotations only" in why_no_recording(marks)


def test_no_waiting_for_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert not is_recording(tmp_path / "pipe") and not is_recording(tmp_path / "folder")
    assert not is_recording(tmp_path / "gone") and why_no_recording(tmp_path / "pipe") == ""


def test_eeglab_samples_that_are_not_beside_the_header_are_named_as_the_cause(tmp_path: Path) -> None:
    path, _ = write_eeglab(tmp_path)
    (tmp_path / "a.fdt").unlink()
    with pytest.raises(RecordingError, match=r"a file that its header names is not beside it.*Copy all files"):
        open_recording(path)
