"""How the requests of batches are worded: the form of each schema, and the parameters that are left out.

The same as `wording`, for answers that come hours later and many at once: what all requests of a batch with one schema
were refused is sent in other words in the next batch. A row that is refused where others are answered is asked once
more without its schema.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub_speed.llm import dialects
from hub_speed.llm.batch_api import BatchAnswer
from hub_speed.llm.dialects import Completion, Dialect, Request, SchemaForm
from hub_speed.llm.schema_forms import OF_THE_SCHEMA, SchemaForms
from hub_speed.llm.transport import REFUSED_STATUS

OF_ONE_ROW = {400, 422}
"""How providers refuse a schema for one row alone. After another refusal, a second try may cost hours. Assumption."""


@dataclass(frozen=True)
class Sent:
    """How the requests of a batch were worded.

    Attributes:
        rows: row → the name of its schema, and how that was sent.
        without: what was left out.
    """

    rows: dict[str, tuple[str, SchemaForm]]
    without: frozenset[str]


class BatchWording:
    """The words for one provider.

    Args:
        dialect: how the model is asked.
        notes: gets a sentence for what the provider wants otherwise.
    """

    def __init__(self, dialect: Dialect, notes: list[str]) -> None:
        self._dialect, self._notes = dialect, notes
        self._forms: dict[str, SchemaForms] = {}  # of each schema: a provider may take one and refuse another
        self._without: dict[str, str] = {}  # what the model does not take, with the provider's words
        self._works = False  # whether a batch was answered
        self._bare: set[str] = set()  # rows that are asked without their schema

    def next(self, requests: Iterable[tuple[str, Request]]) -> Sent:
        """How these requests, each with its row, are worded now."""
        rows = {row: (request.schema_name, self._form(row, request)) for row, request in requests}
        return Sent(rows, frozenset(self._without))

    def _form(self, row: str, request: Request) -> SchemaForm:
        if request.schema_name not in self._forms:
            self._forms[request.schema_name] = SchemaForms(self._dialect, self._notes)
            if request.schema is None:
                self._forms[request.schema_name].send_none()
        return "none" if row in self._bare else self._forms[request.schema_name].left[0]

    def learn(self, sent: Sent, answers: Mapping[str, BatchAnswer]) -> set[str]:
        """Learn from the answers to a batch, by row; returns the rows that are to be asked in other words."""
        if any(answer.completion for answer in answers.values()):
            if not self._works:
                self._notes += [dialects.left_out_note(name, words) for name, words in self._without.items()]
            self._works = True
        alike: dict[tuple[str, SchemaForm], dict[str, BatchAnswer]] = defaultdict(dict)
        for row, worded in sent.rows.items():
            if row in answers and not answers[row].no_money:  # no words mend an empty account
                alike[worded][row] = answers[row]
        return {row for worded, found in alike.items() for row in self._learn(*worded, sent.without, found)}

    def _learn(
        self, schema: str, form: SchemaForm, without: frozenset[str], answers: dict[str, BatchAnswer]
    ) -> Iterable[str]:
        """The same, of the requests of a batch with one schema in one form."""
        forms = self._forms[schema]
        if any(answer.completion for answer in answers.values()):
            forms.works(form)
        elif not self._bare.issuperset(answers) and (refused := _refusal(list(answers.values()))):
            name = dialects.unsupported(refused.problem, without)
            if name and not self._works:
                self._without.setdefault(name, refused.problem)
                return answers
            if forms.refuse(form, f"{refused.status} {refused.problem}"):
                return answers
        if not forms.known or form == "none":
            return ()
        odd = {row for row, answer in answers.items() if answer.status in OF_ONE_ROW}
        self._bare |= odd
        return odd

    def check(self, row: str, request: Request, found: Completion, sent: Sent | None) -> None:
        """Note when answers do not follow the schema that was sent."""
        if sent and row in sent.rows:
            self._forms[request.schema_name].check(request, found, sent.rows[row][1])


def _refusal(answers: list[BatchAnswer]) -> BatchAnswer | None:
    """One of the refusals of requests of which none was answered, if they may be for how they were asked."""
    refused = [answer for answer in answers if answer.status in REFUSED_STATUS]
    failed = [answer for answer in answers if answer.status in OF_THE_SCHEMA - REFUSED_STATUS]
    found = refused or (failed if len(failed) == len(answers) else [])
    if not found or any(answer.status not in OF_THE_SCHEMA for answer in found):
        return None
    return found[0]
