from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
import qiskit_ibm_runtime
from ibm_cloud_sdk_core import ApiException
from pydantic import ValidationError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
)
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout

from sqdr_qiskit.errors import ArgumentError, BackendError, SqdrError, UnsupportedError
from sqdr_qiskit.runtime.errors import (
    TRANSLATIONS,
    Kind,
    Unreadable,
    is_no,
    kind_of,
    one_line,
    translated,
)


def _their_errors() -> list[type[BaseException]]:
    """Every exception class that the runtime client defines, found in its source."""
    root = Path(qiskit_ibm_runtime.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        names = [
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception", "NotFound"))
        ]
        if names:
            parts = path.relative_to(root).with_suffix("").parts
            module = import_module(".".join(["qiskit_ibm_runtime", *parts]))
            found += [getattr(module, name) for name in names]
    return [kind for kind in found if issubclass(kind, BaseException)]


def test_every_error_of_the_client_is_mapped() -> None:
    theirs = _their_errors()
    assert len(theirs) >= 25
    assert [kind.__name__ for kind in theirs if kind not in TRANSLATIONS] == []


@pytest.mark.parametrize("kind", TRANSLATIONS, ids=lambda kind: kind.__name__)
def test_every_translation_is_one_of_ours_and_one_line(kind: type[BaseException]) -> None:
    ours = translated(_made(kind), doing="sending request 1")
    assert isinstance(ours, SqdrError)
    assert "\n" not in str(ours)
    assert "while sending request 1" in str(ours)


def _made(kind: type[BaseException]) -> BaseException:
    if kind is ValidationError:
        return ValidationError.from_exception_data("option", [])
    return kind(400, message="line one\nline two") if kind is ApiException else kind("line one\nline two")


def test_a_sub_class_takes_the_nearest_translation() -> None:
    class NewerError(RuntimeJobMaxTimeoutError):
        pass

    assert str(translated(NewerError("x"), doing="waiting")).startswith("The job ran into its time limit")


def test_ours_stay_as_they_are_and_strangers_are_named() -> None:
    ours = ArgumentError("Argument `x` must be 1, but is 2.")
    assert translated(ours, doing="anything") is ours
    stranger = translated(KeyError("state"), doing="waiting")
    assert isinstance(stranger, BackendError)
    assert str(stranger) == "Something failed while waiting: KeyError: state."


def _wrapped(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except Exception as error:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestsApiError("502 Server Error: Bad Gateway for url", 502), Kind.PASSING),
        (RequestsApiError("429 Client Error", 429), Kind.PASSING),
        (RequestsApiError("400 Client Error", 400), Kind.REFUSED),
        (RequestsApiError("403 Client Error", 403), Kind.UNAUTHORISED),
        (IBMNotAuthorizedError("401"), Kind.UNAUTHORISED),
        (_wrapped(RequestsApiError("504 Server Error", 504)), Kind.PASSING),
        (_wrapped(NoConnection("reset")), Kind.PASSING),
        (IBMRuntimeError("Failed to retrieve job: '503 Server Error: x for url'"), Kind.PASSING),
        (ReadTimeout("slow"), Kind.PASSING),
        (ConnectionResetError(), Kind.PASSING),
        (ApiException(500, message="x"), Kind.PASSING),
        (ApiException(400, message="x"), Kind.REFUSED),
        (RuntimeJobFailureError("Error code 9999"), Kind.REFUSED),
        (IBMInputValueError("no"), Kind.REFUSED),
        (KeyError("x"), Kind.UNREADABLE),
        (Unreadable("x"), Kind.UNREADABLE),
    ],
)
def test_what_can_be_done_about_an_error(error: BaseException, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_only_a_clear_no_is_a_no() -> None:
    assert is_no(RequestsApiError("x", 400))
    assert is_no(_wrapped(RequestsApiError("x", 404)))
    assert not is_no(RequestsApiError("x", 502))
    assert not is_no(KeyError("id"))


def test_a_line_holds_no_secret_and_is_not_long() -> None:
    text = one_line(
        ValueError("grant: apikey=abc123 Authorization: Bearer ey.x.y and token: T0K\n" + "z" * 400)
    )
    assert "abc123" not in text
    assert "ey.x.y" not in text
    assert "T0K" not in text
    assert len(text) <= 300
    assert one_line(ValueError()) == "ValueError."


def test_the_client_s_refusal_is_unsupported() -> None:
    assert isinstance(translated(IBMInputValueError("no"), doing="x"), UnsupportedError)
