"""Promises of TLS, by real handshakes over loopback."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import uvloop

from proxy.config.settings_spec import ListenerTls
from proxy.config.spec import UpstreamTls
from proxy.errors import ConfigError
from proxy.tls import Certificates, certificate_names, listener_context, reload_certificate, upstream_context

NAME = "engine.test"
PASSPHRASE_KEY = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBg==\n-----END ENCRYPTED PRIVATE KEY-----\n"


@dataclass(frozen=True, slots=True)
class Talk:
    """What a client saw of a connection that worked."""

    greeting: bytes
    version: str | None
    protocol: str | None
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates on disk."""

    folder: Path
    ca: trustme.CA

    def issue(self, name: str, *identities: str, ca: trustme.CA | None = None, **options: object) -> ListenerTls:
        """A pair in files of this name."""
        leaf = (ca or self.ca).issue_cert(*(identities or (NAME,)), **options)  # type: ignore[arg-type]
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return ListenerTls(str(cert), str(key))

    def authority(self, name: str = "ca", ca: trustme.CA | None = None) -> str:
        """A CA's certificate in a file of this name."""
        path = self.folder / f"{name}.pem"
        (ca or self.ca).cert_pem.write_to_path(str(path))
        return str(path)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    return Files(tmp_path, authority)


async def talk(listener: ssl.SSLContext, client: ssl.SSLContext, name: str = NAME) -> Talk:
    """Connect, read a greeting until its end, and hang up.

    Raises what the client's side raises, and ConnectionError where no greeting comes: in TLS 1.3 a client learns only
    after its own handshake that it has been refused, which asyncio shows as the end of the stream.
    """

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=listener) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            connection = writer.get_extra_info("ssl_object")
            greeting = await asyncio.wait_for(reader.read(), 5)
            if not greeting:
                raise ConnectionError("refused")
            certificate = connection.getpeercert(binary_form=True)
            return Talk(greeting, connection.version(), connection.selected_alpn_protocol(), certificate)
        finally:
            writer.transport.abort()


def der(path: str) -> bytes:
    """The first certificate of a file."""
    return ssl.PEM_cert_to_DER_cert(
        Path(path).read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )


def joined(path: Path, *parts: str) -> str:
    """A file of several files' contents."""
    path.write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    return str(path)


# --- what is accepted -------------------------------------------------------------------------------------------------


async def test_an_endpoint_of_the_servers_own_authority_is_trusted(files: Files) -> None:
    tls = files.issue("engine")
    seen = await talk(listener_context(tls), upstream_context(UpstreamTls(ca=files.authority())))
    assert (seen.greeting, seen.version, seen.protocol) == (b"hello", "TLSv1.3", "http/1.1")
    assert seen.certificate == der(tls.cert)


async def test_an_intermediate_authority_is_enough(files: Files) -> None:
    middle = files.ca.create_child_ca()
    tls = files.issue("engine", ca=middle)
    seen = await talk(listener_context(tls), upstream_context(UpstreamTls(ca=files.authority("middle", middle))))
    assert seen.greeting == b"hello"


async def test_a_client_with_a_certificate_of_the_client_authority_is_let_in(files: Files) -> None:
    tls = files.issue("proxy")
    shown = files.issue("client", "client.test")
    ca = files.authority()
    listener = listener_context(ListenerTls(tls.cert, tls.key, client_ca=ca))
    seen = await talk(listener, upstream_context(UpstreamTls(ca=ca, cert=shown.cert, key=shown.key)))
    assert seen.greeting == b"hello"


async def test_a_certificate_and_its_key_may_share_a_file(files: Files) -> None:
    tls = files.issue("proxy")
    shown = files.issue("client", "client.test")
    both = joined(files.folder / "both.pem", shown.key, shown.cert)
    ca = files.authority()
    listener = listener_context(ListenerTls(tls.cert, tls.key, client_ca=ca))
    assert (await talk(listener, upstream_context(UpstreamTls(ca=ca, cert=both)))).greeting == b"hello"


