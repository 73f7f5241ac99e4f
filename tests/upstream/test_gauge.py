"""Promises of the gauges of a worker that is alone."""

from proxy.upstream.gauge import LocalGauge, LocalGauges


def test_a_gauge_is_the_sum_of_what_was_added() -> None:
    gauge = LocalGauge()
    gauge.add(3)
    gauge.add(-1)
    assert (gauge.own, gauge.total(), repr(gauge)) == (2, 2, "<LocalGauge 2>")


def test_a_key_has_one_gauge() -> None:
    gauges = LocalGauges()
    assert gauges("a") is gauges("a")
    assert gauges("a") is not gauges("b")
