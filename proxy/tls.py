"""TLS and mTLS contexts from their spec, for listeners and upstreams alike."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from proxy.config.regular_file import read_regular
from proxy.config.settings_spec import ListenerTls
from proxy.config.spec import UpstreamTls
from proxy.errors import ConfigError, Problem, Severity

LARGEST_PEM = 16 * 1024 * 1024
"""Bytes of a file of certificates; bundles of all public authorities have less than 1 MiB."""

PROTOCOLS = ["http/1.1"]


def listener_context(tls: ListenerTls) -> ssl.SSLContext:
    """A context that shows the listener's certificate and, where a client CA is set, demands one from it.

    Raises ConfigError, which names the file at fault and never what is in it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    load_certificate(context, tls.cert, tls.key)
    if tls.client_ca is not None:
        load_authorities(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reload_certificate(context: ssl.SSLContext, tls: ListenerTls) -> None:
    """Let a living listener's next handshakes use the files as they are now; connections stay as they are.

    The files are read into a context of their own, to which each handshake is handed: one that cannot be used raises
    ConfigError and changes nothing, and nothing of the old pair stays behind (a context keeps one pair for each kind of
    key, so that an RSA certificate replaced by an ECDSA one would be shown still).
    """
    fresh = listener_context(tls)

    def present(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = fresh

    context.sni_callback = present


class Certificates:
    """The certificates of one listener, of which each handshake is shown one: that of the name it asks for (SNI).

    `context` is what the listener is opened with. What changes: the contexts by key, and which of them has which name.
    """

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        harden(self.context)
        self.context.sni_callback = self._present
        self._shown: dict[str, tuple[ssl.SSLContext, Sequence[str]]] = {}
        self._named: dict[str, ssl.SSLContext] = {}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def __contains__(self, key: str) -> bool:
        return key in self._shown

    def renew(self, pairs: Mapping[str, ListenerTls]) -> dict[str, ConfigError]:
        """Show these from the next handshake on, the first one where no name fits; connections stay as they are.

        A pair that cannot be used keeps what was shown under its key before, if anything. Tells what failed, by key.
        """
        failures: dict[str, ConfigError] = {}
        shown: dict[str, tuple[ssl.SSLContext, Sequence[str]]] = {}
        for key, pair in pairs.items():
            try:
                shown[key] = listener_context(pair), certificate_names(pair.cert)
            except ConfigError as error:
                failures[key] = error
                if key in self._shown:
                    shown[key] = self._shown[key]
        self._shown, self._named = shown, {}
        for context, names in shown.values():
            for name in names:
                self._named.setdefault(name, context)
        return failures

    def choose(self, name: str | None) -> ssl.SSLContext | None:
        """The context with this very name, then that with a wildcard in place of its first label (RFC 9525 section
        6.3), then the first one; None where there is none.
        """
        asked = (name or "").lower().removesuffix(".")
        found = self._named.get(asked) or self._named.get(f"*.{asked.partition('.')[2]}")
        return found or next((context for context, _ in self._shown.values()), None)

    def _present(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        found = self.choose(name)
        if found is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = found
        return None


def certificate_names(path: str) -> Sequence[str]:
    """The DNS names of a file's first certificate, lower-case. Raises ConfigError."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    except OSError as error:
        raise unusable(path, f"cannot be read: {reason(error)}") from None
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise unusable(path, "holds a certificate that cannot be read") from None
    return [name.lower().removesuffix(".") for name in found.value.get_values_for_type(x509.DNSName)]


def upstream_context(tls: UpstreamTls | None) -> ssl.SSLContext:
    """A context that checks endpoints by the system's authorities or the server's own, and shows a certificate if set.

    Raises ConfigError, which names the file at fault and never what is in it.
    """
    tls = tls or UpstreamTls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.ca is not None:
        load_authorities(context, tls.ca)
    if tls.cert is not None:
        load_certificate(context, tls.cert, tls.key or tls.cert)
    return context


def harden(context: ssl.SSLContext) -> None:
    """What both directions have in common: TLS 1.2 at least (RFC 9325 section 3.1.1), HTTP/1.1, no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(PROTOCOLS)


def load_authorities(context: ssl.SSLContext, path: str) -> None:
    """Trust the certificates of a file, also one that was issued by another (a company's intermediate)."""
    read_pem(path, "CERTIFICATE")
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise unusable(path, f"cannot be used as a certificate authority: {reason(error)}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def load_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    """Show a certificate chain. Both files are looked at first, so that an error names the right one."""
    read_pem(cert, "CERTIFICATE")
    key_text = read_pem(key, "PRIVATE KEY")
    if "ENCRYPTED PRIVATE KEY-----" in key_text or "Proc-Type: 4,ENCRYPTED" in key_text:
        raise unusable(key, "the private key is encrypted with a passphrase, which is not supported")
    try:
        context.load_cert_chain(cert, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise unusable(key, f"the private key does not belong to the certificate {cert}") from None
        raise unusable(cert, f"cannot be used with the private key {key}: {reason(error)}") from None
    except OSError as error:
        raise unusable(cert, f"cannot be read: {reason(error)}") from None


def read_pem(path: str, kind: str) -> str:
    """The text of a PEM file that holds at least one part of a kind."""
    try:
        text = read_regular(path, LARGEST_PEM).decode("ascii", "replace")
    except OSError as error:
        raise unusable(path, f"cannot be read: {reason(error)}") from None
    if f"{kind}-----" not in text:
        raise unusable(path, f"holds no {kind.lower()} in PEM form")
    return text


def no_passphrase() -> str:
    """No passphrase: without this, OpenSSL would ask on the terminal and stop the proxy until someone answers."""
    return ""


def reason(error: OSError) -> str:
    """Why, in words, without a path or an address."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "malformed").replace("_", " ").lower()
    return error.strerror or type(error).__name__


def unusable(path: str, message: str) -> ConfigError:
    """An error of one whole file."""
    return ConfigError((Problem(Severity.ERROR, "tls-file", path, 0, 0, "", message),))
