"""Promises of who is known."""

from proxy.access.identity import CERTIFICATE, Identity, united
from proxy.config.access_spec import Counted, JwtAuth, Limit

ADA = Identity("ada", "key", "/etc/keys.yaml", {"id": "ada", "email": "ada@example.com"}, expires=100.0)
TOKEN = Identity("sub-1", "jwt", JwtAuth("https://issuer"), {}, expires=50.0)


def test_an_identity_is_shown_without_what_is_known_of_it() -> None:
    assert repr(ADA) == "<Identity 'ada' by key>"


def test_limits_by_user_take_the_id_where_no_user_is_named() -> None:
    assert ADA.user == "ada"
    assert Identity("ada", "key", "/k", {}, user="team").user == "team"


def test_all_sources_that_vouch_for_a_request_count_and_the_first_one_names_the_caller() -> None:
    both = united([TOKEN, ADA])
    assert both is not None
    assert (both.id, both.expires) == ("sub-1", 50.0)
    assert both.vouched_by(JwtAuth("https://issuer"))
    assert both.vouched_by("/etc/keys.yaml")
    assert not both.vouched_by(CERTIFICATE)
    assert not both.vouched_by(JwtAuth("https://other"))


def test_what_several_vouch_for_ends_when_the_first_of_them_does() -> None:
    other_way = united([ADA, TOKEN])
    assert other_way is not None
    assert (other_way.id, other_way.expires) == ("ada", 50.0)


def test_nobody_is_united_to_nobody() -> None:
    assert united([]) is None
    assert united([ADA]) is ADA


def test_a_model_must_be_one_that_each_of_them_may_use() -> None:
    some = Identity("ada", "key", "/a", {}, models=("small", "medium"))
    others = Identity("ada", "key", "/b", {}, models=("medium", "large"))
    every = Identity("ada", "certificate", CERTIFICATE, {})
    for identities, expected in (
        ([some, others], [False, True, False]),
        ([every, some], [True, True, False]),
        ([some, every], [True, True, False]),
    ):
        known = united(identities)
        assert known is not None
        assert known.permits is not None
        assert [known.permits(model) for model in ("small", "medium", "large")] == expected
    known = united([every, every])
    assert known is not None
    assert known.permits is None


def test_of_a_key_in_two_files_the_limits_of_both_hold() -> None:
    one, two = Limit(Counted.REQUESTS, 1), Limit(Counted.REQUESTS, 2)
    some, others = Identity("ada", "key", "/a", {}, limits=(one,)), Identity("ada", "key", "/b", {}, limits=(one, two))
    known = united([some, others])
    assert known is not None
    assert known.limits == (one, two)
    known = united([others, some])
    assert known is not None
    assert known.limits is others.limits
