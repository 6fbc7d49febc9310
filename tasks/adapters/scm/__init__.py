"""SCM's REST API in our words: `models.records` in and out, `models.errors` when it fails. Source: the SCM contract."""

from tasks.adapters.scm.client import ScmClient
from tasks.adapters.scm.credentials import ClientCertificate, Credentials, HeaderLogin, OAuth2Client, credentials_from

__all__ = ["ClientCertificate", "Credentials", "HeaderLogin", "OAuth2Client", "ScmClient", "credentials_from"]
