"""What happens next to a playbook, in words: the lines of `status`, and `todo` of JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rotator.cli import words
from rotator.counting import span
from rotator.engine.keeper import short
from rotator.usecases.report import steps_of, where_keys_are_made
from rotator.views.status import PlaybookStatus
from rotator.views.todo import PERSON, Step, Todo, todo


@dataclass(frozen=True, slots=True)
class WordedTodo:
    """Who does what, by which command, and when (Unix seconds). `hint` is in the words of others,
    and so stands alone.
    """

    who: str
    what: str
    command: str | None
    at: float | None
    hint: str = ""
    steps: tuple[str, ...] = ()  # what a person does in the console

    @property
    def line(self) -> str:
        by = ", then" if self.who == PERSON else ", by"
        command = f"{by} `{self.command}`" if self.command else ""
        when = f" after {words.moment(self.at)}" if self.at is not None else ""
        return f"{self.who}: {self.what}{command}{when}"


COMMANDS: dict[Step, str | None] = {
    Step.WATCH: None,
    Step.LOOK_AND_RESUME: "rotator resume {name}",
    Step.SUPPLY: "rotator supply {name}",
    Step.CARRY_ON: "rotate --due",
    Step.ROTATE_ANEW: "rotate {name}",
    Step.REPLACE_KILLED: "rotate {name}",
    Step.ROTATE_BEFORE_END: "rotate {name}",
    Step.DESTROY: "rotator confirm {name}",
    Step.DESTROY_OR_RETRY: "rotator resume {name}",
    Step.FIND_HOLDER: "rotator doctor --explain {name}",
    Step.REVOKE: "rotate --due",
    Step.FIND_OWNER: "rotator keys {name}",
    Step.RESTORE_PLAYBOOK: None,
}

TEXTS: dict[Step, str] = {
    Step.CARRY_ON: "it goes on with {detail}",
    Step.REPLACE_KILLED: (
        "see what hinders a new key (`rotate {name} --dry-run`); `rotate --due` tries again"
    ),
    Step.DESTROY: "destroy {key} in the provider's console",
    Step.DESTROY_OR_RETRY: (
        "its provider does not destroy {key} yet: destroy it in the console, or try again"
    ),
    Step.FIND_HOLDER: "see who holds the old key {key}",
    Step.REVOKE: "the old key {key} is revoked, once nobody holds it",
    Step.FIND_OWNER: "see in the provider's console whose {detail} is",
    Step.RESTORE_PLAYBOOK: "its playbook is gone: put it back, rename or forget it",
}


def _watch(status: PlaybookStatus, one: Todo) -> str:
    since = status.holding.since if status.holding is not None else status.now
    return f"works on it since {span(max(0.0, status.now - since))}"


def _look_and_resume(status: PlaybookStatus, one: Todo) -> str:
    rotation = short(status.running.id) if status.running is not None else status.name
    return f"see what stands in its way (`rotator show {rotation}`)"


def _supply(status: PlaybookStatus, one: Todo) -> str:
    provider = status.playbook.provider if status.playbook is not None else None
    return f"make the new key {where_keys_are_made(provider)}"


def _rotate_anew(status: PlaybookStatus, one: Todo) -> str:
    again = "; the next `rotate --due` tries again" if one.again else ""
    return f"see what failed{again}"


def _rotate_before_end(status: PlaybookStatus, one: Todo) -> str:
    ends = status.key_ends
    end = "its key has ended"
    if ends is not None and ends > status.now:
        end = f"its key ends {words.moment(ends)}"
    return f"{end}, and it has no schedule"


# Their detail is a hint of whoever failed
_HINTED = frozenset({Step.LOOK_AND_RESUME, Step.ROTATE_ANEW})
# What depends on more than the to-do itself
COMPOSED: dict[Step, Callable[[PlaybookStatus, Todo], str]] = {
    Step.WATCH: _watch,
    Step.LOOK_AND_RESUME: _look_and_resume,
    Step.SUPPLY: _supply,
    Step.ROTATE_ANEW: _rotate_anew,
    Step.ROTATE_BEFORE_END: _rotate_before_end,
}


def worded(status: PlaybookStatus) -> list[WordedTodo]:
    return [word(status, one) for one in todo(status)]


def word(status: PlaybookStatus, one: Todo) -> WordedTodo:
    compose = COMPOSED.get(one.step)
    if compose is not None:
        what = compose(status, one)
    else:
        what = TEXTS[one.step].format(name=status.name, key=one.key, detail=one.detail)
    command = COMMANDS[one.step]
    hint = one.detail if one.step in _HINTED else ""
    steps = _steps(status, one)
    command = command and command.format(name=status.name)
    return WordedTodo(one.who, what, command, one.at, hint, steps)


def _steps(status: PlaybookStatus, one: Todo) -> tuple[str, ...]:
    if status.playbook is None or one.step not in (Step.SUPPLY, Step.DESTROY):
        return ()
    return steps_of(status.playbook.provider, destroy=one.step is Step.DESTROY)
