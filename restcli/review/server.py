"""The web server of a review: on this machine only, for one browser that knows the token."""

from __future__ import annotations

import asyncio
import hmac
import json
import mimetypes
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from restcli.errors import AnnotationError, OutputError, RestError, UsageError, as_rest_error
from restcli.review.apply import apply_verdicts
from restcli.review.desk import Desk, OpenRecording
from restcli.review.journal import ConflictError
from restcli.review.pages import PageRequest
from restcli.review.trail import enter_applied
from restcli.review.turns import GoneError, Turns

_ADDRESS = "127.0.0.1"
_LARGEST_BODY = 65_536
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(eq=False)
class Server:
    """A desk on a port; `address` opens it in a browser."""

    desk: Desk
    port: int = 0  # 0 takes a free one
    token: str = field(default_factory=partial(secrets.token_urlsafe, 24))

    def __post_init__(self) -> None:
        try:
            self._sockets = bind_sockets(self.port, _ADDRESS)
        except OSError as error:
            what = f"port {self.port} cannot be used ({error.strerror or error})"
            raise OutputError(_ADDRESS, what, "a free port", "Leave --port out to take any") from error
        self.port = self._sockets[0].getsockname()[1]
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="restcli-review")
        self._strips = ThreadPoolExecutor(1, thread_name_prefix="restcli-strip")  # one at a time: they take long
        self._turns = Turns()
        self._end, self._loop = asyncio.Event(), asyncio.new_event_loop()

    @property
    def address(self) -> str:
        """The first address, with the token."""
        return f"http://{_ADDRESS}:{self.port}/?token={self.token}"

    def run(self) -> None:
        """Answer until `stop` is called."""
        with closing(self._loop):
            self._loop.run_until_complete(self._serve())

    def stop(self) -> None:
        """End `run`; may be called from a signal handler, which must not raise into an answer that is being made."""
        self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self) -> None:
        shared = {"server": self}
        application = Application(
            [
                (r"/", _Static, shared),
                (r"/page/(.*)", _Static, shared),
                (r"/api/session", _Session, shared),
                (r"/api/recordings/(\d{1,9})", _Details, shared),
                (r"/api/recordings/(\d{1,9})/strip", _Strip, shared),
                (r"/api/recordings/(\d{1,9})/page", _Page, shared),
                (r"/api/recordings/(\d{1,9})/verdicts", _Verdicts, shared),
                (r"/api/apply", _Apply, shared),
            ],
            default_handler_class=_Unknown,
            default_handler_args=shared,
            log_function=lambda _: None,  # addresses hold the token
        )
        http = HTTPServer(application, max_body_size=_LARGEST_BODY, max_header_size=16_384, max_buffer_size=2**20)
        http.add_sockets(self._sockets)
        self._strips.submit(import_module, "pandas")  # takes a while: it does so while the browser starts
        try:
            await self._end.wait()
        finally:
            http.stop()
            await http.close_all_connections()
            self._turns.close()
            for pool in (self._workers, self._strips):
                pool.shutdown(wait=False, cancel_futures=True)

    async def work(self, function: Callable[..., Any], *given: Any) -> Any:
        """Run what a person waits for in a thread; strips wait meanwhile."""
        with self._turns.ahead():
            return await asyncio.get_running_loop().run_in_executor(self._workers, function, *given)

    async def strip(self, case: OpenRecording, gone: Event) -> Any:
        """Make a strip while nothing else is asked for, and until it is not wanted any more."""
        pause = partial(self._turns.wait, gone)
        return await asyncio.get_running_loop().run_in_executor(self._strips, case.strip, pause)


