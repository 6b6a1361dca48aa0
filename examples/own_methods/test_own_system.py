"""Is it a learner, a stream, an exchange? Checks for the tests of your own package (run with pytest)."""

from own_system import LineFit, Lines, MeanLine

from mpidcl.testing import check_exchange, check_learner, check_stream

TABLES = {"stream": {"kind": "own_system:Lines"}, "learning": {"kind": "own_system:LineFit"}}


def test_the_parts_of_the_system() -> None:
    check_stream(Lines, TABLES)
    check_learner(LineFit, TABLES)
    check_exchange(MeanLine, TABLES)
