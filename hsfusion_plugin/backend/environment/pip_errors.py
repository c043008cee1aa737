"""What pip and venv say when they fail, as one sentence with the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_NETWORK = (
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo failed|Max retries "
    r"exceeded"
    r"|Failed to establish a new connection|ConnectTimeoutError|ReadTimeoutError|Read timed out|Connection refused"
    r"|Connection reset|Network is unreachable|RemoteDisconnected|Connection aborted|IncompleteRead|Connection broken"
)
_SOURCES = "INDEX_URL (an index that this computer reaches) or WHEELS (a folder of downloaded wheels)"

_PROXY = (
    "The network's proxy refused the connection: set the proxy in QGIS (Settings > Options > Network) or in "
    "HTTPS_PROXY, "
    f"or give {_SOURCES}."
)

# First match wins: what is said -> the sentence.
_SENTENCES = (
    (
        r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded",
        "The disk became full while the backend was installed: free some space or choose another FOLDER, then run "
        "this again.",
    ),
    (r"ProxyError|Tunnel connection failed|407 Proxy|Proxy Authentication", _PROXY),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "The certificate of the package index is not trusted here, most likely because the network inspects traffic: "
        "set PIP_CERT to the "
        f"file of your network's certificate, or give {_SOURCES}.",
    ),
    (
        r"\b40[13] Client Error|HTTP error 40[13]|User for .*:",
        "The package index wants a login: put its address with user name and password into pip.conf as index-url, or "
        "give WHEELS.",
    ),
    (
        r"DO NOT MATCH THE HASHES|has an invalid wheel|BadZipFile|is not a zip file",
        "A downloaded package is damaged: run this again, and look into WHEELS or the network's cache if it stays so.",
    ),
)


def explain(lines: Sequence[str], code: int, version: str, source: str, proxy: str = "") -> str:
    """One sentence on a failed run with these lines of output. `version`: Python's; `source`: where packages were
    looked for; `proxy`: what the environment names, "" for none.
    """
    text = "\n".join(lines)
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, text):
            return sentence
    if _concerns(proxy, text):
        return _PROXY
    if re.search(_NETWORK, text):
        return f"The package index {source} cannot be reached: check the network, or give {_SOURCES}."
    missing = re.search(r"No matching distribution found for ([^\s(]+)", text)
    if missing:
        return (
            f"There is no {missing.group(1)} for Python {version} on this system in {source}: name another Python as "
            "BASE_PYTHON "
            f"(the newest one often has no torch yet), or give {_SOURCES} that holds it."
        )
    if re.search(r"Permission denied|Access is denied|Read-only file system", text):
        return "The folder of the backend cannot be written: choose another FOLDER."
    if re.search(r"No module named (?:'?ensurepip|'?venv)|ensurepip is not\s+available", text):
        return "This Python has no venv module: install it (on Debian and Ubuntu: sudo apt-get install python3-venv), or name another one as BASE_PYTHON."  # noqa: E501
    said = [line for line in lines if re.match(r"(ERROR|Error|error)\b", line)] or list(lines)
    last = f", saying: {said[-1][:200].rstrip('.')}" if said else ""
    return (
        f"The installation ended with exit code {code}{last}: look at the log, mend what it names, and run this again."
    )


def _concerns(proxy: str, text: str) -> bool:
    """Whether the address that could not be reached is the proxy's: from pip 26 on nothing else tells."""
    try:
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return bool(address.hostname) and f"(host='{address.hostname}', port={address.port or 80})" in text
    except ValueError:  # a port that is no number
        return False
