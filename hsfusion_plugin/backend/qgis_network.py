"""QGIS's own network settings for HTTP that is not QGIS's: its proxy, and the certificates that it trusts."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import requests

from .local.logs import cache_folder

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def apply(session: requests.Session, address: str, proxies: bool = True) -> None:
    """Make a session use the certificates and the proxy for this address; environment variables win, as requests reads
    them.
    """
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or trusted()
    proxy = proxy_for(address) if proxies else ""
    if proxy and not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXY_VARIABLES):
        session.proxies = {"http": proxy, "https": proxy}


def proxy_for(address: str) -> str:
    """The proxy of QGIS's network options for an address; empty where it is excluded or there is none."""
    excluded = _settings_value("proxy/noProxyUrls") or _settings_value("proxy/proxyExcludedUrls") or []
    if isinstance(excluded, str):
        excluded = excluded.split("|")
    if any(start.strip() and address.startswith(start.strip()) for start in map(str, excluded)):
        return ""
    return qgis_proxy()


def qgis_proxy() -> str:
    """The address of the proxy that QGIS's network options name; empty if there is none."""
    kinds = {"HttpProxy": "http", "HttpCachingProxy": "http", "Socks5Proxy": "socks5"}
    kind = kinds.get(str(_settings_value("proxy/proxyType") or ""), "")
    host, port = _settings_value("proxy/proxyHost"), _settings_value("proxy/proxyPort")
    enabled = str(_settings_value("proxy/proxyEnabled") or "").lower() in ("true", "1")
    if not (enabled and kind and host):
        return ""
    user, password = _settings_value("proxy/proxyUser"), _settings_value("proxy/proxyPassword")
    login = f"{user}:{password or ''}@" if user else ""
    return f"{kind}://{login}{host}" + (f":{port}" if port else "")


def trusted() -> str | bool:
    """A file with the certificates of requests and those that QGIS trusts (the system's, and what the user gave its
    authentication manager).

    True, for requests' own, outside QGIS.
    """
    try:
        from qgis.core import QgsApplication
    except ImportError:
        return True
    if QgsApplication.instance() is None or QgsApplication.authManager().isDisabled():
        return True
    try:
        return _bundle(bytes(QgsApplication.authManager().trustedCaCertsPemText()))
    except OSError:  # nowhere to write it
        return True


@functools.lru_cache(maxsize=4)
def _bundle(pem: bytes) -> str:
    text = Path(requests.certs.where()).read_bytes() + b"\n" + pem
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"certificates-{hashlib.sha256(text).hexdigest()[:16]}.pem"
    if not path.is_file() or path.stat().st_size != len(text):
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(text)
        os.replace(part, path)
    return str(path)


def _settings_value(name: str) -> Any:
    try:
        from qgis.core import QgsSettings
    except ImportError:
        return None
    return QgsSettings().value(name)
