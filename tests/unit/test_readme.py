"""The README is held to the program: what it names exists, and what exists is in it."""

import argparse
import ast
import json
import re
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from sqlmodel import SQLModel

import models.orders
import models.reference
from deployments import __main__ as commands
from models import summaries
from models.parameters import (
    CancelParameters,
    CheckParameters,
    DeleteParameters,
    ImportParameters,
    InventoryParameters,
    OrderParameters,
    Parameters,
    PollParameters,
    RenewParameters,
    RevokeParameters,
    SyncParameters,
    checked,
)
from tasks import events
from tasks.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

PARAMETERS: dict[str, type[Parameters]] = {
    "check_account": CheckParameters, "sync_reference_data": SyncParameters, "import_orders": ImportParameters,
    "order_certificate": OrderParameters, "poll_orders": PollParameters,
    "renew_or_reissue": RenewParameters,
    "revoke": RevokeParameters, "cancel_orders": CancelParameters, "delete_orders": DeleteParameters,
    "report_inventory": InventoryParameters,
}
SUMMARIES: dict[str, type[summaries.Summary]] = {
    "check_account": summaries.AccountSummary, "sync_reference_data": summaries.SyncSummary, "import_orders": summaries.ImportSummary,
    "order_certificate": summaries.OrderSummary, "poll_orders": summaries.PollSummary,
    "renew_or_reissue": summaries.RenewSummary,
    "revoke": summaries.RevokeSummary, "cancel_orders": summaries.CancelSummary, "delete_orders": summaries.DeleteSummary,
    "report_inventory": summaries.InventorySummary,
}
assert models.orders.CertificateOrder.metadata is models.reference.Organization.metadata is SQLModel.metadata


def section(heading: str) -> str:
    """The text below a heading, up to the next one of the same or a higher level."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The rows of the Markdown tables in a text as cells, without their heads."""
    bodies = re.findall(r"^\|.*\|\n\|-.*\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for body in bodies for line in body.splitlines()]


def words(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def code_blocks() -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def curls() -> list[tuple[str, str]]:
    """Deployment and body of each curl that starts a run."""
    found: list[tuple[str, str]] = []
    for block in code_blocks():
        found += re.findall(r"\$\(deployment ([a-z-]+)\)/create_flow_run\".*?-d '(.*?)'", block, re.DOTALL)
    return found


def variables() -> dict[str, FieldInfo]:
    """Each setting under the name of its variable."""
    return {
        str(field.validation_alias) if field.validation_alias else f"CERTFLOW_{name.upper()}": field
        for name, field in Settings.model_fields.items()
    }


def test_every_setting_is_in_the_table_and_no_other_is_named() -> None:
    """DESIGN 4: every setting is documented"""
    assert {row[0].strip("`") for row in rows(section("## Settings"))} == set(variables())
    everywhere = set(re.findall(r"\b(?:CERTFLOW|VAULT)_[A-Z_]*[A-Z]\b", README))
    assert everywhere <= set(variables()), "the README names settings that do not exist"


def test_every_default_of_a_setting_is_the_one_in_the_table() -> None:
    """DESIGN 4: settings"""
    told = {row[0].strip("`"): row[1] for row in rows(section("## Settings"))}
    for variable, field in variables().items():
        default = field.default
        shown = ",".join(default) if isinstance(default, tuple) else str(default).lower() if isinstance(default, bool) else str(default)
        if isinstance(default, str | int | tuple | Path) and shown:
            assert told[variable] == f"`{shown}`", variable


@pytest.mark.parametrize("table", sorted(SQLModel.metadata.tables))
def test_every_column_is_in_the_readme(table: str) -> None:
    """DESIGN 4: the tables are documented"""
    text = section("## Tables")
    assert f"`{table}`" in text
    missing = {column.name for column in SQLModel.metadata.tables[table].columns} - words(_about(table, text))
    assert not missing


def _about(table: str, text: str) -> str:
    """What the section says of one table: its own part, or its row and what all reference tables share."""
    parts = re.split(r"^(?=\*\*`)", text, flags=re.MULTILINE)
    part = next(one for one in parts if f"**`{table}`**" in one.splitlines()[0])
    if part.startswith(f"**`{table}`**:"):
        return part
    row = next(line for line in part.splitlines() if line.startswith(f"| `{table}` |"))
    return part.splitlines()[0] + row


def test_no_column_is_named_that_does_not_exist() -> None:
    """DESIGN 4: the tables are documented"""
    known = {column.name for table in SQLModel.metadata.tables.values() for column in table.columns}
    for row in rows(section("## Tables")):
        names = words(row[1]) if row[0].strip("`") in SQLModel.metadata.tables else words(row[0])
        assert names <= known, f"no such columns: {names - known}"


@pytest.mark.parametrize("flow", PARAMETERS)
def test_every_parameter_of_a_flow_is_documented_and_no_other(flow: str) -> None:
    """DESIGN 4: flows"""
    told = {row[0].strip("`") for row in rows(section(f"### {flow}"))}
    assert told == set(signature(getattr(import_module(f"flows.{flow}"), flow).fn).parameters)


@pytest.mark.parametrize("flow", SUMMARIES)
def test_every_field_of_a_summary_is_documented(flow: str) -> None:
    """DESIGN 4: summaries"""
    assert set(SUMMARIES[flow].model_fields) <= words(section(f"### {flow}"))


def test_every_flow_has_a_section_with_a_curl_of_its_own() -> None:
    """DESIGN 4: flows"""
    files = {file.stem for file in (ROOT / "flows").glob("*.py")}
    assert files == set(PARAMETERS)
    for flow in files:
        assert f"$(deployment {flow.replace('_', '-')})/create_flow_run" in section(f"### {flow}")


def test_every_body_of_a_curl_is_accepted() -> None:
    """DESIGN 6: the flow validates its parameters"""
    given = curls()
    assert {deployment for deployment, _ in given} == {flow.replace("_", "-") for flow in PARAMETERS}
    for deployment, body in given:
        sent = json.loads(body)
        assert set(sent) == {"parameters"}
        checked(PARAMETERS[deployment.replace("-", "_")], sent["parameters"])


def test_every_command_that_is_named_exists() -> None:
    """DESIGN 4: commands"""
    parser = commands._parser()
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    told = set(re.findall(r"python -m deployments ([a-z]+)", README))
    assert told == set(choices), "the README and the program have different commands"
    for command, options in re.findall(r"python -m deployments ([a-z]+)([^\n`#]*)", README):
        for option in re.findall(r"--[a-z-]+", options):
            assert option in choices[command]._option_string_actions, f"{command} has no {option}"


def test_every_make_target_that_is_named_exists() -> None:
    """DESIGN 4: commands"""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        told = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text, re.MULTILINE))
        assert told, page
        assert told <= targets, f"{page} names targets that do not exist: {told - targets}"
    assert set(re.findall(r"^\| `make ([a-z-]+)` \|", README, re.MULTILINE)) <= targets


