"""The stub service over HTTP, on this machine's loopback address alone."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.stub.compute import spoilt
from tests.stub.service import CRN, Job, Service, snapshot

__all__ = ["StubServer"]

_PLAN = "stub-open-plan"


class StubServer:
    """The service behind a port of 127.0.0.1, while the `with` block lasts.

    Args:
        service: What it serves.
        port: 0 takes any free one.
    """

    def __init__(self, service: Service, port: int = 0) -> None:
        self.service = service
        handler = type("Handler", (_Handler,), {"service": service})
        self._http = _Quiet(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def environment(self, home: Path | str | None = None) -> dict[str, str]:
        """Environment variables that make the unmodified IBM client speak to it."""
        own = {} if home is None else {"HOME": str(home)}
        return own | {
            "QISKIT_IBM_TOKEN": self.service.token,
            "QISKIT_IBM_INSTANCE": CRN,
            "QISKIT_IBM_URL": f"{self.url}/experimental",
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": f"{self.url}/api/v1",
        }

    def __enter__(self) -> StubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.service.close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed midway is what the stub is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: Service

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who wants a log reads `service.requests`."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.service.requests.append((method, path))
        for pattern, act in _ROUTES:
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                answer = act(self, *match.groups(), query=parse_qs(parts.query), body=body)
                break
        else:
            answer = 404, _error(1404, f"no such thing: {path}")
        if answer is None:  # the line goes dead
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        status, content, *more = answer
        if status == 0:  # it never answers
            self.service.closing.wait(self.service.hang_s)
            self.close_connection = True
            return
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        if status == 204:
            data = b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in more[0].items() if more else ():
            if name == "slow":
                self.end_headers()
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if self.service.closing.wait(value):
                        break
                self.close_connection = True
                return
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # ---- the stub itself -----------------------------------------------------------------------------------

    def look(self, *, query: Any, body: bytes) -> _Answer:
        states = [job.status for job in self.service.jobs.values()]
        faults = self.service.faults
        return 200, {
            "jobs": len(states),
            "states": states,
            "billed_s": sum(job.seconds for job in self.service.jobs.values()),
            "faults_left": faults.left,
            "faults_taken": faults.taken,
        }

    def order(self, name: str, times: str, after: str, *, query: Any, body: bytes) -> _Answer:
        self.service.faults.order(name, int(times), int(after))
        return 204, ""

    # ---- identity and instances ----------------------------------------------------------------------------

    def token(self, *, query: Any, body: bytes) -> _Answer:
        given = parse_qs(body.decode()).get("apikey", [""])[0]
        if self.service.faults.take("token-500"):
            return 500, {"errorMessage": "Internal error."}
        if given != self.service.token or self.service.faults.take("token-400"):
            return 400, {
                "errorCode": "BXNIM0415E",
                "errorMessage": "Provided API key could not be found.",
                "context": {},
            }
        now = int(time.time())
        return 200, {
            "access_token": _web_token(now),
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": 3600,
            "expiration": now + 3600,
        }

    def search(self, *, query: Any, body: bytes) -> _Answer:
        found = [
            {
                "crn": crn,
                "name": f"stub-{number}",
                "doc": {"extensions": [{"name": "backends"}]},
                "service_plan_unique_id": _PLAN,
                "tags": [],
            }
            for number, crn in enumerate(self.service.instances)
        ]
        return 200, {"items": found}

    def plan(self, *, query: Any, body: bytes) -> _Answer:
        name, pricing = self.service.plan
        return 200, {
            "overview_ui": {"en": {"display_name": name}},
            "metadata": {"pricing": {"type": pricing}},
        }

    def usage(self, *, query: Any, body: bytes) -> _Answer:
        if self.service.usage is not None:
            return 200, self.service.usage
        spent = sum(job.seconds for job in self.service.jobs.values())
        return 200, {"usage_limit_seconds": 600, "usage_consumed_seconds": spent}

    # ---- devices -------------------------------------------------------------------------------------------

    def devices(self, *, query: Any, body: bytes) -> _Answer:
        for status in (403, 500):
            if self.service.faults.take(f"api-{status}"):
                return status, _error(status, "no")
        waiting = [job.device for job in self.service.jobs.values() if job.status == "Queued"]
        found = [
            {
                "name": name,
                "qubits": snapshot(model, "conf")["n_qubits"],
                "status": {"name": "online"},
                "queue_length": waiting.count(name),
            }
            for name, model in self.service.devices.items()
        ]
        return 200, {"devices": found}

    def device(self, name: str, what: str, *, query: Any, body: bytes) -> _Answer:
        model = self.service.devices.get(name)
        if model is None:
            return 404, _error(1216, f"there is no backend {name}")
        if what == "status":
            waiting = sum(job.device == name and job.status == "Queued" for job in self.service.jobs.values())
            return 200, {
                "state": name not in self.service.paused,
                "status": self.service.paused.get(name, "active"),
                "length_queue": waiting,
                "backend_version": "1.0.0",
            }
        if what == "configuration":
            if self.service.faults.take("configuration-500"):
                return 500, _error(1500, "internal error")
            return 200, {**snapshot(model, "conf"), "backend_name": name}
        moments = [datetime.fromisoformat(text) for text in query.get("updated_before", [])]
        values = self.service.properties(name, moments[0] if moments else None)
        return 200, {**values, "backend_name": name}

    # ---- jobs ----------------------------------------------------------------------------------------------

    @property
    def crn(self) -> str:
        """The instance that is spoken to."""
        return str(self.headers.get("Service-CRN") or self.service.instances[0])

    def create(self, *, query: Any, body: bytes) -> _Answer:
        service, faults = self.service, self.service.faults
        if faults.take("jobs-401"):
            return 401, _error(1200, "unauthorized")
        if faults.take("post-502-lost"):
            return 502, "bad gateway"
        if faults.take("error-echoes"):
            return 400, _error(1400, service.echo())
        values = json.loads(body)
        if values["backend"] not in service.devices:
            return 404, _error(1216, "there is no such backend")
        job = service.create(values, self.crn)
        if faults.take("post-504-late"):
            service.closing.wait(service.late_s)
            return 504, "gateway timeout"
        for name, answer in (
            ("post-502-created", (502, "bad gateway")),
            ("post-cut", None),
            ("post-empty", (200, {})),
            ("post-html", (200, "<html><body>Welcome</body></html>")),
            ("post-odd-id", (200, {"id": f"{job.id}\x1b[31m", "backend": job.device})),
            ("post-hangs", (0, "")),
        ):
            if faults.take(name):
                return answer
        others = [other.id for other in service.jobs.values() if other is not job]
        if others and faults.take("post-other-id"):
            return 200, {"id": others[0], "backend": job.device}
        return 200, {"id": job.id, "backend": job.device}

    def list_jobs(self, *, query: Mapping[str, list[str]], body: bytes) -> _Answer:
        service, faults = self.service, self.service.faults
        for name, answer in (
            ("jobs-401", (401, _error(1200, "unauthorized"))),
            ("tag-503", (503, _error(1500, "service unavailable"))),
            ("tag-nothing", (200, {})),
        ):
            if faults.take(name):
                return answer
        tags = set(query.get("tags", []))
        found = [job for job in service.jobs.values() if job.instance == self.crn]
        if not (tags and faults.take("tag-ignored")):
            found = [job for job in found if tags <= set(job.tags)]
        now = time.monotonic()
        found = [job for job in found if now >= job.listed_at]
        if "session_id" in query:
            found = [job for job in found if job.session == query["session_id"][0]]
        found.sort(key=lambda job: -job.order)
        first, size = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["20"])[0])
        count = len(found) + 20 * faults.take("tag-endless")
        return 200, {"jobs": [job.answer() for job in found[first : first + size]], "count": count}

    def job(self, name: str, what: str | None, *, query: Any, body: bytes) -> _Answer:
        service, faults = self.service, self.service.faults
        if faults.take("jobs-401"):
            return 401, _error(1200, "unauthorized")
        job = service.jobs.get(name)
        if job is None or job.instance != self.crn:
            return 404, _error(1291, f"there is no job {name}")
        if what == "/results":
            return self._results(job)
        if what == "/metrics":
            return self._metrics(job)
        for fault, answer in (
            ("status-503", (503, _error(1500, "service unavailable"))),
            ("status-429-hour", (429, _error(1429, "too many requests"), {"Retry-After": "3600"})),
            ("status-empty", (200, {})),
            ("status-404", (404, _error(1291, f"there is no job {name}"))),
            ("status-hangs", (0, "")),
        ):
            if faults.take(fault):
                return answer
        said = job.answer()
        if faults.take("status-other"):
            return 200, {**said, "id": "another", "state": {"status": "Failed"}}
        if job.status != "Completed" and faults.take("status-unknown"):
            return 200, {**said, "state": {"status": "Contemplating"}}
        if faults.take("status-slow"):
            return 200, said, {"slow": service.hang_s / 100}
        return 200, said

    def _results(self, job: Job) -> _Answer:
        faults = self.service.faults
        for fault, answer in (
            ("results-503", (503, _error(1500, "service unavailable"))),
            ("results-204", (204, "")),
            ("results-empty", (200, "")),
            ("results-404", (404, _error(1291, "there are no results"))),
            ("results-nothing", (200, {})),
            ("results-cut", (200, job.result[: len(job.result) // 2])),
            ("results-hang", (0, "")),
        ):
            if faults.take(fault):
                return answer
        for fault in ("results-short", "results-nan", "results-large"):
            if job.status == "Completed" and faults.take(fault):
                return 200, spoilt(job.program, job.params, job.result, fault)
        if job.status == "Failed" and not job.result:
            return 404, _error(1291, "there are no results")
        return 200, job.result

    def _metrics(self, job: Job) -> _Answer:
        faults = self.service.faults
        if faults.take("usage-500"):
            return 500, _error(1500, "internal error")
        usage: dict[str, Any] = {
            "quantum_seconds": job.seconds,
            "qpu_charge_time_seconds": job.seconds,
            "status": "final",
        }
        if faults.take("usage-pending"):
            usage = {"quantum_seconds": 0, "qpu_charge_time_seconds": 0, "status": "pending"}
        if faults.take("usage-negative"):
            usage = {"quantum_seconds": -50, "qpu_charge_time_seconds": -50, "status": "final"}
        times = {"created": job.created, "running": job.created, "finished": job.created}
        place = {"timestamps": times, "position_in_queue": self.service.position(job)}
        return 200, place if faults.take("usage-missing") else {**place, "usage": usage}

    def cancel(self, name: str, *, query: Any, body: bytes) -> _Answer:
        job = self.service.jobs.get(name)
        if job is None or job.instance != self.crn:
            return 404, _error(1291, f"there is no job {name}")
        if self.service.faults.take("cancel-500"):
            return 500, _error(1500, "internal error")
        if self.service.faults.take("cancel-ignored"):
            return 204, ""
        return (204, "") if self.service.cancel(job) else (409, _error(1295, "the job is at its end"))

    def tags(self, name: str, *, query: Any, body: bytes) -> _Answer:
        self.service.jobs[name].tags = json.loads(body)["tags"]
        return 204, ""

    # ---- batches -------------------------------------------------------------------------------------------

    def open_session(self, *, query: Any, body: bytes) -> _Answer:
        values = json.loads(body)
        if values.get("mode") != "batch" or self.service.faults.take("session-1352"):
            return 400, _error(1352, "You are not authorized to run a session when using the open plan.")
        name = f"batch{len(self.service.sessions):04}"
        self.service.sessions[name] = {
            "id": name,
            "state": "open",
            "accepting_jobs": True,
            "mode": "batch",
            "backend_name": values.get("backend"),
            "interactive_ttl": 60,
            "max_ttl": 600,
        }
        return 200, self.service.sessions[name]

    def session(self, name: str, *, query: Any, body: bytes) -> _Answer:
        if name not in self.service.sessions:
            return 404, _error(1404, "there is no such session")
        return 200, self.service.sessions[name]

    def close_session(self, name: str, *, query: Any, body: bytes) -> _Answer:
        if name not in self.service.sessions:
            return 404, _error(1404, "there is no such session")
        self.service.sessions[name] |= {"state": "closed", "accepting_jobs": False}
        return 204, ""


_Answer = tuple[Any, ...] | None
_API = "/experimental"
_ROUTES: tuple[tuple[str, Any], ...] = (
    (r"GET /stub", _Handler.look),
    (r"POST /stub/faults/([a-z0-9-]+)/(\d+)/(\d+)", _Handler.order),
    (r"POST /identity/token", _Handler.token),
    (r"POST /v3/resources/search", _Handler.search),
    (rf"GET /api/v1/{_PLAN}", _Handler.plan),
    (rf"GET {_API}/instances/usage", _Handler.usage),
    (rf"GET {_API}/backends", _Handler.devices),
    (rf"GET {_API}/backends/([^/]+)/(configuration|properties|status)", _Handler.device),
    (rf"POST {_API}/jobs", _Handler.create),
    (rf"GET {_API}/jobs", _Handler.list_jobs),
    (rf"POST {_API}/jobs/([^/]+)/cancel", _Handler.cancel),
    (rf"PUT {_API}/jobs/([^/]+)/tags", _Handler.tags),
    (rf"GET {_API}/jobs/([^/]+)(/results|/metrics)?", _Handler.job),
    (rf"POST {_API}/sessions", _Handler.open_session),
    (rf"GET {_API}/sessions/([^/]+)", _Handler.session),
    (rf"PATCH {_API}/sessions/([^/]+)", _Handler.close_session),
    (rf"DELETE {_API}/sessions/([^/]+)/close", _Handler.close_session),
)


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}, "errors": [{"code": code, "message": message}]}


def _web_token(now: int) -> str:
    """A token that can be read; nobody checks the signature."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + 3600, "iam_id": "stub"})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c3R1Yg"])
