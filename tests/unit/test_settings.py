"""The environment: every setting, its default, and a sentence for what cannot be used."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.errors import SetupError
from tasks.settings import Settings, settings

SECRET = "hunter2"


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Settings]]:
    """The settings of an environment that holds these variables and no other of ours."""
    names = [field.validation_alias or f"CERTFLOW_{name.upper()}" for name, field in Settings.model_fields.items()]
    for name in names:
        monkeypatch.delenv(str(name), raising=False)

    def read(**variables: str) -> Settings:
        settings.cache_clear()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return settings()

    yield read
    settings.cache_clear()


def test_an_empty_environment_has_the_documented_defaults(set_to: Callable[..., Settings]) -> None:
    """DESIGN 4"""
    found = set_to()
    assert found.home == Path.home() / ".certflow"
    assert found.database == f"sqlite:///{Path.home()}/.certflow/certflow.db"
    assert (found.certificate_limit, found.grace_seconds, found.scm_concurrency, found.scm_rate) == (None, 900, 8, None)
    assert (found.accounts, found.timezone, found.ui_port, found.private_profiles) == (("default",), "UTC", 4200, ())
    assert (found.require_requested_by, found.vault_mount, found.vault_prefix) == (False, "secret", "certflow")


def test_every_setting_is_read(set_to: Callable[..., Settings]) -> None:
    """DESIGN 4"""
    found = set_to(
        CERTFLOW_HOME="~/elsewhere", CERTFLOW_DATABASE_URL="postgresql://certflow@127.0.0.1/certflow", CERTFLOW_CERTIFICATE_LIMIT="0",
        CERTFLOW_GRACE_SECONDS="0.5", CERTFLOW_SCM_CONCURRENCY="1", CERTFLOW_SCM_RATE="2.5", CERTFLOW_ACCOUNTS=" default, second ,,default",
        CERTFLOW_TIMEZONE="Europe/Berlin", CERTFLOW_UI_PORT="8080", CERTFLOW_PRIVATE_PROFILES="Private CA, 17", CERTFLOW_REQUIRE_REQUESTED_BY="true",
        CERTFLOW_VAULT_MOUNT="kv", CERTFLOW_VAULT_PREFIX="team/certflow", VAULT_ADDR="https://vault.example.com", VAULT_TOKEN=SECRET,
        VAULT_ROLE_ID="role", VAULT_SECRET_ID=SECRET, VAULT_NAMESPACE="team", VAULT_CACERT="/etc/ssl/ca.pem",
    )
    assert (found.home, found.database) == (Path.home() / "elsewhere", "postgresql://certflow@127.0.0.1/certflow")
    assert (found.certificate_limit, found.grace_seconds, found.scm_concurrency, found.scm_rate) == (0, 0.5, 1, 2.5)
    assert (found.accounts, found.timezone, found.ui_port) == (("default", "second"), "Europe/Berlin", 8080)
    assert (found.private_profiles, found.require_requested_by) == (("Private CA", "17"), True)
    assert (found.vault_mount, found.vault_prefix, found.vault_addr) == ("kv", "team/certflow", "https://vault.example.com")
    assert (found.vault_token.get_secret_value(), found.vault_secret_id.get_secret_value()) == (SECRET, SECRET)
    assert (found.vault_role_id, found.vault_namespace, found.vault_cacert) == ("role", "team", "/etc/ssl/ca.pem")


def test_a_limit_and_a_rate_that_are_left_empty_are_none(set_to: Callable[..., Settings]) -> None:
    """DESIGN 4: as an environment file writes "none"."""
    found = set_to(CERTFLOW_CERTIFICATE_LIMIT="", CERTFLOW_SCM_RATE="", CERTFLOW_PRIVATE_PROFILES="", CERTFLOW_DATABASE_URL="")
    assert (found.certificate_limit, found.scm_rate, found.private_profiles) == (None, None, ())
    assert found.database.startswith("sqlite:///")


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("CERTFLOW_HOME", "", "CERTFLOW_HOME is empty"),
    ("CERTFLOW_HOME", "~nobody-of-that-name/x", "CERTFLOW_HOME names a user whose home is not known"),
    ("CERTFLOW_CERTIFICATE_LIMIT", "-1", "CERTFLOW_CERTIFICATE_LIMIT should be greater than or equal to 0"),
    ("CERTFLOW_CERTIFICATE_LIMIT", SECRET, "CERTFLOW_CERTIFICATE_LIMIT should be a valid integer, unable to parse string as an integer"),
    ("CERTFLOW_GRACE_SECONDS", "nan", "CERTFLOW_GRACE_SECONDS should be a finite number"),
    ("CERTFLOW_GRACE_SECONDS", "inf", "CERTFLOW_GRACE_SECONDS should be a finite number"),
    ("CERTFLOW_GRACE_SECONDS", "-1", "CERTFLOW_GRACE_SECONDS should be greater than or equal to 0"),
    ("CERTFLOW_SCM_CONCURRENCY", "0", "CERTFLOW_SCM_CONCURRENCY should be greater than or equal to 1"),
    ("CERTFLOW_SCM_CONCURRENCY", "65", "CERTFLOW_SCM_CONCURRENCY should be less than or equal to 64"),
    ("CERTFLOW_SCM_RATE", "0", "CERTFLOW_SCM_RATE should be greater than 0"),
    ("CERTFLOW_ACCOUNTS", " , ", "CERTFLOW_ACCOUNTS names no account"),
    ("CERTFLOW_ACCOUNTS", "default,../x", "CERTFLOW_ACCOUNTS must be account names of lower-case letters, digits, - and _, with commas in between"),
    ("CERTFLOW_TIMEZONE", "Europe/Nowhere", "CERTFLOW_TIMEZONE is no time zone name such as Europe/Berlin"),
    ("CERTFLOW_TIMEZONE", "/etc/passwd", "CERTFLOW_TIMEZONE is no time zone name such as Europe/Berlin"),
    ("CERTFLOW_TIMEZONE", "Europe", "CERTFLOW_TIMEZONE is no time zone name such as Europe/Berlin"),
    ("CERTFLOW_TIMEZONE", "", "CERTFLOW_TIMEZONE is no time zone name such as Europe/Berlin"),
    ("CERTFLOW_UI_PORT", "65536", "CERTFLOW_UI_PORT should be less than or equal to 65535"),
    ("CERTFLOW_REQUIRE_REQUESTED_BY", SECRET, "CERTFLOW_REQUIRE_REQUESTED_BY should be a valid boolean, unable to interpret input"),
])
def test_what_cannot_be_used_is_named_without_its_value(set_to: Callable[..., Settings], name: str, value: str, sentence: str) -> None:
    """DESIGN 8.2: a person must act, and a secret may stand in the wrong variable."""
    with pytest.raises(SetupError) as refused:
        set_to(**{name: value})
    assert str(refused.value) == f"the settings cannot be used: {sentence}"
    assert SECRET not in str(refused.value)


def test_all_wrong_variables_are_named_at_once(set_to: Callable[..., Settings]) -> None:
    """RULES C1, for the one who sets it up."""
    with pytest.raises(SetupError, match=r"CERTFLOW_UI_PORT .*; CERTFLOW_TIMEZONE |CERTFLOW_TIMEZONE .*; CERTFLOW_UI_PORT "):
        set_to(CERTFLOW_UI_PORT="x", CERTFLOW_TIMEZONE="x")


def test_settings_show_no_secret_and_do_not_change(set_to: Callable[..., Settings]) -> None:
    """DESIGN 6"""
    found = set_to(VAULT_TOKEN=SECRET, VAULT_SECRET_ID=SECRET, CERTFLOW_DATABASE_URL=f"postgresql://certflow:{SECRET}@127.0.0.1/certflow")
    assert SECRET not in repr(found)
    assert SECRET not in str(found)
    with pytest.raises(ValueError, match="frozen"):
        found.ui_port = 1
