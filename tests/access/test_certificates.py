"""Promises of whom a client certificate names."""

from typing import Any

import pytest

from proxy.access.certificates import certificate_identity

SUBJECT = ((("organizationName", "Example"),), (("commonName", "outer"),), (("commonName", "ada"),))


def certificate(*sans: tuple[str, str], **more: Any) -> dict[str, Any]:
    names = {"subjectAltName": sans} if sans else {}
    return {"subject": SUBJECT, "serialNumber": "0A", "notAfter": "Nov 14 22:13:20 2033 GMT", **names, **more}


@pytest.mark.parametrize(
    ("sans", "name"),
    [
        ((("DNS", "a.example"), ("URI", "spiffe://example/ada"), ("URI", "urn:x")), "spiffe://example/ada"),
        ((("IP Address", "10.0.0.1"), ("DNS", "a.example"), ("DNS", "b.example")), "a.example"),
        ((("email", "ada@example.com"),), "ada"),
        ((), "ada"),
        ((("URI", "a\nb"), ("DNS", "x" * 300)), "ada"),
    ],
)
def test_a_uri_names_the_caller_before_a_host_and_that_before_a_common_name(
    sans: tuple[tuple[str, str], ...], name: str
) -> None:
    identity = certificate_identity(certificate(*sans))
    assert identity is not None
    assert identity.id == name


def test_conditions_see_its_subject_its_names_and_its_number() -> None:
    identity = certificate_identity(certificate(("DNS", "a.example"), ("URI", "urn:x")))
    assert identity is not None
    names = ["a.example", "urn:x"]
    assert identity.data == {"id": "urn:x", "subject": "ada", "sans": names, "serial": "0A"}
    assert (identity.method, identity.source, identity.expires) == ("certificate", "certificate", 2_015_619_200.0)


def test_one_that_names_nobody_is_nobody() -> None:
    assert certificate_identity({"subject": ((("commonName", "\x00"),),)}) is None
    assert certificate_identity({}) is None