async def test_nothing_is_checked_where_verification_is_off(files: Files) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    tls = files.issue("engine", "other.test", ca=trustme.CA(), not_after=yesterday)
    assert (await talk(listener_context(tls), upstream_context(UpstreamTls(verify=False)))).greeting == b"hello"


async def test_tls_1_2_is_spoken(files: Files) -> None:
    client = upstream_context(UpstreamTls(ca=files.authority()))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await talk(listener_context(files.issue("engine")), client)).version == "TLSv1.2"


# --- what is refused --------------------------------------------------------------------------------------------------


async def refused(listener: ssl.SSLContext, client: ssl.SSLContext, why: str, name: str = NAME) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=why):
        await talk(listener, client, name)


async def test_an_authority_that_is_not_trusted_is_refused(files: Files) -> None:
    listener = listener_context(files.issue("engine", ca=trustme.CA()))
    await refused(listener, upstream_context(UpstreamTls(ca=files.authority())), "local issuer certificate")


async def test_the_systems_authorities_do_not_count_beside_the_servers_own(files: Files) -> None:
    context = upstream_context(UpstreamTls(ca=files.authority()))
    assert [entry["subject"] for entry in context.get_ca_certs()] == [
        entry["issuer"] for entry in context.get_ca_certs()
    ]
    assert len(context.get_ca_certs()) == 1


async def test_an_unknown_authority_is_refused_by_default(files: Files) -> None:
    await refused(listener_context(files.issue("engine")), upstream_context(None), "certificate")


async def test_a_self_signed_certificate_is_refused(files: Files) -> None:
    alone = trustme.CA()
    cert, key = files.folder / "alone.crt", files.folder / "alone.key"
    alone.cert_pem.write_to_path(str(cert))
    alone.private_key_pem.write_to_path(str(key))
    listener = listener_context(ListenerTls(str(cert), str(key)))
    await refused(listener, upstream_context(UpstreamTls(ca=files.authority())), "self-signed")


async def test_a_wrong_name_is_refused(files: Files) -> None:
    listener = listener_context(files.issue("engine", "other.test"))
    await refused(listener, upstream_context(UpstreamTls(ca=files.authority())), "Hostname mismatch")


async def test_an_expired_certificate_is_refused(files: Files) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    listener = listener_context(files.issue("engine", not_after=yesterday))
    await refused(listener, upstream_context(UpstreamTls(ca=files.authority())), "expired")


@pytest.mark.parametrize("foreign", [False, True], ids=["none", "foreign"])
async def test_a_client_without_the_right_certificate_is_kept_out(files: Files, foreign: bool) -> None:
    tls = files.issue("proxy")
    ca = files.authority()
    listener = listener_context(ListenerTls(tls.cert, tls.key, client_ca=ca))
    shown = files.issue("client", "client.test", ca=trustme.CA())
    client = UpstreamTls(ca=ca, cert=shown.cert, key=shown.key) if foreign else UpstreamTls(ca=ca)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await talk(listener, upstream_context(client))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_refused(files: Files) -> None:
    client = upstream_context(UpstreamTls(verify=False))
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await talk(listener_context(files.issue("engine")), client)


# --- reload -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
async def test_a_renewed_certificate_is_shown_from_the_next_handshake_on(files: Files, kind: trustme.KeyType) -> None:
    tls = files.issue("proxy", key_type=trustme.KeyType.RSA)
    client = upstream_context(UpstreamTls(ca=files.authority()))
    listener = listener_context(tls)
    first = (await talk(listener, client)).certificate
    for _ in range(2):
        files.issue("proxy", key_type=kind)
        reload_certificate(listener, tls)
        assert (await talk(listener, client)).certificate == der(tls.cert) != first


def test_a_renewed_certificate_is_shown_on_uvloop_too(files: Files) -> None:
    tls = files.issue("proxy", key_type=trustme.KeyType.RSA)
    client = upstream_context(UpstreamTls(ca=files.authority()))
    listener = listener_context(tls)
    files.issue("proxy")
    reload_certificate(listener, tls)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(talk(listener, client))
    assert (seen.certificate, seen.protocol) == (der(tls.cert), "http/1.1")


