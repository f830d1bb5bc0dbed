"""What verbs share that work on one playbook: steps while they happen, then a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rotator.cli.common import (
    closing,
    service,
)

if TYPE_CHECKING:
    from rotator.cli.steps import StepView
    from rotator.usecases.report import Report
    from rotator.usecases.service import Request, Service


def reports_as_json(
    found: Service, reports: Sequence[Report], code: int, view: StepView, **more: Any
) -> int:
    from rotator.cli import shapes
    from rotator.journal import cases

    with found.journal.database.read() as connection:
        rows = {
            one.rotation.id: cases.find_rotation(connection, one.rotation.id)
            for one in reports
            if one.rotation
        }
    told = [
        shapes.report(
            one,
            rows.get(one.rotation.id) if one.rotation else None,
            view.finished.get(one.playbook, []),
        )
        for one in reports
    ]
    return shapes.answer(code, playbooks=told, **more)


def code_of(report: Report, request: Request) -> int:
    """An old key that needs attention counts; with --wait, one that waits for a person, too."""
    return report.code_of_all or (5 if report.questions and request.wait else 0)


def run_and_report(name: str, run: Callable[[Service], Report], as_json: bool, wait: bool) -> int:
    from rotator.cli import reported
    from rotator.cli.steps import StepView
    from rotator.usecases.service import Request

    view = StepView(quiet=as_json)
    with closing(service(observe=view), view) as found:
        report = run(found)
        view.close()
        code = code_of(report, Request(wait=wait))
        if as_json:
            return reports_as_json(found, [report], code, view)
    reported.report(report)
    return code
