"""The one place through which everything passes that a service says, before anyone sees it or keeps it.

A service may echo the API token, name the account in a CRN, or send control characters and HTML: in an error
body, in a job's reason, in an identifier. `clean` takes them out of what comes in; `printable` is the last
guard of what goes out to a terminal or a traceback. Neither needs anything but the standard library.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import quote

__all__ = ["clean", "printable"]

_HIDDEN = "…"
_SHORTEST = 6  # a shorter "secret" would tear ordinary words apart
_WORD = r"[^\s'\"<>,;)}\\]+"  # no quotes, so that JSON stays JSON
_PATTERNS = (
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),  # web tokens
    (re.compile(r"crn:v1:" + _WORD), "crn:" + _HIDDEN),  # names the account and the instance
    (re.compile(r"(?i)\b(apikey|api_key|bearer)([=:]?\s+|[=:])" + _WORD), r"\1\2" + _HIDDEN),
    (re.compile(r"(?i)\b((?:access_|refresh_)?token|password)(\s*[=:]\s*)" + _WORD), r"\1\2" + _HIDDEN),
)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
# C0 and C1 but for tab and newline; marks that turn or hide text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_TAGS = re.compile(r"<!--.*?-->|</?[A-Za-z!][^<>]{0,500}>", re.DOTALL)


def clean(text: str) -> str:
    """What a service said, without secrets, HTML tags and control characters; newlines and tabs stay."""
    return printable(_TAGS.sub(" ", printable(text)))


def printable(text: str) -> str:
    """A text that may be shown: without the account's secrets and without control characters."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    for pattern, put in _PATTERNS:
        text = pattern.sub(put, text)
    return text


def _secrets() -> list[str]:
    """Tokens and instances of the environment and of the saved accounts, longest first.

    Whoever puts the token into QISKIT_IBM_INSTANCE by mistake must not find it in a message either, so an
    instance counts whatever it looks like.
    """
    found = {os.environ.get(name, "") for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")}
    found |= _saved()
    kinds = {
        kind for secret in found if len(secret) >= _SHORTEST for kind in (secret, quote(secret, safe=""))
    }
    return sorted(kinds, key=len, reverse=True)


def _saved() -> set[str]:
    """Tokens and instances in the file where Qiskit keeps accounts."""
    global _cache
    path = Path.home() / ".qiskit" / "qiskit-ibm.json"
    try:
        key = (str(path), path.stat().st_mtime_ns)
        if _cache is None or _cache[0] != key:
            accounts = json.loads(path.read_text(encoding="utf-8")).values()
            texts = {str(account.get(name) or "") for account in accounts for name in ("token", "instance")}
            _cache = (key, texts)
    except (OSError, ValueError, AttributeError, RuntimeError):
        return set()
    return _cache[1]


_cache: tuple[tuple[str, int], set[str]] | None = None