async def test_a_renewed_client_authority_counts_and_the_old_one_no_longer(files: Files) -> None:
    old, new = trustme.CA(), trustme.CA()
    pair = files.issue("proxy")
    tls = ListenerTls(pair.cert, pair.key, client_ca=files.authority("clients", old))
    listener = listener_context(tls)
    files.authority("clients", new)
    reload_certificate(listener, tls)

    def client(ca: trustme.CA, name: str) -> ssl.SSLContext:
        shown = files.issue(name, "client.test", ca=ca)
        return upstream_context(UpstreamTls(ca=files.authority(), cert=shown.cert, key=shown.key))

    assert (await talk(listener, client(new, "new"))).greeting == b"hello"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await talk(listener, client(old, "old"))


def spoil(files: Files, tls: ListenerTls, how: str) -> None:
    """Leave files behind as a careless hand, or a copy that is not finished, does."""
    if how == "mismatch":
        Path(tls.key).write_bytes(Path(files.issue("other").key).read_bytes())
    elif how == "half-written":
        Path(tls.cert).write_bytes(Path(tls.cert).read_bytes()[:300])
    elif how == "empty":
        Path(tls.key).write_bytes(b"")
    else:
        Path(tls.cert).unlink()


@pytest.mark.parametrize("how", ["mismatch", "half-written", "empty", "missing"])
async def test_files_that_cannot_be_used_change_nothing(files: Files, how: str) -> None:
    tls = files.issue("proxy")
    before = der(tls.cert)
    listener = listener_context(tls)
    spoil(files, tls, how)
    with pytest.raises(ConfigError):
        reload_certificate(listener, tls)
    seen = await talk(listener, upstream_context(UpstreamTls(ca=files.authority())))
    assert seen.certificate == before


# --- errors -----------------------------------------------------------------------------------------------------------


def problem_of(act: Callable[[], object]) -> tuple[str, str]:
    """The file and the message of the one problem."""
    with pytest.raises(ConfigError) as caught:
        act()
    (problem,) = caught.value.problems
    return Path(problem.file).name, problem.message


def test_a_missing_file_is_named(files: Files) -> None:
    tls = files.issue("proxy")
    Path(tls.key).unlink()
    assert problem_of(lambda: listener_context(tls)) == ("proxy.key", "cannot be read: No such file or directory")


def test_a_key_of_another_certificate_is_named(files: Files) -> None:
    tls = ListenerTls(files.issue("proxy").cert, files.issue("other").key)
    name, message = problem_of(lambda: listener_context(tls))
    assert name == "other.key"
    assert message == f"the private key does not belong to the certificate {tls.cert}"


def test_files_swapped_by_mistake_are_named(files: Files) -> None:
    tls = files.issue("proxy")
    swapped = ListenerTls(tls.key, tls.cert)
    assert problem_of(lambda: listener_context(swapped)) == ("proxy.key", "holds no certificate in PEM form")


def test_a_key_with_a_passphrase_is_a_problem_not_a_prompt(files: Files) -> None:
    tls = files.issue("proxy")
    Path(tls.key).write_text(PASSPHRASE_KEY)
    name, message = problem_of(lambda: listener_context(tls))
    assert (name, "passphrase" in message) == ("proxy.key", True)


def test_a_malformed_authority_is_named(files: Files) -> None:
    path = files.folder / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    name, message = problem_of(lambda: upstream_context(UpstreamTls(ca=str(path))))
    assert name == "ca.pem"
    assert message.startswith("cannot be used as a certificate authority: ")


