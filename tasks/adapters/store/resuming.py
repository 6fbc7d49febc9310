"""How far a whole import has come, in `account_state.import_resume`: one that is killed goes on there (RULES S3)."""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from models.orders import AccountState
from models.records import ReportWindow
from models.windows import DAY, Pace
from tasks.adapters.store import rebuilding

RESUME_FOR = timedelta(days=1)
_KEY = "import"
_LACKING = "lacking"


@dataclass(frozen=True, kw_only=True)
class Resume:
    """An import of what `wish` names, begun at `began`: the windows before number `window` are done, of that one all behind `down_to`.

    `days` and `most` are the pace it had. `listed` is the id up to which it has read details, where SCM gives no report. `lacking` is how many
    orders SCM counted beyond those that could be found, when somebody looked last.
    """

    wish: dict[str, Any]
    began: datetime
    at: datetime
    window: int = 0
    down_to: date | None = None
    days: int = 0
    most: int = 0
    listed: int = 0
    lacking: int = 0

    @property
    def is_under_way(self) -> bool:
        return self.down_to is not None or self.window > 0 or self.listed > 0

    def where(self) -> str:
        """For people."""
        return f"after order {self.listed} of the list" if self.listed else f"before {self.down_to}" if self.down_to else "what has no request date"

    def rest(self, number: int, whole: ReportWindow) -> ReportWindow:
        """What is left of a window."""
        if number != self.window or self.down_to is None:
            return whole
        return replace(whole, last=self.down_to - DAY)

    def pace(self, number: int) -> Pace | None:
        """The pace of the window that is under way."""
        return Pace(self.days, self.most) if number == self.window and self.down_to is not None else None

    def come_to(self, number: int, window: ReportWindow, pace: Pace, *, ends: bool, now: datetime) -> "Resume":
        """This far; `ends` with the window as a whole."""
        if ends:
            return replace(self, window=number + 1, down_to=None, at=now)
        return replace(self, window=number, down_to=window.first, days=pace.days, most=pace.most, at=now)

    def listed_to(self, ssl_id: int, *, now: datetime) -> "Resume":
        """This far by list and details."""
        return replace(self, listed=ssl_id, at=now)

    def without(self, lacking: int) -> "Resume":
        """So many were not found."""
        return replace(self, lacking=lacking)


def found(state: AccountState, wish: dict[str, Any], *, now: datetime) -> Resume:
    """Where an import of the same wish stopped less than a day ago; else one that begins now."""
    kept = state.import_resume or {}
    given, lacking = kept.get(_KEY), int(kept.get(_LACKING) or 0)
    if given and given["wish"] == wish and now - datetime.fromisoformat(given["at"]) < RESUME_FOR:
        down_to = given["down_to"]
        return Resume(**given | {
            "began": datetime.fromisoformat(given["began"]), "at": now, "down_to": date.fromisoformat(down_to) if down_to else None,
            "lacking": lacking,
        })
    return Resume(wish=wish, began=now, at=now, lacking=lacking)


def save(state: AccountState, resume: Resume) -> None:
    """Remember how far it has come."""
    given = asdict(resume) | {
        "began": resume.began.isoformat(), "at": resume.at.isoformat(), "down_to": resume.down_to.isoformat() if resume.down_to else None,
    }
    state.import_resume = (state.import_resume or {}) | {_KEY: given}


def ended(state: AccountState, *, lacking: int) -> None:
    """Nothing is left to go on with."""
    kept = rebuilding.remember({}, rebuilding.remembered(state.import_resume)) or {}
    state.import_resume = (kept | ({_LACKING: lacking} if lacking else {})) or None
