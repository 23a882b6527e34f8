"""What every kind of store promises, in one body (see conftest for the kinds)."""

from __future__ import annotations

import threading

import pytest

NAME = "payments/parts/0a.parquet"


def test_an_object_reads_back_as_it_was_created(store):
    assert store.create(NAME, b"one\0\xff")
    assert store.read(NAME) == b"one\0\xff"
    assert store.create("payments/empty", b"")
    assert store.read("payments/empty") == b""


def test_a_taken_name_keeps_its_first_content(store):
    assert store.create(NAME, b"first")
    assert not store.create(NAME, b"second")
    assert store.read(NAME) == b"first"


def test_what_is_absent_reads_as_none(store):
    assert store.read(NAME) is None
    assert store.stat(NAME) is None
    assert list(store.list("payments/")) == []
    store.delete(NAME)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(store):
    store.create(NAME, b"x")
    store.delete(NAME)
    store.delete(NAME)
    assert store.read(NAME) is None


def test_stat_tells_another_content_of_the_same_length(store):
    store.create(NAME, b"aaaa")
    first = store.stat(NAME)
    assert (first.length, store.stat(NAME)) == (4, first)
    store.delete(NAME)
    store.create(NAME, b"bbbb")
    assert store.stat(NAME).etag != first.etag


def test_names_are_listed_in_order_from_a_name_on_and_by_prefix(store):
    names = ["a/1", "a/10", "a/2", "a/b/1", "ab/1", "b"]
    for name in reversed(names):
        store.create(name, b"x")
    assert list(store.list("")) == sorted(names)
    assert list(store.list("a/")) == ["a/1", "a/10", "a/2", "a/b/1"]
    assert list(store.list("a")) == ["a/1", "a/10", "a/2", "a/b/1", "ab/1"]
    assert list(store.list("a/", after="a/10")) == ["a/2", "a/b/1"]
    assert list(store.list("a/1")) == ["a/1", "a/10"]


def test_an_upload_is_seen_only_once_it_is_sealed(store):
    upload = store.upload(NAME)
    assert upload.write(b"ab") == 2
    assert upload.write(bytearray(b"cd")) == 2
    assert upload.write(memoryview(b"xefx")[1:3]) == 2
    assert store.read(NAME) is None
    assert list(store.list("")) == []
    sealed = upload.seal()
    assert store.read(NAME) == b"abcdef"
    assert store.stat(NAME) == sealed
    assert sealed.address == f"{store.address}/{NAME}"
    upload.abort()
    assert store.read(NAME) == b"abcdef"


def test_an_aborted_upload_leaves_nothing(store):
    with store.upload(NAME) as upload:
        upload.write(b"x")
    upload.abort()
    assert store.read(NAME) is None
    with pytest.raises(ValueError, match="sealed or aborted"):
        upload.write(b"y")


def test_an_upload_does_not_replace_what_took_its_name_meanwhile(store):
    upload = store.upload(NAME)
    upload.write(b"late")
    store.create(NAME, b"early")
    with pytest.raises(FileExistsError):
        upload.seal()
    assert store.read(NAME) == b"early"


def test_of_many_that_create_one_name_exactly_one_wins(store):
    ready, won = threading.Barrier(8), []

    def create(i: int) -> None:
        ready.wait(10)
        if store.create(NAME, f"{i}".encode() * 1000):
            won.append(i)

    threads = [threading.Thread(target=create, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert store.read(NAME) == f"{won[0]}".encode() * 1000


@pytest.mark.parametrize("name", ["", "/a", "a/", "../a", "a/../b", ".a", "a//b", "a\nb", "a b"])
def test_names_that_lead_elsewhere_are_refused(store, name):
    for act in (store.read, store.stat, store.delete, store.upload):
        with pytest.raises(ValueError, match="can't name an object"):
            act(name)
