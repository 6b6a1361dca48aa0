"""What became of frames that were sent by mail, and how old messages were when they were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mpidcl.base.quantities import share_text
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Below, Sheet, Tile, View
from mpidcl.views.mail.numbers import AGES, MAIL, Fate, age_text, ages, fates, in_ticks, together
from mpidcl.views.network.view import unbroken
from mpidcl.views.run import Run

MOST_ROWS = 64
"""Links in the table of the page; `results.h5` has all."""


class MailView(View):
    """Frames lost, skipped, late, and of links that were down; ages of messages."""

    name = "mail"
    reads = (MAIL, AGES)

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """Counts over all links; `mean_age` in seconds of virtual time, or in ticks of the sender under the
        clock `free`; -1 where no message was used.
        """
        whole = together(fates(records).values())
        age = -1.0 if whole.mean_age is None else whole.mean_age
        names = ("frames", "lost", "skipped", "down", "dropped", "used", "late")
        counts = {name: getattr(whole, name) for name in names}
        return {"mail": counts | {"mean_age": age}}

    def tiles(self, run: Run) -> list[Tile]:
        whole = together(fates(run.records).values())
        lost, skipped = share_text(whole.share(whole.lost)), share_text(whole.share(whole.skipped))
        words = f"of {whole.frames} frames were lost, {unbroken(skipped)} skipped: their line was busy"
        found = [Tile(unbroken(lost), None, words)]
        if whole.mean_age is not None:
            late = unbroken(share_text(whole.late_share))
            words = f"mean age of a message when it was used; {late} came after a newer one"
            found.append(Tile(unbroken(age_text(whole.mean_age, in_ticks(run.records))), None, words))
        return found

    def lines(self, run: Run) -> list[str]:
        whole = together(fates(run.records).values())
        found = f"{whole.lost} were lost, and {whole.skipped} skipped, as their line was busy."
        if whole.down:
            found += f" {whole.down} found their link down."
        if whole.dropped:
            found += f" {whole.dropped} came to an agent that was away."
        return [f"Mail: {whole.frames} frames were due; {found}", used(whole, in_ticks(run.records))]

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.mail import figures

        by_link, by_exchange, ticks = fates(run.records), ages(run.records), in_ticks(run.records)
        sheets = []
        if by_exchange:
            draw = figures.tick_histogram if ticks else figures.age_histogram
            sheets.append(Sheet.of("mail-ages", "Age of messages", draw, by_exchange))
        links = Sheet.of("mail-links", "What became of the frames", figures.frames_by_link, by_link, ticks)
        shown = dict(list(by_link.items())[:MOST_ROWS])
        facts = {"rows": shown, "more": len(by_link) - len(shown), "whole": together(by_link.values())}
        facts |= {"ticks": ticks}
        return [*sheets, replace(links, below=Below("mail.html", facts))]


def used(whole: Fate, ticks: bool = False) -> str:
    """A sentence about the messages."""
    if whole.mean_age is None:
        return "No message was used."
    age = age_text(whole.mean_age, ticks)
    late = f"{whole.late} came late, after a newer one or beside it."
    return f"{whole.used} messages were used at a mean age of {age}; {late}"
