"""Two spellings of one address are the same address, and two addresses never are."""

from __future__ import annotations

import pytest

from inquiry_svc.intake.email_address import spelled_alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana@example.org", "Ana@Example.ORG"),
        ("ana@example.org", " ana@example.org\n"),
        ("josé@example.org", "JOSE\u0301@example.org"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@bücher.example", "ANA@XN--BCHER-KVA.EXAMPLE"),
        ("ana@bu\u0308cher.example", "ana@xn--bcher-kva.example"),
    ],
)
def test_spellings_of_one_address_are_alike(one: str, other: str) -> None:
    assert spelled_alike(one) == spelled_alike(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana@example.org", "anna@example.org"),
        ("ana@example.org", "ana@example.com"),
        ("ana@example.org", "ana+shop@example.org"),
        ("ana.b@example.org", "anab@example.org"),
        ("jose@example.org", "josé@example.org"),
        ("strasse@example.org", "straße@example.org"),
        ("ana@bücher.example", "ana@bucher.example"),
        ("ana@xn--bcher-kva.example", "ana@bcher-kva.example"),
        ("ana", "ana@example.org"),
    ],
)
def test_what_only_the_host_could_say_is_another_address(one: str, other: str) -> None:
    assert spelled_alike(one) != spelled_alike(other)


@pytest.mark.parametrize("address", ["a@xn--999999999.example", "a@xn--\u00fc.example", "@", ""])
def test_what_is_no_punycode_is_compared_as_it_stands(address: str) -> None:
    assert spelled_alike(address) == (address or "@")
