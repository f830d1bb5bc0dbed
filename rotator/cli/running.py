"""What verbs share that work on one playbook: steps while they happen, then a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rotator.cli.common import closing, service
from rotator.cli.stopping import ends_in_order

if TYPE_CHECKING:
    from rotator.cli.steps import StepView
    from rotator.usecases.report import Report
    from rotator.usecases.service import Service


def reports_as_json(
    found: Service, reports: Sequence[Report], code: int, view: StepView, **more: Any
) -> int:
    from rotator.cli import shapes
    from rotator.views.history import recorded

    rows = recorded(found, [one.rotation for one in reports if one.rotation is not None])
    shown = []
    for one in reports:
        row = rows.get(one.rotation.id) if one.rotation is not None else None
        shown.append(shapes.report(one, row, view.finished.get(one.playbook, [])))
    return shapes.answer(code, playbooks=shown, **more)


def run_and_report(name: str, run: Callable[[Service], Report], as_json: bool, wait: bool) -> int:
    from rotator.cli import reported
    from rotator.cli.steps import StepView
    from rotator.usecases.report import code_of

    view = StepView(quiet=as_json)
    with closing(service(observe=view), view) as found, ends_in_order(found):
        report = run(found)
        view.close()
        code = code_of([report], wait)
        if as_json:
            return reports_as_json(found, [report], code, view)
    reported.report(report)
    return code
