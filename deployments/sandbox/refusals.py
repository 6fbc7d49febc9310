"""What SCM answers when it refuses: a status, a code and a sentence (contract 3 and 4)."""

NOT_READY_TEXTS = {
    0: "Being processed by Sectigo",
    -183: "The certificate is not collectable in its present state.",
    -1400: "The certificate request is being processed.",
}


class RefusedError(Exception):
    """SCM refuses a call."""

    def __init__(self, code: int, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status


def invalid(field: str) -> RefusedError:
    """A length or a pattern is wrong. The code is a choice of this sandbox (contract 8)."""
    return RefusedError(-1601, f"Field '{field}' has invalid value.")


def missing(field: str) -> RefusedError:
    return RefusedError(-7, f"{field} is required but missing.")


def unreadable() -> RefusedError:
    return RefusedError(-1002, "Cannot parse message body")


def unknown_certificate(ssl_id: object, *, status: int = 404) -> RefusedError:
    """404 for GET and DELETE, 400 for POST (contract 8)."""
    return RefusedError(-124, f"Wrong SSL certificate id {ssl_id}.", status=status)


def forbidden(what: str) -> RefusedError:
    """A missing right arrives as HTTP 400 (contract 9, quirk 7)."""
    return RefusedError(-3, f"You are not authorized to perform {what}.")


def not_ready(code: int) -> RefusedError:
    return RefusedError(code, NOT_READY_TEXTS.get(code, "The certificate is not ready."))
