"""Would this order be issued? All problems at once, before anything is sent (RULES C, K1, N3 to N5). Pure: facts in, answers out.

A documented fact refuses, an inferred one warns. `send_anyway` turns refusals into warnings, save what cannot be sent at all.
"""

from models.checks.facts import FRESH_FOR, Level, Problem, ReferenceFacts, is_private
from models.checks.names import check_names
from models.checks.order import CheckedOrder, check_order

__all__ = ["FRESH_FOR", "CheckedOrder", "Level", "Problem", "ReferenceFacts", "check_names", "check_order", "is_private"]
