"""What becomes of an order, a renewal and a reissue under every fault of the call that makes it (RULES E1 to E5).

Through the real flows, on a real database, against a sandbox that really does, or does not do, what it then says nothing about. Whatever
happens, SCM takes it exactly once in the end.
"""

from typing import Any

import pytest

from flows.check_account import check_account
from models.errors import CertflowError, LoginError, NotFoundError, RejectedError, RightsError

PLANNED, IN_DOUBT, REFUSED = "planned", "submitting", "refused"
TAKEN, NOT_TAKEN = 1, 0


def status(number: int, body: Any = "", **more: Any) -> dict[str, Any]:
    return {"kind": "status", "status": number, "body": body, **more}


def code(number: int, **more: Any) -> dict[str, Any]:
    return status(400, {"code": number, "description": "SCM's own words"}, **more)


FAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    # what happens                               how it is made                                        how the order stands, what SCM did
    "hung up before it was taken":               ({"kind": "drop"},                                     IN_DOUBT, NOT_TAKEN),
    "hung up after it was taken":                ({"kind": "lost"},                                     IN_DOUBT, TAKEN),
    "no answer in time, taken":                  ({"kind": "lost", "seconds": 0.7},                     IN_DOUBT, TAKEN),
    "no answer in time, not taken":              ({"kind": "drop", "seconds": 0.7},                     IN_DOUBT, NOT_TAKEN),
    "answer cut off":                            ({"kind": "truncate"},                                 IN_DOUBT, TAKEN),
    "200 with nothing":                          ({"kind": "empty"},                                    IN_DOUBT, NOT_TAKEN),
    "200 with a page, taken":                    (status(200, "<html>", processed=True),                IN_DOUBT, TAKEN),
    "200 with a page":                           (status(200, "<html>"),                                IN_DOUBT, NOT_TAKEN),
    "200 without a number":                      (status(200, {"sslId": None}),                         IN_DOUBT, NOT_TAKEN),
    "500":                                       (status(500),                                          IN_DOUBT, NOT_TAKEN),
    "500, taken":                                (status(500, processed=True),                          IN_DOUBT, TAKEN),
    "502 with HTML":                             ({"kind": "html", "status": 502},                      IN_DOUBT, NOT_TAKEN),
    "502 with HTML, taken":                      (status(502, "<html>", processed=True),                IN_DOUBT, TAKEN),
    "503":                                       (status(503),                                          IN_DOUBT, NOT_TAKEN),
    "504, taken":                                (status(504, processed=True),                          IN_DOUBT, TAKEN),
    "302":                                       (status(302, headers={"Location": "/login"}),          IN_DOUBT, NOT_TAKEN),
    "409":                                       (status(409),                                          IN_DOUBT, NOT_TAKEN),
    "409, taken":                                (status(409, processed=True),                          IN_DOUBT, TAKEN),
    "400 without a code":                        (status(400),                                          IN_DOUBT, NOT_TAKEN),
    "400 unknown code":                          (code(-99999),                                         IN_DOUBT, NOT_TAKEN),
    "400 temporary":                             (code(-1),                                             IN_DOUBT, NOT_TAKEN),
    "400 temporary, taken":                      (code(-1, processed=True),                             IN_DOUBT, TAKEN),
    "400 not ready yet":                         (code(0),                                              IN_DOUBT, NOT_TAKEN),
    "400 not ready yet, taken":                  (code(-183, processed=True),                           IN_DOUBT, TAKEN),
    "401":                                       (status(401, {"code": -16, "description": "no"}),      PLANNED,  NOT_TAKEN),
    "403":                                       (status(403, "<html>"),                                PLANNED,  NOT_TAKEN),
    "429":                                       ({"kind": "too_many", "seconds": 0},                   PLANNED,  NOT_TAKEN),
    "429 for an hour":                           ({"kind": "too_many", "seconds": 3600},                PLANNED,  NOT_TAKEN),
    "404":                                       (status(404),                                          REFUSED,  NOT_TAKEN),
    "400 login":                                 (code(-970),                                           REFUSED,  NOT_TAKEN),
    "400 permission":                            (code(-3),                                             REFUSED,  NOT_TAKEN),
    "400 account":                               (code(-993),                                           REFUSED,  NOT_TAKEN),
    "400 input: request":                        (code(-36),                                            REFUSED,  NOT_TAKEN),
    "400 input: CSR and key":                    (code(-170),                                           REFUSED,  NOT_TAKEN),
    "400 domain not ready":                      (code(-737),                                           REFUSED,  NOT_TAKEN),
    "400 not found":                             (code(-123),                                           REFUSED,  NOT_TAKEN),
    "400 state conflict":                        (code(-130),                                           REFUSED,  NOT_TAKEN),
    "400 four eyes":                             (code(-1140),                                          REFUSED,  NOT_TAKEN),
    "400 unknown format":                        (code(-126),                                           REFUSED,  NOT_TAKEN),
}
ELSEWHERE = {
    ("reissue", "answer cut off"): ({"kind": "truncate"}, "submitted", TAKEN),    # its 204 has no body that could be cut off
}
RAISES = {
    "401": LoginError, "403": RightsError, "404": NotFoundError, "400 login": LoginError, "400 permission": RightsError,
    "400 not found": NotFoundError,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["enroll", "renew", "reissue"])
def test_what_scm_is_asked_for_stands_as_the_rules_say_and_is_taken_once_in_the_end(
    kind: str, fault: str, lasting: Any, is_for_a_person: Any,
) -> None:
    """RULES E1 to E5, S1"""
    what, stands, did = ELSEWHERE.get((kind, fault)) or FAULTS[fault]
    asked = lasting.asking(kind)
    lasting.sandbox.forget_calls()
    lasting.sandbox.fault(**what, route=asked.route, count=1)
    refused: CertflowError | None = None
    try:
        asked.ask()
    except CertflowError as error:
        refused = error
    lasting.sandbox.clear()
    assert asked.submission().status == stands, refused
    assert asked.taken() == did
    assert lasting.sandbox.calls()[f"POST {asked.route}"] == 1
    if refused is not None:
        is_for_a_person(refused)
    for text in asked.said():
        is_for_a_person(text)
    assert (refused is not None) == (stands == REFUSED or fault in RAISES), refused
    if kind == "enroll" and stands == REFUSED:    # of renewals the run tells what failed, as one of a batch
        assert type(refused) is RAISES.get(fault, RejectedError)
    if RAISES.get(fault) is LoginError:    # the account is stopped, whoever asks
        before = sum(lasting.sandbox.calls().values())
        with pytest.raises(LoginError):
            lasting.asking("enroll").ask()
        assert sum(lasting.sandbox.calls().values()) == before
        check_account.fn()    # by hand
    if stands == REFUSED:
        return
    if fault == "429 for an hour":
        before = sum(lasting.sandbox.calls().values())
        other = lasting.asking("enroll")
        other.ask()
        assert other.submission().status == PLANNED
        assert sum(lasting.sandbox.calls().values()) == before    # nobody calls until then
        lasting.forget_pause()
    asked.poll(lambda: asked.submission().status in {"submitted", "done"})
    assert asked.taken() == 1
