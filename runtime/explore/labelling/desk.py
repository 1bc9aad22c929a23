"""What the page asks for: the next window, to save an answer, to take one back; JSON in, JSON out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from runtime.errors import InputError, PerchError, counted
from runtime.explore.labelling.answer import GIVEN, Answer, now
from runtime.explore.labelling.availability import Availability
from runtime.explore.labelling.background_learning import Learning
from runtime.explore.labelling.clips import SOUND, Clips
from runtime.explore.labelling.export import Exports
from runtime.explore.labelling.journal import ConflictError, Journal
from runtime.explore.labelling.orders import NAMES, Orders, Ranking, WaitingError
from runtime.explore.labelling.tabs import MOST_TABS, Tab, Tabs
from runtime.explore.labelling.tally import Tally
from runtime.explore.labelling.vocabulary import Vocabulary
from runtime.explore.labelling.windows import Windows
from runtime.explore.pictures.sound import RATE

AHEAD = 6
"""For how many further windows clips are made."""
CLIP_S = 3.0
"""How long a clip is waited for before the page is told to ask again."""


class NotFoundError(InputError):
    """There is no such window."""


class NotYetError(PerchError):
    """What was asked for will be possible in a moment."""


class Desk:
    """Serves windows and takes answers, for all tabs. It may be used by several threads."""

    def __init__(
        self,
        windows: Windows,
        journal: Journal,
        vocabulary: Vocabulary,
        orders: Orders,
        learning: Learning,
        labeller: str,
        title: str,
    ) -> None:
        self.windows, self.journal, self.vocabulary = windows, journal, vocabulary
        self.orders, self.learning, self.labeller, self.title = orders, learning, labeller, title
        self.clips = Clips(windows)
        self.exports = Exports(windows, vocabulary.taxonomy)
        self.saved = 0
        """How many answers were saved here."""
        self.notices: list[str] = []
        """What each tab says next time."""
        self._tabs, self._tallied, self._lock = Tabs(), Tally(), threading.RLock()
        self._sources: dict[int, str] = {}
        self.availability = Availability(len(windows), journal, self._tabs, self._lock)
        self._mark()

    def close(self) -> None:
        """Stops what goes on in the background."""
        self.clips.close()
        self.orders.close()
        self.learning.close()
        self.exports.close()

    def prepare(self) -> None:
        """Makes ahead what every page asks for first."""
        with contextlib.suppress(InputError, WaitingError, RuntimeError):  # the last one if it was closed meanwhile
            _ = self.vocabulary.described
            self.clips.want(self.orders.get("random", "").numbers[:AHEAD].tolist())

    def state(self, tab: str) -> dict[str, Any]:
        """All that the page needs to begin."""
        self._refresh()
        known = set(self.vocabulary.classes)
        own = sorted(self._tallied.species.keys() - known)
        return {
            "title": self.title,
            "labels_file": str(self.journal.path),
            "labeller": self.labeller,
            "rows": len(self.windows),
            "scored": int(self.windows.scored.sum()),
            "orders": self.orders.described(),
            "names": [{"name": name, "about": self.vocabulary.about(name)} for name in own] + self.vocabulary.described,
            "learning": self.learning.as_json(),
            **self._tally(tab),
        }

    def next(self, tab: str, order: Mapping[str, Any], after: object) -> dict[str, Any]:
        """The next window of an order for a tab, and those to come; none with the reason if there is none."""
        name, value = str(order.get("id")), str(order.get("value") or "")
        self._refresh()
        try:
            ranking = self.orders.get(name, value)
        except WaitingError as waiting:
            return self._none(tab, str(waiting), waiting=True)
        except InputError as error:
            return self._none(tab, str(error))
        holder = self._tab(tab)
        passed = holder.passed.setdefault((name, value), set())
        if (number := self.windows.number_of_key(after)) is not None:
            passed.add(number)
            holder.holds = None
        end = time.monotonic() + CLIP_S
        for place in self.availability.candidates(tab, passed, ranking.numbers):
            number = int(ranking.numbers[place])
            try:
                if self.availability.take(tab, number) and self._can_be_read(number, end):
                    return self._serve(tab, number, ranking, place, passed)
            except TimeoutError:
                return self._none(tab, f"reading {self.windows.row_ids[number]}", waiting=True)
        return self._none(tab, self._why_none(name, ranking, passed))

    def window(self, key: object) -> dict[str, Any]:
        """A window again, unless its clip is still being made."""
        number = self._number(key)
        self._refresh()
        try:
            return self._described(number, "", CLIP_S)
        except TimeoutError:
            return {"window": None, "waiting": True, "why": f"reading {self.windows.row_ids[number]}"}

    def label(self, tab: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Saves an answer.

        Raises:
            ConflictError: somebody else has answered since the window was shown.
            PerchError: it cannot be saved.
        """
        number = self._number(request.get("key"))
        answer = self._answer(number, request)
        with self._lock:
            self._refresh()
            before = self.journal.answers.get(answer.row_id)
            if before is not None and before.says_the_same(answer):  # sent twice, or confirmed
                self._tab(tab).answered.sort(key=lambda pair: pair[0] == before)  # what is taken back first
                return {"saved": True, "answer": before.as_json(), **self._tally(tab)}
            if (None if before is None else before.as_json()) != request.get("seen"):
                raise ConflictError(before)
            self.journal.append(answer, before)
            self._tab(tab).answered.append((answer, before))
            self._sources[number] = answer.source
            self.saved += 1
            self._refresh()
        self.learning.consider()
        return {"saved": True, "answer": answer.as_json(), **self._tally(tab)}

    def undo(self, tab: str) -> dict[str, Any]:
        """Takes a tab's last answer back, unless somebody has answered the window since."""
        with self._lock:
            self._refresh()
            answered = self._tab(tab).answered
            if not answered:
                return {"why": "nothing was answered in this tab since the server started", **self._tally(tab)}
            mine, before = answered[-1]
            restored = before or replace(mine, species=(), answer="withdrawn", labelled_at=now())
            try:
                self.journal.append(restored, mine)
            except ConflictError as conflict:
                answered.pop()
                who = "it was taken back" if conflict.answer is None else f"{conflict.answer.labeller} has answered"
                return {"why": f"{mine.row_id} stays as it is: {who} since", **self._tally(tab)}
            answered.pop()
            self._refresh()
        number = self.windows.number_of(mine.row_id)
        key = None if number is None else self.windows.key(number)
        return {"key": key, "answer": None if before is None else before.as_json(), **self._tally(tab)}

    def export(self, species: object, form: object) -> dict[str, Any]:
        """Makes a zip of labelled windows."""
        self._refresh()
        return self.exports.make(dict(self.journal.answers), species, form)

    def _answer(self, number: int, request: Mapping[str, Any]) -> Answer:
        """The answer that the page sends, checked."""
        kind, row_id = request.get("answer"), self.windows.row_ids[number]
        if request.get("row_id", row_id) != row_id:  # the page kept it, and other rows are served now
            raise NotFoundError(f"{request['row_id']} is no window of these rows")
        if kind not in GIVEN:
            raise InputError(f"there is no answer {kind!r}, but {', '.join(GIVEN)}")
        try:
            row_id.encode()
        except UnicodeEncodeError:
            raise InputError(f"no label file can hold the name {row_id!a}, which is not text; rename it") from None
        if self.windows.number_of(row_id.strip()) != number:
            raise InputError(f"a label file would take the name {row_id!r} for another recording's; rename it")
        species = self.vocabulary.checked(request.get("species"), self.journal.spellings)
        if species and kind != "labelled":
            raise InputError(f"an answer {kind!r} has no species")
        order = request.get("order")
        asked = str(order.get("id")) if isinstance(order, dict) else ""
        return Answer(row_id, species, cast(Any, kind), self._source(number, asked), self.labeller, now())

    def _source(self, number: int, asked: str) -> str:
        """How a window was chosen: as it was first served or answered, whatever the page shows now.

        After a restart only the page knows. A window is then random only if it is among the next ones of that order.
        """
        if (before := self.journal.answers.get(self.windows.row_ids[number])) is not None:
            return before.source
        if number in self._sources:
            return self._sources[number]
        if asked == "random":
            try:
                ranking = self.orders.get("random", "")
            except WaitingError as waiting:
                raise NotYetError(f"not saved yet: {waiting}; answer again in a moment") from None
            first = ranking.numbers[~self.availability.answered[ranking.numbers]][: AHEAD + MOST_TABS]
            return "random" if number in first else "list"
        return asked if asked in NAMES else "list"

    def _refresh(self) -> None:
        with self._lock:
            self.journal.refresh()
            self._mark()
            self.notices += self.journal.take_notices()

    def _mark(self) -> None:
        """Keeps count of which windows have an answer."""
        for answer in self.journal.take_changed():
            number = None if answer is None else self.windows.number_of(answer.row_id)
            self._tallied.add(answer, number is not None)
            if answer is None:
                self.availability.answered[:] = False
            elif number is not None:
                self.availability.answered[number] = answer.answer != "withdrawn"

    def _tally(self, tab: str) -> dict[str, Any]:
        """Counts, the commonest labels, and what there is to say."""
        with self._lock:
            holder = self._tab(tab)
            notices, holder.told = self.notices[holder.told :], len(self.notices)
            return {**self._tallied.as_json(), "notices": notices}

    def _tab(self, name: str) -> Tab:
        with self._lock:
            return self._tabs.of(name)

    def _can_be_read(self, number: int, end: float) -> bool:
        """Whether a window can be shown. If not, it is skipped for a while.

        Raises:
            TimeoutError: that is not known in time.
        """
        try:
            self.clips.get(number, max(0.0, end - time.monotonic()))
        except PerchError as error:
            lost = self.windows.of_recording(number) if self.windows.is_missing(number) else np.array([number])
            self.availability.skip(lost)
            with self._lock:
                if (notice := f"{counted(len(lost), 'window')} skipped: {error}") not in self.notices:
                    self.notices.append(notice)
            return False
        return True

    def _serve(self, tab: str, number: int, ranking: Ranking, place: int, passed: set[int]) -> dict[str, Any]:
        self._sources.setdefault(number, ranking.source)
        ahead = self.availability.following(tab, passed, ranking.numbers, place)[:AHEAD].tolist()
        self.clips.want(ahead)
        window = self._described(number, ranking.reason(place), 0)
        return {"window": window, "ahead": [self.windows.key(each) for each in ahead], "why": "", **self._tally(tab)}

    def _described(self, number: int, reason: str, timeout_s: float) -> dict[str, Any]:
        try:
            clip = self.clips.get(number, timeout_s)
            span, top, why = clip.span_s, clip.top, ""
        except PerchError as error:  # then there is neither picture nor sound
            span, top, why = self.windows.times(number), [], str(error)
        about = self.windows.about(number)
        answer = self.journal.answers.get(self.windows.row_ids[number])
        return {
            **about,
            "context_s": span,
            "top": [{"name": name, "about": self.vocabulary.about(name), "score": score} for name, score in top],
            "probe": self.learning.probe(number),
            "answer": None if answer is None else answer.as_json(),
            "picture": f"clip/{about['key']}.png",
            "sound": f"clip/{about['key']}.{SOUND}",
            "rate_hz": RATE,
            "reason": reason,
            "error": why,
        }

    def _number(self, key: object) -> int:
        if (number := self.windows.number_of_key(key)) is None:
            raise NotFoundError("there is no such window")
        return number

    def _none(self, tab: str, why: str, waiting: bool = False) -> dict[str, Any]:
        return {"window": None, "ahead": [], "why": why, "waiting": waiting, **self._tally(tab)}

    def _why_none(self, order: str, ranking: Ranking, passed: set[int]) -> str:
        numbers = ranking.numbers
        lost = int(self.availability.unreadable[numbers].sum())
        parts = [
            f"answered: {int(self.availability.answered[numbers].sum()):,} of {counted(len(numbers), 'window')}",
            *([f"you went past {len(passed):,} of them (a new tab shows them again)"] if passed else []),
            *([f"without a recording that can be read (--audio FOLDER): {lost:,}"] if lost else []),
        ]
        return f"nothing is left in the order {NAMES[order]!r}: {'; '.join(parts)}"