class _Handler(RequestHandler):
    """Checks every request before it is looked at, and turns errors into one sentence."""

    needs_token = True

    def initialize(self, server: Server) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        own = {f"{host}:{self.server.port}" for host in (_ADDRESS, "localhost")}
        origin = self.request.headers.get("Origin")
        foreign = origin is not None and origin not in {f"http://{host}" for host in own}
        site = self.request.headers.get("Sec-Fetch-Site", "none")
        is_foreign = self.needs_token and (foreign or site not in {"same-origin", "none"})
        if self.request.host not in own or is_foreign:
            self._refuse(403, "comes from another site", "requests of this page only")
        elif self.needs_token and not hmac.compare_digest(
            self.request.headers.get("X-Token", "").encode(), self.server.token.encode()
        ):
            self._refuse(403, "does not carry the token", "the address that restcli review printed")

    def _refuse(self, status: int, what: str, expected: str) -> None:
        self.set_status(status)
        self.finish({"error": str(RestError("request", what, expected))})

    def case(self, name: str) -> OpenRecording:
        case = self.server.desk.cases.get(name)
        if case is None:
            raise _NoSuchError("recordings", f"none has the id {name}")
        return case

    def content(self) -> Mapping[str, Any]:
        """Return the body, an object in JSON; only this content type, which no plain form of another site can send."""
        if self.request.headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
            raise UsageError("request", "its content type is not JSON", "application/json")
        try:
            content = json.loads(self.request.body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UsageError("request", "is not valid JSON", "an object") from error
        if not isinstance(content, dict):
            raise UsageError("request", "does not hold an object", "an object")
        return content

    def send(self, value: Any) -> None:
        """Answer with JSON, which must not hold NaN."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json.dumps(value, ensure_ascii=False, allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer any error with one sentence."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Exception) and not hasattr(error, "status_code"):
            problem = as_rest_error("review", error)
            self.set_status(next((status for kind, status in _STATUS.items() if isinstance(problem, kind)), 500))
            self.finish(json.dumps({"error": str(problem)}, ensure_ascii=False))
        else:
            self.finish({"error": str(RestError("request", f"cannot be answered ({status_code})"))})

    def log_exception(self, *_: Any) -> None:
        """Log nothing: what is wrong is in the answer."""


class _NoSuchError(RestError):
    """An address that does not exist."""


_STATUS = {_NoSuchError: 404, ConflictError: 409, UsageError: 400, AnnotationError: 400}


class _Unknown(_Handler):
    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self._refuse(404, "asks for an address that does not exist", "an address of this page")


class _Static(_Handler):
    """The page itself, which holds no data: files of the package by their exact names."""

    needs_token = False

    def get(self, name: str = "index.html") -> None:
        folder = Path(str(files("restcli.review"))) / "page"
        path = folder / name
        if path not in folder.iterdir() or not path.is_file():
            raise _NoSuchError("page", "there is no such file")
        self.set_header("Content-Type", f"{mimetypes.guess_type(path.name)[0] or 'text/plain'}; charset=UTF-8")
        self.finish(path.read_bytes())


class _Session(_Handler):
    async def get(self) -> None:
        self.send(await self.server.work(self.server.desk.session))


class _Details(_Handler):
    async def get(self, name: str) -> None:
        self.send(await self.server.work(self.case(name).details))


class _Strip(_Handler):
    async def get(self, name: str) -> None:
        self.gone = Event()
        with suppress(GoneError):
            self.send(await self.server.strip(self.case(name), self.gone))

    def on_connection_close(self) -> None:
        """Stop reading what the browser no longer waits for."""
        self.gone.set()


class _Page(_Handler):
    async def get(self, name: str) -> None:
        case = self.case(name)
        given = {key: self.get_query_argument(key) for key in self.request.query_arguments}
        montage = given.pop("montage", "longitudinal")
        try:
            asked = PageRequest(**{key: float(value) for key, value in given.items()})
        except (ValueError, TypeError) as error:
            raise UsageError("page", "a number cannot be read", "seconds, hertz and pixels") from error
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(await self.server.work(case.page, montage, asked))


class _Verdicts(_Handler):
    async def get(self, name: str) -> None:
        case, after = self.case(name), self.get_query_argument("after", "0")
        if not after.isdecimal() or len(after) > 15:
            raise UsageError("verdicts", "'after' is not a number", "the last seq that is known")
        entries = await self.server.work(case.entries, int(after))
        self.send({"entries": [case.outward(entry) for entry in entries], "generation": case.journal.generation})

    async def post(self, name: str) -> None:
        case, content = self.case(name), self.content()
        if content.get("hash") != case.result.digest:
            raise ConflictError("verdict", "refers to events other than those of this result", remedy="Reload the page")
        content = {"reviewer": self.server.desk.reviewer, **content}
        try:
            entry = await self.server.work(case.append, content)
        except ConflictError as conflict:
            self.set_status(409)
            news = {"entries": [case.outward(each) for each in conflict.entries], "generation": case.journal.generation}
            self.send({"error": str(conflict)} | news)
        else:
            self.send({"entry": case.outward(entry)})


class _Apply(_Handler):
    async def post(self) -> None:
        name = self.content().get("recording")
        case = self.case(name if isinstance(name, str) else "")
        applied = await self.server.work(apply_verdicts, case.result)
        await self.server.work(enter_applied, [applied])
        self.send({"files": [path.name for path in applied.written.files]})
