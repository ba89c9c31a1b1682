"""The user's IBM Quantum account, as Qiskit keeps it: environment variables or ~/.qiskit/qiskit-ibm.json.

Nothing here reads, keeps or prints the API token; the client does what needs it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from ibm_cloud_sdk_core import ApiException
from qiskit.providers import QiskitBackendNotFoundError
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService
from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
from requests.exceptions import RequestException
from urllib3.util.retry import Retry

from sqdr_qiskit.devices.names import absent_device
from sqdr_qiskit.errors import ArgumentError, BackendError, SqdrError
from sqdr_qiskit.runtime.errors import kind_of, one_line, translated

__all__ = ["LEAST_BUSY", "Connection", "quiet_client"]

LEAST_BUSY = "least_busy"
_RETRY_CODES = (500, 502, 503, 504, 520, 521, 522, 524)


class Connection:
    """One account and one device of it.

    Args:
        device: `ibm_...`, or `least_busy` for the machine with the shortest queue.
        min_qubits: What `least_busy` must have.
        calibrated: See the device as it was calibrated then (ISO 8601), so that a run that is taken up again
            lays its circuits out as before; None or empty for now.
    """

    def __init__(self, device: str, *, min_qubits: int = 1, calibrated: str | None = None) -> None:
        self._wanted = device
        self._calibrated = calibrated or None
        self._min_qubits = min_qubits
        self._service: QiskitRuntimeService | None = None
        self._device: IBMBackend | None = None

    @property
    def service(self) -> QiskitRuntimeService:
        """The service, logged in at first use.

        Raises:
            ArgumentError: No account, a bad token, or a device that the account lacks: one line says which.
            BackendError: IBM cannot be reached.
        """
        if self._service is None:
            self._service = _log_in(self._wanted)
        return self._service

    @property
    def device(self) -> IBMBackend:
        """The device; errors as of `service`."""
        if self._device is None:
            self._device = self._find(self._wanted)
            self._wanted = str(self._device.name)
            if self._calibrated is not None:
                _as_calibrated(self._device, self._calibrated)
        return self._device

    @property
    def name(self) -> str:
        """The device's name."""
        return str(self.device.name)

    def renew(self) -> None:
        """Log in anew; the device keeps its name and what was learnt of it."""
        self._service = None
        fresh = self._find(self._wanted)
        if self._device is not None:
            fresh.__dict__.update(
                {name: self._device.__dict__.get(name) for name in ("_properties", "_target")}
            )
        self._device = fresh

    def _find(self, name: str) -> IBMBackend:
        service = self.service
        with quiet_client():
            try:
                if name == LEAST_BUSY:
                    return service.least_busy(min_num_qubits=self._min_qubits)
                return service.backend(name)
            except QiskitBackendNotFoundError as error:
                if name == LEAST_BUSY:
                    raise ArgumentError(
                        f"Argument `backend` must be a device that is there, but your account has none with "
                        f"{self._min_qubits} qubits that is online."
                    ) from error
                raise ArgumentError(absent_device(name, _names(service))) from error
            except Exception as error:
                raise translated(error, doing=f"looking for {name}") from error


def _as_calibrated(device: IBMBackend, moment: str) -> None:
    """Let a device be seen with the calibration of a moment, if another one is in force by now."""
    then = datetime.fromisoformat(moment)
    try:
        with quiet_client():
            now = device.properties()
            if now is None or abs((now.last_update_date - then).total_seconds()) < 1:
                return
            device._properties = device.properties(datetime=then + timedelta(seconds=1))
            device._target = None
    except Exception as error:
        raise translated(error, doing=f"fetching the calibration of {moment}") from error


def _log_in(device: str) -> QiskitRuntimeService:
    with quiet_client():
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
        except SqdrError:
            raise
        except Exception as error:
            if kind_of(error).value == "passing":
                raise BackendError(_about(device, _away(error))) from error
            raise translated(error, doing="logging in to IBM Quantum") from error
    for client in _clients(service):
        _never_repeat_posts(client)
    return service


def _why_invalid(device: str, error: InvalidAccountError) -> SqdrError:
    """The client says the same of a bad token and of a dead network; what caused it does not."""
    link: BaseException | None = error.__cause__ or error.__context__
    while link is not None:
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
        link = link.__cause__ or link.__context__
    return ArgumentError(f"The IBM Quantum account is not valid: {one_line(error)}")


def _away(error: BaseException) -> str:
    return f"IBM Cloud cannot be reached ({type(error).__name__}); check this machine's network"


def _about(device: str, why: str) -> str:
    if device == LEAST_BUSY:
        return why[0].upper() + why[1:] + "."
    return absent_device(device, because=why)


def _names(service: QiskitRuntimeService) -> list[str]:
    """Names of the devices that the account has."""
    found: list[str] = []
    for client in _clients(service):
        found += [str(entry["name"]) for entry in client.list_backends()]
    return sorted(set(found))


def _clients(service: QiskitRuntimeService) -> list[Any]:
    clients = [*getattr(service, "_api_clients", {}).values(), getattr(service, "_active_api_client", None)]
    return list({id(client): client for client in clients if client is not None}.values())


def _never_repeat_posts(client: Any) -> None:
    """Keep the client from sending a POST again by itself.

    It does so on 502 and the like, also when the job was created and only the answer was lost: a job paid for
    twice. Questions (GET) are still asked again.
    """
    session = getattr(client, "_session", None)
    for adapter in getattr(session, "adapters", {}).values():
        adapter.max_retries = Retry(
            total=5, connect=3, backoff_factor=0.5, status_forcelist=_RETRY_CODES, raise_on_status=False
        )


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's remarks (which instance it chose, what is deprecated) off the user's screen."""
    logger = logging.getLogger("qiskit_ibm_runtime")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
