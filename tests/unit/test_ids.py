"""Ids of our rows."""

import os
from uuid import RFC_4122, UUID

from models.ids import new_id


def test_ids_are_uuids_whose_beginning_is_the_moment() -> None:
    """RFC 9562 5.7, 6.2: what is made later sorts behind, and no two are alike."""
    ids = [new_id() for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    moments = [one.int >> 64 for one in ids]
    assert moments == sorted(moments)


def test_processes_that_were_forked_make_different_ids() -> None:
    """RULES E1: a submission's id is its marker"""
    new_id()
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, new_id().bytes)
        os._exit(0)
    other = UUID(bytes=os.read(out, 16))
    os.wait()
    os.close(out)
    os.close(into)
    assert other.int & (1 << 62) - 1 != new_id().int & (1 << 62) - 1
