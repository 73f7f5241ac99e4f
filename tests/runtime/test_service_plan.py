from proxy.config.settings_spec import Listener, ListenerTls, Settings
from proxy.config.spec import Config, ModelServer, ServiceListener
from proxy.runtime.service_plan import (
    ServicePort,
    plan_services,
    secret_pair,
    service_certificates,
    service_hosts,
)


def server(name: str, port: int, secret: str | None = None) -> ModelServer:
    return ModelServer(name, (), listener=ServiceListener(port, secret))


def test_the_servers_of_a_port_share_it() -> None:
    servers = [server("a", 443, "x/a"), server("b", 80), server("c", 443, "x/c"), ModelServer("d", ())]
    config = Config({server.name: server for server in servers}, ())
    assert plan_services(config) == (
        ServicePort(80, (("b", None),)),
        ServicePort(443, (("a", "x/a"), ("c", "x/c"))),
    )


def test_a_port_speaks_tls_where_one_of_its_servers_wants_it() -> None:
    port = ServicePort(443, (("a", None), ("b", "x/b"), ("c", "x/b")))
    assert (port.secure, port.secrets, port.users_of("x/b")) == (True, ("x/b",), ("b", "c"))
    assert not ServicePort(80, (("a", None),)).secure


def test_a_secret_is_laid_out_as_kubernetes_mounts_it() -> None:
    assert secret_pair("/secrets", "prod/web") == ListenerTls("/secrets/prod/web/tls.crt", "/secrets/prod/web/tls.key")
    assert secret_pair(None, "prod/web") is None


def test_all_files_of_certificates_are_known_for_watching() -> None:
    ports = [ServicePort(443, (("a", "x/a"), ("b", "x/a")))]
    assert list(service_certificates("/s", ports)) == ["/s/x/a/tls.crt", "/s/x/a/tls.key"]
    assert list(service_certificates(None, ports)) == []


def test_services_listen_where_the_proxy_does() -> None:
    settings = Settings(listeners=(Listener("0.0.0.0", 80), Listener("127.0.0.1", 81), Listener("0.0.0.0", 82)))
    assert service_hosts(settings) == ("0.0.0.0", "127.0.0.1")
