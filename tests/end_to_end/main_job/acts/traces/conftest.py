"""A search for secrets in whatever processes leave behind."""

import base64
import binascii
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Search:
    """Looks for secrets in files and databases, whole or packed: text without line breaks, Base64 in any alignment, hex, DER, zlib, gzip."""

    def __init__(self) -> None:
        self._wanted: dict[bytes, str] = {}

    def add_text(self, name: str, text: str) -> None:
        """A password or token."""
        assert len(text) >= 8, f"{name} is too short to be searched for"
        self._add(name, text.encode())

    def add_key(self, name: str, pem: str) -> None:
        """A private key: its secret numbers, wherever they stand; the public ones stand in every certificate."""
        key = load_pem_private_key(pem.encode(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            secrets = [key.private_numbers().private_value]
        else:
            assert isinstance(key, rsa.RSAPrivateKey)
            numbers = key.private_numbers()
            secrets = [numbers.d, numbers.p, numbers.q]
        for number in secrets:
            self._add(name, number.to_bytes((number.bit_length() + 7) // 8, "big"))
            self._wanted[str(number).encode()] = name

    def _add(self, name: str, secret: bytes) -> None:
        self._wanted[secret] = name
        self._wanted[secret.hex().encode()] = name
        for before in range(3):    # Base64 of a longer text in which the secret begins at any place
            text = base64.b64encode(b"\0" * before + secret)
            inner = text[-(-8 * before // 6):-4]
            self._wanted |= {inner: name, inner.translate(bytes.maketrans(b"+/", b"-_")): name}

    def found_in(self, folder: Path) -> list[str]:
        """`file: secret` for everything found in the files below a folder; of SQLite databases each cell is searched too."""
        found: set[str] = set()
        for file in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
            with suppress(FileNotFoundError):
                data = file.read_bytes()
                found |= {f"{file.relative_to(folder)}: {name}" for name in self.in_bytes(data)}
                if data.startswith(b"SQLite format 3"):
                    found |= {f"{file.relative_to(folder)}, {table}: {name}" for table, name in self._in_database(file)}
        return sorted(found)

    def in_bytes(self, data: bytes, *, depth: int = 4) -> set[str]:
        """The names of the secrets in a piece of data."""
        plain = re.sub(rb"\s|\\+[rn]", b"", data)    # a PEM text on one line, as in JSON
        found = {name for wanted, name in self._wanted.items() if wanted in data or wanted in plain}
        lower = data.lower()
        found |= {name for wanted, name in self._wanted.items() if wanted.isalnum() and wanted in lower}
        if depth:
            for inner in _unpacked(data):
                found |= self.in_bytes(inner, depth=depth - 1)
        return found

    def _in_database(self, file: Path) -> Iterator[tuple[str, str]]:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")]
            for table in tables:
                for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names that the database itself gave
                    for cell in row:
                        data = cell if isinstance(cell, bytes) else str(cell).encode(errors="surrogatepass")
                        yield from ((table, name) for name in self.in_bytes(data))


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What zlib, gzip and Base64 texts in the data hold."""
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", data):
        with suppress(zlib.error):
            packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            if inner := packed.decompress(data[start.start():], 10_000_000):
                yield inner
    for text in re.findall(rb"[A-Za-z0-9+/_-]{24,}={0,2}", data):
        with suppress(binascii.Error):
            whole = text.rstrip(b"=")
            yield base64.b64decode(whole + b"=" * (-len(whole) % 4), altchars=b"-_" if re.search(rb"[-_]", whole) else None)


@pytest.fixture
def search() -> Search:
    """A search that knows no secret yet."""
    return Search()
