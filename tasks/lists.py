"""Orders by list and details, one call for each: the way out where the report does not hold them (RULES S3)."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

from models.errors import CertflowError, NotFoundError, ThrottledError
from models.records import OrderRecord
from tasks.adapters.scm import ScmClient
from tasks.batches import stop_in, together

BATCH = 200


def read(
    scm: ScmClient, wanted: Callable[[Sequence[int]], Sequence[int]], store: Callable[[Sequence[OrderRecord]], None], *, at_once: int,
    unreadable: Callable[[str], None], above: int = 0, finished: Callable[[int], None] = lambda _ssl_id: None,
) -> list[str]:
    """Read the details of those listed orders that `wanted` picks, the lowest id first; a sentence for each that could not be read.

    `finished` gets the id up to which all is stored; `above` is where one that was killed had come. Raises: as `details`, and as the SCM
    client for the list.
    """
    listed = sorted(item.ssl_id for item in scm.listed())
    problems: list[str] = []
    for first in range(bisect_right(listed, above), len(listed), BATCH):
        batch = listed[first:first + BATCH]
        problems += details(scm, wanted(batch), store, at_once=at_once, unreadable=unreadable)
        if not problems:
            finished(batch[-1])
    return problems


def details(
    scm: ScmClient, ids: Sequence[int], store: Callable[[Sequence[OrderRecord]], None], *, at_once: int, unreadable: Callable[[str], None]
) -> list[str]:
    """Read and store the details of orders; a sentence for each that could not be read. One that is gone is no problem.

    Raises: LoginError, SetupError, ThrottledError; and when several are asked for and all fail.
    """
    answers = together(partial(scm.details, unreadable=unreadable, patient=False), ids, at_once=at_once)
    if (stop := stop_in(answers)) is not None:
        raise stop
    store([one for one in answers if isinstance(one, OrderRecord)])
    failed = {
        id_: one for id_, one in zip(ids, answers, strict=True) if isinstance(one, CertflowError) and not isinstance(one, NotFoundError)
    }
    for error in failed.values():
        if len(failed) == len(ids) > 1 or isinstance(error, ThrottledError):
            raise error
    return [f"order {id_}: {error}" for id_, error in failed.items()]
