"""A JSON object with one long list, read item by item while it arrives.

Each item is parsed by the standard library, which refuses what is nested too deeply. A parser that keeps the path to every value, as ijson
does, needs quadratic time for that: a hostile answer of 100 KB would hold it for minutes.
"""

import codecs
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tasks.adapters.scm.values import Unreadable
from tasks.adapters.scm.wire import CHUNK

LONGEST_ITEM = 1024 * 1024
"""Characters; a row of a report has a few thousand."""

BROKEN_OFF = "it broke off or is no JSON"
_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder(strict=False)


class Rowwise:
    """`others` holds the fields beside the list, as far as they were read."""

    def __init__(self, pieces: Iterator[bytes], *, list_field: str) -> None:
        self.others: dict[str, Any] = {}
        self._list_field = list_field
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._from = 0
        """Where the last value begins."""
        self._ended = False

    def rows(self) -> Iterator[tuple[Any, str]]:
        """The items of the list, each with the text it was read from. Raises: Unreadable for what is no JSON object, or not all of one."""
        more = self._one_of("{") == "{" and not self._follows("}")
        while more:
            field = self._value()
            self._one_of(":")
            if field == self._list_field and self._follows("["):
                yield from self._items()
            else:
                self.others[str(field)] = self._value()
            more = self._one_of(",}") == ","
        if self._next():
            raise Unreadable("there is more after its end")

    def _items(self) -> Iterator[tuple[Any, str]]:
        if self._follows("]"):
            return
        more = True
        while more:
            yield from self._whole_items()
            value = self._value()
            yield value, self._text[self._from:self._at]
            more = self._one_of(",]") == ","

    def _whole_items(self) -> Iterator[tuple[Any, str]]:
        """Those that are here and that a comma follows at once, as nearly all are: in three quarters of the time."""
        text, at = self._text, self._at
        with suppress(ValueError, RecursionError):    # what is not whole or cannot be read is looked at again
            while True:
                value, end = _DECODER.raw_decode(text, at)
                if text[end:end + 1] != ",":
                    return
                self._at = end + 1
                yield value, text[at:end]
                at = end + 1

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                end = len(self._text)    # maybe only the first part of it is here
            except (ValueError, RecursionError):
                raise Unreadable("it holds what cannot be read") from None
            if end < len(self._text):    # a number at the very end may go on
                self._from, self._at = self._at, end
                return value
            if self._ended or len(self._text) - self._at > LONGEST_ITEM:
                raise Unreadable(BROKEN_OFF)
            self._read_on()

    def _next(self) -> str:
        """The next character that is no blank; an empty text at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at:self._at + 1]
            self._read_on()

    def _one_of(self, wanted: str) -> str:
        found = self._next()
        if not found or found not in wanted:
            raise Unreadable(BROKEN_OFF)
        self._at += 1
        return found

    def _follows(self, wanted: str) -> bool:
        if self._next() != wanted:
            return False
        self._at += 1
        return True

    def _read_on(self) -> None:
        """At least a chunk more, so that a long item is not parsed anew for each byte that arrives."""
        kept = [self._text[self._at:]]
        added = 0
        try:
            while added < CHUNK and not self._ended:
                piece = next(self._pieces, b"")
                self._ended = not piece
                kept.append(self._utf8.decode(piece, final=self._ended))
                added += len(piece)
        except UnicodeDecodeError:
            raise Unreadable("it is no UTF-8") from None
        self._text, self._at = "".join(kept), 0
