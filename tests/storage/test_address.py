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
        ("https://acct.blob.core.windows.net/ccc/", "https://acct.blob.core.windows.net/ccc"),
        (
            "https://Acct.blob.core.windows.net/c-c/a//b",
            "https://acct.blob.core.windows.net/c-c/a/b",
        ),
        (
            "http://localhost:10000/devstoreaccount1/ccc/f",
            "http://127.0.0.1:10000/devstoreaccount1/ccc/f",
        ),
    ],
)
def test_one_place_has_one_text(given, one, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
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
        ("https://acct.blob.core.windows.net/c", "names no container"),
        ("https://acct.blob.core.windows.net", "names no container"),
        ("https://acct.blob.core.windows.net:444/ccc", "no such address; use file:///"),
        ("https://example.org/ccc", "no such address; use file:///"),
        ("http://acct.blob.core.windows.net/ccc", "no such address; use file:///"),
        (
            "http://127.0.0.1:10000/ccc",
            "not Azurite's; its addresses are http://127.0.0.1:PORT/dev",
        ),
        ("https://acct.blob.core.windows.net/ccc/../x", "a folder has letters, digits"),
        ("https://acct.blob.core.windows.net:x/ccc", "no such address"),
        ("https://[acct/ccc", "no such address"),
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


@given(st.text("abc/.-_%20", max_size=30))
def test_any_path_of_a_container_is_an_address_or_an_error_of_the_option(path):
    try:
        one = check_address(f"http://127.0.0.1:1/devstoreaccount1/{path}")
    except OptionError:
        return
    assert check_address(one) == one
    assert open_store(one).address == one


def test_an_account_without_a_key_in_the_environment_is_refused(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_KEY", raising=False)
    with pytest.raises(OptionError, match=r"needs the account's key in .* AZURE_STORAGE_KEY"):
        open_store("https://acct.blob.core.windows.net/ccc")


@given(st.sampled_from(["https://h/c", "file:///d", "x"]), st.sampled_from("?;"), st.text())
def test_nothing_behind_a_mark_is_ever_shown(head, mark, tail):
    with pytest.raises(OptionError) as caught:
        check_address(f"{head}{mark}#T#{tail}#T#")
    assert "#T#" not in str(caught.value)
