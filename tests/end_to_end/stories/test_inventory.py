"""report_inventory: what it says of an account, and that it asks SCM nothing."""

import csv
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from flows.import_orders import import_orders
from flows.report_inventory import report_inventory
from models.errors import InputError, SetupError
from models.orders import CertificateOrder, Revocation
from models.parameters import InventoryParameters
from models.reference import Domain, Organization
from models.spreadsheet import HEAD
from tasks.inventory import looking, writing
from tasks.inventory.page import Inventory, page
from tasks.services import open_services


def page_of(**filters):
    """The page as a run leaves it."""
    wish = InventoryParameters(**filters)
    wanted = looking.chosen(wish)
    file, tally = writing.write(wanted)
    return page(Inventory(
        wish=wish, now=wanted.now, seen=looking.look(wanted), tally=tally, ahead=looking.look_ahead(wanted), keys=looking.keys_of_nothing(),
        switch="not known", findings=(), file=file,
    ))


def cells(file):
    with Path(file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def delivered(synced, order):
    """One order of ours that is delivered."""
    order("ours.example.com")
    synced.deliver("ours.example.com")
    return synced


def test_the_counts_agree_with_scm_and_nothing_is_asked_of_it(delivered) -> None:
    """DESIGN 4, RULES R1"""
    import_orders.fn()
    truth = delivered.sandbox.orders()
    delivered.sandbox.forget_calls()
    summary = report_inventory.fn()
    assert delivered.calls() == 0
    stored = len([row for row in cells(summary.file) if row["not_before"]])
    assert (summary.orders, summary.certificates) == (len(truth), stored)
    assert summary.waiting == sum(one["status"] in {"Requested", "SA Approved"} for one in truth)
    assert 0 < summary.strangers < summary.orders
    assert (summary.in_doubt, summary.held, summary.keys_of_nothing, summary.renewal_schedule) == (0, 0, 0, "not known")


def test_the_file_is_private_whole_and_one_for_each_run(delivered) -> None:
    """DESIGN 4: summary field `file`"""
    first, second = Path(report_inventory.fn().file), Path(report_inventory.fn().file)
    assert first != second
    assert first.name.startswith("inventory-default-")
    assert first.parent == second.parent == delivered.home / "reports"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (first.parent, first, second)] == [0o700, 0o600, 0o600]
    assert sorted(first.parent.iterdir()) == [first, second]
    rows = cells(first)
    assert tuple(rows[0]) == HEAD
    ours = [row for row in rows if row["common_name"] == "ours.example.com"]
    assert [(row["origin"], row["living"], row["live_name"], row["organization"]) for row in ours] == [
        ("ordered", "yes", "ours.example.com", "Example University"),
    ]
    assert ours[0]["order_id"] == str(delivered.order("ours.example.com").id)


def test_a_file_that_cannot_be_written_leaves_nothing(delivered) -> None:
    """A report is complete or not there at all."""
    (delivered.home / "reports").write_text("in the way")
    with pytest.raises(SetupError, match="the report cannot be written below"):
        report_inventory.fn()
    (delivered.home / "reports").unlink()
    with pytest.raises(ZeroDivisionError), writing._complete_or_absent(delivered.home / "reports" / "x.csv") as out:
        out.write(str(1 / 0))
    assert list((delivered.home / "reports").iterdir()) == []


def test_a_formula_of_scm_is_a_text(delivered) -> None:
    """Formula injection, quotes, line breaks"""
    with delivered.changed(CertificateOrder, delivered.order("ours.example.com").id) as row:
        row.requester, row.waiting_because = '=HYPERLINK("https://example.net")', "+a\nb"
    text = Path(report_inventory.fn(name="ours.").file).read_text()
    assert "\"'=HYPERLINK(\"\"https://example.net\"\")\"" in text
    assert "\"'+a b\"" in text


