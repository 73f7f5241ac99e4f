import socket

import pytest

from proxy.config.settings_spec import Listener
from proxy.runtime.sockets import BindError, bind_all, close_all, spell


def test_every_worker_has_a_socket_for_every_listener() -> None:
    listeners, rows = bind_all([Listener("127.0.0.1", 0), Listener("127.0.0.1", 0)], workers=3)
    try:
        assert [[bound.getsockname()[1] for bound in row] for row in rows] == [
            [listener.port for listener in listeners]
        ] * 3
        assert listeners[0].port != listeners[1].port
    finally:
        close_all(rows)


def test_a_port_where_another_penstock_listens_is_refused_and_named() -> None:
    listeners, rows = bind_all([Listener("127.0.0.1", 0)], workers=1)
    rows[0][0].listen()
    try:
        with pytest.raises(BindError, match=f"127.0.0.1:{listeners[0].port}: Address already in use"):
            bind_all(listeners, workers=1)
    finally:
        close_all(rows)


def test_what_was_bound_before_a_failure_is_closed() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with taken, pytest.raises(BindError):
        bind_all([Listener("127.0.0.1", port), Listener("127.0.0.1", taken.getsockname()[1])], workers=2)
    socket.create_server(("127.0.0.1", port)).close()


def test_a_name_that_leads_nowhere_is_named() -> None:
    with pytest.raises(BindError, match=r"no-such-name\.invalid:80"):
        bind_all([Listener("no-such-name.invalid", 80)], workers=1)


def test_nobody_is_let_in_before_a_worker_listens() -> None:
    listeners, rows = bind_all([Listener("127.0.0.1", 0)], workers=1)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listeners[0].port))
    finally:
        close_all(rows)


def test_an_ipv6_address_is_spelled_with_brackets() -> None:
    assert spell(Listener("::1", 8400)) == "[::1]:8400"