def test_no_error_shows_what_is_in_a_key(files: Files) -> None:
    tls = files.issue("proxy")
    secret = Path(tls.key).read_text()
    Path(tls.key).write_text(secret[: len(secret) // 2] + "\n-----END EC PRIVATE KEY-----\n")
    with pytest.raises(ConfigError) as caught:
        listener_context(tls)
    assert not any(line in str(caught.value) for line in secret.splitlines()[1:] if line)
    assert caught.value.__suppress_context__


# --- several certificates on one listener -----------------------------------------------------------------------------


def shelf(**pairs: ListenerTls) -> Certificates:
    certificates = Certificates()
    assert certificates.renew(pairs) == {}
    return certificates


async def shown(certificates: Certificates, files: Files, name: str | None) -> bytes:
    """The certificate that a client is shown that asks for this name, or for none."""
    client = upstream_context(UpstreamTls(verify=False, ca=files.authority()))
    return (await talk(certificates.context, client, name or "")).certificate


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("api.example.test", "exact"),
        ("API.Example.Test", "exact"),
        ("chat.example.test", "wild"),
        ("deep.chat.example.test", "first"),
        ("example.test", "first"),
        ("other.test", "first"),
        (None, "first"),
    ],
)
async def test_a_handshake_is_shown_the_certificate_of_the_name_it_asks_for(
    files: Files, asked: str | None, expected: str
) -> None:
    pairs = {
        "first": files.issue("first", "first.test"),
        "wild": files.issue("wild", "*.example.test"),
        "exact": files.issue("exact", "api.example.test"),
    }
    assert await shown(shelf(**pairs), files, asked) == der(pairs[expected].cert)


async def test_a_name_of_two_certificates_is_that_of_the_first(files: Files) -> None:
    pairs = {"a": files.issue("a"), "b": files.issue("b")}
    assert await shown(shelf(**pairs), files, NAME) == der(pairs["a"].cert)


def test_a_certificate_is_chosen_by_name_on_uvloop_too(files: Files) -> None:
    pairs = {"a": files.issue("a", "a.test"), "b": files.issue("b", "b.test")}
    certificates = shelf(**pairs)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(shown(certificates, files, "b.test")) == der(pairs["b"].cert)


async def test_http_1_1_is_agreed_on_whichever_certificate_is_shown(files: Files) -> None:
    certificates = shelf(a=files.issue("a", "a.test"), b=files.issue("b", "b.test"))
    client = upstream_context(UpstreamTls(ca=files.authority()))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client.maximum_version = version
        assert (await talk(certificates.context, client, "b.test")).protocol == "http/1.1"


async def test_a_pair_that_is_spoilt_keeps_its_earlier_certificate_and_its_names(files: Files) -> None:
    pairs = {"a": files.issue("a", "a.test"), "b": files.issue("b", "b.test")}
    certificates = shelf(**pairs)
    before = der(pairs["b"].cert)
    renewed = files.issue("a", "a.test")
    spoil(files, pairs["b"], "half-written")
    failures = certificates.renew(pairs)
    assert list(failures) == ["b"]
    assert "b.crt" in str(failures["b"])
    assert await shown(certificates, files, "b.test") == before
    assert await shown(certificates, files, "a.test") == der(renewed.cert)


async def test_one_that_was_never_usable_is_left_out_and_one_that_is_gone_is_not_shown_on(files: Files) -> None:
    pairs = {"a": files.issue("a", "a.test"), "b": files.issue("b", "b.test")}
    spoil(files, pairs["a"], "missing")
    certificates = Certificates()
    assert list(certificates.renew(pairs)) == ["a"]
    assert ("a" in certificates, "b" in certificates) == (False, True)
    assert await shown(certificates, files, "a.test") == der(pairs["b"].cert)
    assert certificates.renew({}) == {}
    assert not certificates


async def test_without_any_certificate_there_is_no_handshake(files: Files) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shown(Certificates(), files, NAME)


def test_a_certificate_without_names_has_none_and_one_that_is_no_certificate_is_named(files: Files) -> None:
    assert certificate_names(files.authority()) == ()
    spoilt = files.folder / "spoilt.crt"
    spoilt.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=r"spoilt.crt: .*holds a certificate that cannot be read"):
        certificate_names(str(spoilt))
