"""Every error a user can meet, and the exit code it ends with.

HubSpeedError            1
├── RecipeError          2   the recipe or a flag is wrong; nothing was started
├── EndpointError        3   a model endpoint cannot be used
│   ├── EndpointRefused      it answered: 400, 401, 403, 404 (asking again will not help)
│   └── EndpointDown         it did not answer, or kept failing, after every retry
├── HubError             4   the Hub cannot be read or written
│   ├── NotFound             there is no such repository or revision, or the token may not read it
│   └── StaleParent          somebody else committed in the meantime
├── StageError           5   a stage's result is not fit to publish
│   └── ShardLost            a shard of a rank is missing or damaged; its rank can make another
├── Busy                 6   another process works on the same stage
├── NoSpace              7   the disk is full, or a folder cannot be written or locked
├── BudgetSpent          8   the run's budget does not allow another call
├── RanksLeft            9   some ranks of a stage have more rows to ask for
└── Stopped            130   Ctrl-C or SIGTERM: what was finished is safe
"""

import difflib
import re
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""


_SECRETS = [
    (re.compile(r"(?<=://)[^/\s?#]*@"), "…@"),  # https://user:password@host
    (re.compile(r"([?&;][\w.-]*(?:key|token|secret|passw|sig|auth|cred)[\w.-]*=)[^&;\s#'\"]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"\b((?:sk|xai)-|AIza|Bearer )[\w.-]{12,}"), r"\1…"),
    (re.compile(r"\b((?:hf|gsk|ghp)_)[A-Za-z0-9]{16,}"), r"\1…"),
]


def without_secrets(text: str) -> str:
    """A text for people, without what looks like a password or a key in it."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


class HubSpeedError(Exception):
    """Something a user can act on: where it happened, what was expected, what came, what to do.

    Passwords and keys in addresses are not shown (`without_secrets`).

    Args:
        where: the place and the fact, one line ("recipe my.yaml: senior.dpo_betta is not a field of senior").
        expected: what would have been right.
        got: what was found instead.
        fix: what to do now.
    """

    exit_code = 1

    def __init__(self, where: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        where, expected, got, fix = map(without_secrets, (where, expected, got, fix))
        self.where, self.expected, self.got, self.fix = where, expected, got, fix
        lines = [where]
        lines += [f"  {name:<9} {text}" for name, text in (("expected", expected), ("got", got), ("do", fix)) if text]
        super().__init__("\n".join(lines))


def parts_of(printed: str) -> dict[str, str]:
    """The arguments of an error, from its message; the lines may be joined by `|`. At least `where` is there."""
    where, *rest = re.split(r"(?:\n| \|) +(expected|got|do) +", printed.rpartition("error: ")[2])
    names = {"expected": "expected", "got": "got", "do": "fix"}
    return {"where": where} | {names[name]: text for name, text in zip(rest[::2], rest[1::2], strict=True)}


class RecipeError(HubSpeedError):
    """A recipe or a flag is wrong; nothing was started."""

    exit_code = 2


class EndpointError(HubSpeedError):
    """A model endpoint cannot be used."""

    exit_code = 3


class EndpointRefused(EndpointError):
    """The endpoint answered that it will not serve this request; asking again would not help.

    Attributes:
        status: its HTTP status.
        no_money: whether it says that the account is empty.
    """

    status = 0
    no_money = False


class EndpointDown(EndpointError):
    """The endpoint did not answer, or kept failing, until the retries were used up."""


class HubError(HubSpeedError):
    """The Hub cannot be read or written."""

    exit_code = 4


class NotFound(HubError):
    """There is no such repository or revision, or the token may not see it."""


class StaleParent(HubError):
    """The repository's head moved between reading it and committing to it."""


class StageError(HubSpeedError):
    """A stage's result is not fit to publish."""

    exit_code = 5


class ShardLost(StageError):
    """A shard of a rank is missing or damaged; the rank makes another when it is started again."""


class Busy(HubSpeedError):
    """Another process works on the same stage."""

    exit_code = 6


class NoSpace(HubSpeedError):
    """The disk is full, or a folder cannot be written or locked."""

    exit_code = 7


class BudgetSpent(HubSpeedError):
    """The run's budget does not allow another call; what was finished is safe."""

    exit_code = 8


class RanksLeft(HubSpeedError):
    """Ranks of a stage have more rows to ask for, before it can be published."""

    exit_code = 9


class Stopped(HubSpeedError):
    """The user stopped the run; what was finished is safe."""

    exit_code = 130
