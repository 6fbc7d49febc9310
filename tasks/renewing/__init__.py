"""Renew and reissue: which orders, why or why not, and what is written down before anything is sent (RULES R, E5, E6, V3)."""

from tasks.renewing.choosing import Chosen, choose
from tasks.renewing.compromise import report as report_compromise
from tasks.renewing.planning import Plan, plan_all
from tasks.renewing.saying import page, sentence, summary

__all__ = ["Chosen", "Plan", "choose", "page", "plan_all", "report_compromise", "sentence", "summary"]
