"""The worker pool: who may connect to it, what it survives, how large it is."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client
from distributed.security import Security

from restcli.archive.pool import Failure, RunningTask, WorkerPool
from restcli.archive.resources import PoolOptions
from restcli.errors import RestError, UsageError

FOREIGN_PORTS: set[int] = set()


def double(number: int) -> int:
    return 2 * number


def wait_for_file(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def all_ended(workers: WorkerPool) -> dict[RunningTask, object]:
    found: dict[RunningTask, object] = {}
    while workers.running:
        found |= dict(workers.ended())
    return found


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    FOREIGN_PORTS.update(listening_ports())  # of clusters that other tests have started
    with WorkerPool(PoolOptions(workers=2), timeout=4) as opened:
        yield opened


def listening_ports() -> list[int]:
    """Return the TCP ports on which this process and its children listen."""
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    ports = {c.laddr.port for p in family for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return sorted(ports - FOREIGN_PORTS)


def is_refused(port: int, context: ssl.SSLContext | None) -> bool:
    """Connect as another user of the machine would, and ask for anything at all."""
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        with plain if context is None else context.wrap_socket(plain) as stream:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(100))
            return stream.recv(100) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_no_port_answers_without_the_certificate_of_the_run(workers: WorkerPool) -> None:
    for address in workers.free():
        workers.submit(address, double, 1)
    assert set(all_ended(workers).values()) == {2}
    ports = listening_ports()
    assert len(ports) >= 5  # scheduler, two nannies, two workers
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert [port for port in ports if not (is_refused(port, None) and is_refused(port, context))] == []


def test_workers_that_others_use_come_last(workers: WorkerPool, tmp_path: Path) -> None:
    first = workers.free()[0]
    foreign = workers._call("submit", wait_for_file, str(tmp_path / "go"), workers=[first])
    while not workers._tasks_by_worker()[first]:
        time.sleep(0.01)
    assert len(workers.free()) == 2 and workers.free()[-1] == first
    (tmp_path / "go").touch()
    foreign.result()


def test_no_port_answers_to_another_certificate(workers: WorkerPool) -> None:
    foreign = Security.temporary()
    for port in listening_ports():
        with pytest.raises((OSError, ssl.SSLError)):
            Client(f"tls://127.0.0.1:{port}", timeout=5, security=foreign).run_on_scheduler(list)
        with pytest.raises(OSError):
            Client(f"tcp://127.0.0.1:{port}", timeout=5).run_on_scheduler(list)


@pytest.mark.slow
def test_task_that_hangs_is_ended_and_the_others_are_not(workers: WorkerPool, tmp_path: Path) -> None:
    stuck = workers.submit(workers.free()[0], wait_for_file, str(tmp_path / "never"))
    for _ in range(3):
        workers.submit(workers.free()[0], double, 4)
        while len(workers.running) > 1:
            workers.ended()
    outcome = all_ended(workers)[stuck]
    assert isinstance(outcome, Failure) and outcome.kind == "Timeout" and "--timeout" in outcome.text


def test_certificates_and_addresses_belong_together(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("x")
    with pytest.raises(UsageError, match="--tls-ca: is missing"):
        PoolOptions("tls://host:8786")
    with pytest.raises(UsageError, match="only used with an encrypted scheduler"):
        PoolOptions("tcp://host:8786", tls_key=tmp_path / "a.pem")
    with pytest.raises(UsageError, match="is not a file"):
        PoolOptions("tls://host:8786", tls_ca=tmp_path / "b.pem", tls_cert=tmp_path, tls_key=tmp_path)
    assert "is not encrypted" in PoolOptions("tcp://host:8786").warning and not PoolOptions().warning


@pytest.mark.slow
def test_scheduler_with_certificates_in_files(tmp_path: Path) -> None:
    """Start a scheduler and a worker as an operator does, and connect with and without the certificate."""
    temporary = Security.temporary()
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        (tmp_path / f"{name}.pem").write_text(getattr(temporary, name))
    ca, cert, key = (str(tmp_path / f"{name}.pem") for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tls = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
    address = f"tls://127.0.0.1:{port}"
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard", *tls]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", *tls]
    options = PoolOptions(address, tls_ca=Path(ca), tls_cert=Path(cert), tls_key=Path(key))
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in (module, worker)]
    try:
        with _opened(options) as opened:
            while not opened.free():
                time.sleep(0.1)
            opened.submit(opened.free()[0], len, "four")
            assert list(all_ended(opened).values()) == [4]
        with pytest.raises(RestError, match="no scheduler answers"), WorkerPool(PoolOptions(f"tcp://127.0.0.1:{port}")):
            pass
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=20)


def _opened(options: PoolOptions) -> WorkerPool:
    """Wait for a scheduler that is being started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return WorkerPool(options).__enter__()
        except RestError:
            assert time.monotonic() < deadline