def test_every_file_that_is_linked_exists() -> None:
    """DESIGN 9: pages are checked against the program"""
    for page in ("README.md", "CONTRIBUTING.md", "DECISIONS.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), f"{page} links {target}"


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    """DESIGN 9: pages are checked against the program"""
    anchors = {re.sub(r"[^a-z0-9 _-]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in README.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_every_promise_has_a_test_that_exists() -> None:
    """DESIGN 1: its eleven lines, in their order; and no test of a promise is left out"""
    told = [re.fullmatch(r"\[`(\w+)`\]\((\S+)\)", row[1]) for row in rows(section("### What it promises"))]
    assert [int(row[0].split(".")[0]) for row in rows(section("### What it promises"))] == list(range(1, 12))
    named = [(found[2], found[1]) for found in told if found]
    assert [int(test.split("_")[2]) for _, test in named] == list(range(1, 12))
    for file in {file for file, _ in named}:
        there = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert {test for its, test in named if its == file} == {name for name in there if name.startswith("test_promise_")}


def test_every_event_is_told_with_the_fields_of_its_payload() -> None:
    """Issue: events for other programs"""
    text = section("## Be told of certificates")
    names = {value for name, value in vars(events).items() if name.isupper()}
    assert {row[0].strip("`") for row in rows(text) if row[0].startswith("`certflow.")} == names
    emitted = {name for file in (ROOT / "tasks").rglob("*.py") for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)
               and ast.unparse(node.func) == "events.emit" for name in (one.arg for one in node.keywords) if name}
    facts = {name for row in rows(text) if not row[0].startswith("`certflow.") for name in words(row[0])}
    assert emitted <= facts


def test_the_policies_are_shown_as_they_are() -> None:
    """DESIGN 4: one short policy suffices, and the README gives it"""
    for file in (ROOT / "deployments" / "vault-policies").glob("*.hcl"):
        assert f"```hcl\n{file.read_text()}```" in README, f"{file.name} is shown in another form"


def test_the_fields_of_a_live_entry_are_those_that_are_written() -> None:
    """RULES D1"""
    written = set(re.findall(r'"([a-z_0-9]+)": ', (ROOT / "tasks" / "delivery.py").read_text()))
    told = {row[0].strip("`") for row in rows(section("## Vault")) if "/" not in row[0]}
    assert told == written
