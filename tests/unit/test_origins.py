"""Which host a URL names: the rule on which it hangs where a token goes."""

from __future__ import annotations

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.origins import Origin, TrustedOrigins, is_loopback, without_query


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.Example.ORG/x?y#z", Origin("https", "a.example.org", 443)),
        ("HTTPS://a.example.org:443", Origin("https", "a.example.org", 443)),
        ("https://a.example.org.:8443/", Origin("https", "a.example.org", 8443)),
        ("http://[::1]:80/", Origin("http", "::1", 80)),
    ],
)
def test_origin_is_normalised(url: str, origin: Origin):
    """Case, default port and a dot at the end make no difference."""
    assert Origin.of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "/x",
        "//a.example",
        "ftp://a.example",
        "https://",
        "https://[x",
        "https://a:99999",
        "https:a.b",
        "https://a\\b",
        "https://a b",
        "https://a\n.example",
        "https://a\tb",
        " https://a",
    ],
)
def test_what_is_no_absolute_url_has_no_origin(url: str):
    """Among them all that parsers disagree about."""
    with pytest.raises(ValueError, match=r".+"):
        Origin.of(url)


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("https", "a.example", 443), "https://a.example"),
        (Origin("https", "a.example", 8443), "https://a.example:8443"),
        (Origin("http", "::1", 80), "http://[::1]"),
    ],
)
def test_origin_is_written_as_short_as_possible(origin: Origin, text: str):
    """As it stands in messages."""
    assert str(origin) == text
    assert Origin.of(text) == origin


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "x.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host: str):
    """This machine in all its names."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.org", "127.example", "128.0.0.1", "0.0.0.0", "", "::2"])
def test_no_loopback(host: str):
    """What only looks like it."""
    assert not is_loopback(host)


OWN = TrustedOrigins.for_urls("https://own.example", ["data.example", "data.example:8443"])


@given(
    st.lists(
        st.sampled_from(
            [
                "https:",
                "http:",
                "//",
                "/",
                "\\",
                "@",
                "own.example",
                "evil.example",
                ":",
                "443",
                "?",
                "#",
                ".",
                "%2f",
                "data.example",
                "[",
                "]",
                " ",
                "\t",
                "ö",
                ";",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_urllib3_sends_a_trusted_url_nowhere_else(url: str):
    """Whatever is trusted here goes, by the parser that sends it, to a host that is trusted."""
    if url in OWN:
        assert urllib3.util.parse_url(url).host in ("own.example", "data.example", "own.example.", "data.example.")


@pytest.mark.parametrize(
    "url", ["https://data.example/x", "https://DATA.example:443", "https://data.example:8443/", "https://own.example"]
)
def test_listed_hosts_are_trusted(url: str):
    """With the port that was listed, 443 where none was."""
    assert url in OWN


def test_what_is_no_url_is_not_trusted():
    """Nor an error."""
    assert "x" not in OWN
    assert None not in OWN


def test_query_and_user_info_are_left_out():
    """They may hold what no log should."""
    assert without_query("https://me:pw@a.example:1/b?c=d#e") == "https://a.example:1/b"
