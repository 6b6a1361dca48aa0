"""What every part of a kind must do, as checks for your own: `check_learner(MyLearner)` in a test of yours.

Each check makes small experiments with the class in them. It raises AssertionError that says what should
be, and what was found. Ours are held by the same checks.
"""

from mpidcl.testing.asking import result_of
from mpidcl.testing.exchanges import check_exchange
from mpidcl.testing.learners import check_learner
from mpidcl.testing.policies import check_policy
from mpidcl.testing.streams import check_stream
from mpidcl.testing.terms import check_term

__all__ = ["check_exchange", "check_learner", "check_policy", "check_stream", "check_term", "result_of"]