@pytest.mark.parametrize(("filters", "fits"), [
    ({"name": "OURS.exa"}, 1), ({"name": "*ours"}, 0), ({"name": "ours.", "statuses": ["issued"]}, 1),
    ({"name": "ours.", "statuses": ["revoked"]}, 0),
    ({"name": "ours.", "organization": "example university"}, 1),
    ({"name": "ours.", "organization": "Example Archive"}, 0),
    ({"name": "ours.", "expiring_within_days": 3650}, 1), ({"name": "ours.", "expiring_within_days": 1}, 0),
    ({"name": "ours.", "issuer": "nobody"}, 0),
    ({"name": "ours.", "issuer": "issuing ca"}, 1),
])
@pytest.mark.usefixtures("delivered")
def test_everything_is_under_the_filters(filters, fits) -> None:
    """DESIGN 4"""
    summary = report_inventory.fn(**filters)
    assert (summary.orders, summary.certificates, len(cells(summary.file)), summary.strangers) == (fits, fits, fits, 0)


def test_an_organization_includes_its_departments_and_an_unknown_one_is_refused(delivered) -> None:
    """RULES N5"""
    department = next(one for one in delivered.rows(Organization) if one.parent_name == "Example University")
    with delivered.changed(CertificateOrder, delivered.order("ours.example.com").id) as row:
        row.organization_id = department.id
    assert report_inventory.fn(organization="Example University").orders == 1
    assert report_inventory.fn(organization=f"Example University / {department.name}").orders == 1
    with pytest.raises(InputError, match="organization 'Nobody' is unknown"):
        report_inventory.fn(organization="Nobody")


def test_what_stands_in_the_way_of_a_renewal_is_said_ahead_of_time(delivered) -> None:
    """RULES R7"""
    assert report_inventory.fn(name="ours.").will_fail == 0
    domains = [row for row in delivered.rows(Domain) if row.name.removeprefix("*.") == "example.com"]
    for one in domains:
        with delivered.changed(Domain, ("default", one.id)) as row:
            row.validation_expires_on = (datetime.now(UTC) + timedelta(days=10)).date()
    assert report_inventory.fn(name="ours.").will_fail == 1
    said = page_of(name="ours.")
    assert "its validation (DCV) ends on" in said
    assert "To be mended by: domain owner. For example ours.example.com." in said
    assert "## Renewals per week" in said


def test_an_order_in_doubt_is_listed_with_the_command_that_decides(synced, order) -> None:
    """RULES E7"""
    synced.sandbox.lose_next_answer("enroll")
    order("lost.example.com")
    summary = report_inventory.fn()
    assert (summary.in_doubt, summary.orders) == (1, 1)
    said = page_of()
    assert "`python -m deployments settle ORDER`" in said
    assert said.index("lost.example.com") < said.index("## Counts by status")


def test_revocations_that_are_overdue_come_first(delivered) -> None:
    """RULES V3"""
    now, order_id = datetime.now(UTC), delivered.order("ours.example.com").id
    with open_services() as svc, svc.store.transaction() as session:
        session.add(Revocation(
            account="default", order_id=order_id, reason_code=1, reason="lost", due_at=now - timedelta(hours=1), created_at=now - timedelta(hours=2),
        ))
    assert report_inventory.fn().overdue == 1
    assert "overdue, due since" in page_of().partition("## Needs somebody")[0]


def test_a_key_that_belongs_to_nothing_is_named(delivered) -> None:
    """RULES K1: keys are written after their submission"""
    stranger = str(uuid4())
    delivered.vault.secrets.kv.v2.create_or_update_secret(f"certflow/keys/{stranger}", secret={"private_key": "invented"})
    assert report_inventory.fn(name="nothing fits").keys_of_nothing == 1
    assert f"keys/{stranger}" in page_of(name="nothing fits").replace("\\", "")


def test_without_vault_the_inventory_says_what_it_does_not_know(delivered, monkeypatch) -> None:
    """A report must not need what is away."""
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:9")
    delivered.restart()
    summary = report_inventory.fn()
    assert (summary.keys_of_nothing, summary.orders > 0) == (None, True)
    assert "Not known:" in page_of()


@pytest.mark.usefixtures("world")
def test_an_empty_account_has_an_inventory_too() -> None:
    """Before any import"""
    summary = report_inventory.fn()
    assert (summary.orders, summary.certificates, cells(summary.file)) == (0, 0, [])
    assert "Nothing." in page_of()
