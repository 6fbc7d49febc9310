"""Find out what became of a submission in doubt, and decide what no program can (RULES E3, E4, E5, E7)."""

from tasks.settling.deciding import decide
from tasks.settling.looking import Settled, settle

__all__ = ["Settled", "decide", "settle"]
