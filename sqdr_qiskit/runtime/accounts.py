"""The user's IBM Quantum account, as Qiskit keeps it: environment variables or ~/.qiskit/qiskit-ibm.json.

Nothing here keeps or prints the API token; the client does what needs it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ibm_cloud_sdk_core import ApiException
from qiskit.providers import QiskitBackendNotFoundError
from qiskit.transpiler import Target
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService
from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.exceptions import IBMInputValueError
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RequestException
from urllib3.util.retry import Retry

from sqdr_qiskit.devices.names import Listed, absent_device, no_fractional_gates
from sqdr_qiskit.errors import ArgumentError, BackendError, CheckpointError, SqdrError
from sqdr_qiskit.runtime import Waiting, nobody
from sqdr_qiskit.runtime.client import (
    Kind,
    Patience,
    Question,
    Unreadable,
    chain,
    kind_of,
    one_line,
    translated,
    translating,
)

__all__ = ["account_devices", "Connection", "LEAST_BUSY"]

LEAST_BUSY = "least_busy"
_CONNECT_S = 10.0
_T = TypeVar("_T")


class Connection:
    """One account, one of its instances, and one device.

    Args:
        device: `ibm_...`, or `least_busy` for the machine with the shortest queue.
        calibrated: See the device as it was calibrated then (ISO 8601), so that a run that is taken up again
            lays its circuits out as before; None or empty for now.
        instance: The run's instance, as `instance` named it before; None takes the account's choice.
        fractional: See the device with its fractional gates (RX of any angle), which it must have.
        patience: Times to wait.
        watch: Told of outages.

    Raises:
        CheckpointError: `calibrated` is no moment.
    """

    def __init__(
        self,
        device: str,
        *,
        calibrated: str | None = None,
        instance: str | None = None,
        fractional: bool = False,
        patience: Patience | None = None,
        watch: Callable[[Waiting], None] = nobody,
    ) -> None:
        self.fractional = fractional
        self._wanted = device
        self._calibrated = _moment(calibrated) if calibrated else None
        self._instance = instance or None
        self._patience = patience or Patience.usual()
        self._watch = watch
        self._service: QiskitRuntimeService | None = None
        self._device: IBMBackend | None = None
        self._now: Target | None = None

    @property
    def service(self) -> QiskitRuntimeService:
        """The service, logged in at first use.

        Raises:
            ArgumentError: No account, a bad token, or an instance that the account lacks.
            BackendError: IBM cannot be reached.
        """
        if self._service is None:
            return self._at_start(self._logged_in, "logging in to IBM Quantum")
        return self._service

    @property
    def device(self) -> IBMBackend:
        """The device; errors as of `service`."""
        if self._device is None:
            device = self._at_start(self._find, f"looking for {self._wanted}")
            if self._calibrated is not None:
                self._at_start(lambda: self._as_calibrated(device), "fetching the device's calibration")
            self._device, self._wanted = device, str(device.name)
        return self._device

    @property
    def name(self) -> str:
        """The device's name."""
        return str(self.device.name)

    @property
    def instance(self) -> str:
        """The device's instance, named so that nothing of the account is told."""
        return _instance_name(str(self.device._instance))

    @property
    def target_now(self) -> Target | None:
        """What the device is like now, if it is seen as it was before; else None."""
        return self._now

    def clients(self) -> list[Any]:
        """The API clients of the account's instances, the run's own first.

        Raises:
            ArgumentError: The run's instance is none of this account's.
            Exception: Whatever the client raises; to be called within `Patience.ask`.
        """
        service = self._logged_in()
        crns = [str(entry["crn"]) for entry in service.instances()]
        own = [crn for crn in crns if _instance_name(crn) == self._instance]
        if self._instance is not None and not own:
            raise ArgumentError(
                "The run's jobs are in an instance that this account cannot see; set the account "
                "(QISKIT_IBM_TOKEN, or the saved one) with which the run was started."
            )
        # The client opens an instance when a device in it is asked for; a job of the run may be in any.
        for crn in crns:
            if crn not in service._api_clients:
                service._api_clients[crn] = service._create_new_cloud_api_client(crn)
        _bound(service)
        return [service._api_clients[crn] for crn in dict.fromkeys([*own, *crns])]

    def renew(self) -> None:
        """Log in anew; the device keeps its name and what was learnt of it.

        Raises:
            SqdrError: As of `service`.
        """
        self._service = None
        fresh = self._patience.ask(self._find, doing="logging in again", watch=self._watch)
        if self._device is not None:
            # Seen as before: what is laid out already must find the same gates and couplings.
            fresh.__dict__.update(
                {name: self._device.__dict__.get(name) for name in ("_properties", "_target")}
            )
            self._device = fresh

    def _at_start(self, question: Callable[[], _T], doing: str) -> _T:
        """Ask before anything was sent: there is no reason to wait for long."""
        patience = self._patience
        short = replace(patience, outage_s=patience.start_s, unreadable_s=patience.start_s)
        return short.ride(question, doing=doing, watch=self._watch, renew=self._forget)

    def _forget(self) -> None:
        self._service = None

    def _logged_in(self) -> QiskitRuntimeService:
        if self._service is None:
            self._service = _log_in(self._wanted)
        return self._service

    def _find(self) -> IBMBackend:
        """The device; an outage within the client looks as if there were none."""
        name, service = self._wanted, self._logged_in()
        try:
            if name == LEAST_BUSY:
                return service.least_busy(use_fractional_gates=self.fractional)
            crns = [str(entry["crn"]) for entry in service.instances()] if self._instance else []
            crn = next((crn for crn in crns if _instance_name(crn) == self._instance), None)
            return service.backend(name, instance=crn, use_fractional_gates=self.fractional)
        except IBMInputValueError as error:
            if not self.fractional:
                raise
            raise no_fractional_gates(name) from error
        except QiskitBackendNotFoundError as error:
            self._service = None  # it remembers that there were no devices
            there = sorted({str(row["name"]) for client in self.clients() for row in client.list_backends()})
            if name in there or (name == LEAST_BUSY and there):
                raise Unreadable(f"it lists {name} and does not describe it") from error
            if name == LEAST_BUSY:
                raise ArgumentError(
                    "Argument `backend` must be a device that is there, but your account has none online."
                ) from error
            raise ArgumentError(absent_device(name, there)) from error

    def _as_calibrated(self, device: IBMBackend) -> None:
        """Let a device be seen with the calibration of a moment, if another one is in force by now."""
        assert self._calibrated is not None
        now = device.properties()
        if now is None or abs((now.last_update_date - self._calibrated).total_seconds()) < 1:
            return
        self._now = device.target  # as it is, before it is shown as it was
        # The service gives the last calibration before a moment.
        device._properties = device.properties(datetime=self._calibrated + timedelta(seconds=1))
        device._target = None


