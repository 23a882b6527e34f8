"""Addresses: one text for one place, and no token is ever repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.errors import OptionError
from exactly_once_kusto.storage.address import check_address, local_path, open_object, open_store


@pytest.mark.parametrize(
    ("given", "one"),
    [
        ("file:///data/staging", "file:///data/staging"),
        ("file:///data//staging/", "file:///data/staging"),
        ("file://localhost/data/./staging", "file:///data/staging"),
        ("file:///with%20space/%C3%A4", "file:///with%20space/%C3%A4"),
        ("file:///with space/ä", "file:///with%20space/%C3%A4"),
        ("FILE:///data", "file:///data"),
    ],
)
def test_one_place_has_one_text(given, one):
    assert check_address(given) == one
    assert check_address(one) == one
    assert open_store(given).address == one


def test_an_object_is_found_again_by_its_address(tmp_path):
    store = open_store((tmp_path / "with space").as_uri())
    with store.upload("payments/parts/0a.parquet") as upload:
        upload.write(b"x")
        sealed = upload.seal()
    again, name = open_object(sealed.address)
    assert again.stat(name) == sealed
    assert local_path(sealed.address) == str(tmp_path / "with space/payments/parts/0a.parquet")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://acct.blob.core.windows.net/c", "not in this version; use file:///"),
        ("http://127.0.0.1:10000/devstoreaccount1/c", "no such address; use file:///"),
        ("s3://bucket/x", "no such address"),
        ("/data/staging", "no such address"),
        ("file://data/staging", "no such address"),
        ("file:staging", "no absolute path"),
        ("file:///a/../b", "no absolute path"),
        ("", "no such address"),
    ],
)
def test_other_addresses_are_refused_with_what_works(address, says):
    with pytest.raises(OptionError, match=says):
        check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://acct.blob.core.windows.net/c?sv=1&sig=SECRET",
        "https://acct.blob.core.windows.net/c;SECRET",
        "https://user:SECRET@acct.blob.core.windows.net/c",
        "https://user:SECRET@acct.blob.core.windows.net/c?sig=SECRET",
        "file:///data?SECRET",
        "DefaultEndpointsProtocol=https;AccountKey=SECRET",
    ],
)
def test_a_token_is_refused_and_not_repeated(address):
    with pytest.raises(OptionError) as caught:
        check_address(address)
    assert "SECRET" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_error_of_the_option(text):
    try:
        one = check_address(text)
    except OptionError:
        return
    assert check_address(one) == one
    assert open_store(text).address == one


@given(st.sampled_from(["https://h/c", "file:///d", "x"]), st.sampled_from("?;"), st.text())
def test_nothing_behind_a_mark_is_ever_shown(head, mark, tail):
    with pytest.raises(OptionError) as caught:
        check_address(f"{head}{mark}#T#{tail}#T#")
    assert "#T#" not in str(caught.value)
