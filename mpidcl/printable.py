"""Text that others wrote, as a terminal may show it: control characters become visible instead of acting."""

from __future__ import annotations


def printable(text: str, keep: str = "\n\t") -> str:
    r"""`text` with everything but visible characters, blanks and those of `keep` escaped.

    A name or a file may hold sequences that colour, move, overwrite or link; nothing of them acts.

    >>> print(printable("run\x1b[31m red\a"))
    run\x1b[31m red\x07
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """The same without line ends, for a cell of a table or a title."""
    return printable(text, keep="")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