class _Bounded(HTTPAdapter):
    """HTTP that neither repeats nor waits by itself: whoever asked decides, and says so.

    The client would send a POST again on 502 and the like, also when the job was created and only the answer
    was lost: a job paid for twice. It would obey any Retry-After in silence, and wait for an answer for ever.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=Retry(0, read=False, respect_retry_after_header=False))

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Send one request, if somebody still waits for its answer."""
        posts_job = request.method == "POST" and str(request.path_url).partition("?")[0].endswith("/jobs")
        asker = threading.current_thread()
        if isinstance(asker, Question):
            if asker.abandoned:
                raise NoConnection("nobody waits for this answer any more")
            asker.jobs_posted += posts_job
        kwargs["timeout"] = (_CONNECT_S, Patience.post_s if posts_job else Patience.answer_s)
        return super().send(request, *args, **kwargs)


def _bound(service: QiskitRuntimeService) -> None:
    """Put `_Bounded` below every client of a service, and a limit on each login."""
    for client in {*getattr(service, "_api_clients", {}).values(), service._active_api_client}:
        session = client._session
        if not isinstance(session.get_adapter("https://"), _Bounded):
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Bounded())
            tokens = getattr(session.auth, "tm", None)
            if tokens is not None:
                tokens.http_config = {**tokens.http_config, "timeout": _CONNECT_S}


def account_devices() -> list[Listed]:
    """The devices of the user's account, shortest queue first.

    Raises:
        ArgumentError: There is no account, or it does not work.
        BackendError: IBM cannot be reached.
    """
    service = Connection(LEAST_BUSY).service
    found = []
    with translating("listing the account's devices"):
        for device in service.backends():
            properties, status = device.properties(), device.status()
            conf = {"n_qubits": device.num_qubits, "basis_gates": device.configuration().basis_gates}
            props = None if properties is None else properties.to_dict()
            state = "online" if status.operational else status.status_msg or "away"
            row = Listed.of(str(device.name), conf, props, queue=int(status.pending_jobs), status=state)
            found.append(row)
    return sorted(found, key=lambda row: (row.status != "online", row.queue or 0, row.name))


def _instance_name(crn: str) -> str:
    """A name for an instance from which neither it nor the account can be told."""
    return hashlib.sha256(crn.encode()).hexdigest()[:16]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        assert moment.tzinfo is not None
        return moment
    except (ValueError, AssertionError) as error:
        raise CheckpointError(
            f"The ledger is damaged: its calibration time {text[:40]!r} is no moment."
        ) from error


def _log_in(device: str) -> QiskitRuntimeService:
    try:
        service = QiskitRuntimeService()
    except AccountNotFoundError as error:
        why = (
            "there is no IBM Quantum account on this machine (save one with "
            "QiskitRuntimeService.save_account, or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE)"
        )
        raise ArgumentError(_about(device, why)) from error
    except InvalidAccountError as error:
        raise _why_invalid(device, error) from error
    except Exception as error:
        if kind_of(error) is Kind.PASSING:
            raise BackendError(_about(device, _away(error))) from error
        raise translated(error, doing="logging in to IBM Quantum") from error
    _bound(service)
    return service


def _why_invalid(device: str, error: InvalidAccountError) -> SqdrError:
    """The client says the same of a bad token and of a dead network; what caused it does not."""
    for link in chain(error):
        if isinstance(link, ApiException):
            code = int(link.status_code or 0)
            if 400 <= code < 500 and code not in (408, 429):
                return ArgumentError(
                    _about(
                        device,
                        f"IBM Cloud refused the account's API token (HTTP {code}); make a new one at "
                        "https://quantum.cloud.ibm.com and save it with QiskitRuntimeService.save_account",
                    )
                )
            return BackendError(_about(device, f"IBM Cloud is away (HTTP {code}); try again later"))
        if isinstance(link, RequestException | OSError):
            return BackendError(_about(device, _away(link)))
    return ArgumentError(f"The IBM Quantum account is not valid: {one_line(error)}")


def _away(error: BaseException) -> str:
    return f"IBM Cloud cannot be reached ({type(error).__name__}); check this machine's network"


def _about(device: str, why: str) -> str:
    if device == LEAST_BUSY:
        return why[0].upper() + why[1:] + "."
    return absent_device(device, because=why)
