"""Which form of structured output a server takes: found out from what it refuses, the same online and in batches.

A server that does not know a form refuses the request, but it may as well refuse it for what the request says, or
because it is starting. Only an answer proves a form: from then on the form is used for all requests, and a refusal is
one of the request itself, which is asked once more without its schema. Without such proof, a row that is refused is
asked in the next form, for itself alone; a form is given up for all rows once several rows were refused in it and
answered in another: see `Contrary`.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping

from hub_speed.llm.dialects import SCHEMA_FORMS, UNFINISHED, Completion, Dialect, Request, SchemaForm
from hub_speed.llm.transport import REFUSED_STATUS

SEVERAL = 3  # Assumption: so many rows that say the same are not odd ones
OF_THE_SCHEMA = REFUSED_STATUS - {401} | {500, 501}  # how servers answer a form that they do not know
ANSWERS_TO_CHECK = 20  # Assumption: a server that ignores the schema shows it in some of the first answers

_log = logging.getLogger("hub_speed")


class Contrary:
    """What speaks against ways of asking: rows that were refused in one of them and answered in another.

    The first such row counts, and then those that were begun after its end: a trouble that passes, however many
    requests it meets, counts once.
    """

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()

    def begin(self) -> bool:
        """What a row remembers of its beginning: whether there was a contrary row already."""
        return bool(self._rows)

    def refuse(self, way: str, begun: bool) -> bool:
        """A row was refused in a way and answered in another; returns whether several rows say so by now."""
        if begun or not self._rows[way]:
            self._rows[way] += 1
        return self._rows[way] >= SEVERAL


class SchemaForms:
    """The forms in which a JSON schema may be sent to one server.

    Args:
        dialect: how the server is asked.
        notes: gets a sentence when the server wants another form than the first, or ignores the schema.

    Attributes:
        left: the forms that may still work, the one in use first.
        known: whether the form in use is known to work, or is the only one there is.
    """

    def __init__(self, dialect: Dialect, notes: list[str]) -> None:
        self._all = self.left = SCHEMA_FORMS[dialect]
        self.known = len(self._all) == 1
        self._notes = notes
        self._refusal = ""  # of the first form, in the server's words
        self._contrary, self._answered = Contrary(), set[SchemaForm]()
        self._on_trial = False  # whether a form was passed over without proof
        self._to_check, self._ignored = ANSWERS_TO_CHECK, 0

    def begin(self) -> bool:
        """What `works` wants to know of a row's beginning."""
        return self._contrary.begin()

    def next(self, refused: Collection[SchemaForm]) -> SchemaForm | None:
        """The form for a row that was refused in these forms, at last without a schema; None when there is no other."""
        return next((form for form in (*self.left, "none") if form not in refused), None)

    def works(self, form: SchemaForm, refused: Mapping[SchemaForm, str] | None = None, begun: bool = False) -> None:
        """A row was answered in a form; one that is known to work stays, unless it sends no schema.

        Args:
            form: how the schema was sent.
            refused: the forms in which the same row was refused, with the server's words.
            begun: what `begin` said before.
        """
        in_use = self.left[0]
        if self.known and (in_use != "none" or not self._on_trial):
            return
        if self._on_trial and self._all.index(form) < self._all.index(in_use):
            self._settle(form)
            return
        self._answered.add(form)
        several = [other for other in refused or {} if self._contrary.refuse(other, begun)]
        self._refusal = self._refusal or (refused or {}).get(self._all[0], "")
        while self.left[0] in several and self.left[0] not in self._answered:
            self.left = self.left[1:]
        if self.left[0] in self._answered:
            self._settle(self.left[0])

    def _settle(self, form: SchemaForm) -> None:
        """Use a form from now on."""
        if not self.known and form != self._all[0]:
            _log.info("a JSON schema as %s is refused: sent as %s", self._all[0], form)
            self._notes.append(f"refuses a JSON schema as {self._all[0]}: sent as {form}. It says: {self._refusal}")
        self.left, self.known = (form,), True

    def refuse(self, form: SchemaForm, words: str) -> bool:
        """Try the next form on all rows, after a batch that was refused as a whole; returns whether there is one."""
        if form == self.left[0]:
            if len(self.left) == 1:
                return False
            self.left, self._on_trial = self.left[1:], True
            self._refusal = self._refusal or words
        return True

    def send_none(self) -> None:
        """Settle on no form, because the requests have no schema."""
        self.left, self.known = ("none",), True

    def check(self, request: Request, found: Completion, form: SchemaForm) -> None:
        """Note when answers do not follow the schema that was sent in a form; looks at the first answers only."""
        if not self._to_check or request.schema is None or form == "none":
            return
        self._to_check -= 1
        ended = [text for text, why in zip(found.texts, found.finish_reasons, strict=True) if why not in UNFINISHED]
        self._ignored += not all(_has(text, request.schema.get("required", [])) for text in ended)
        if self._ignored == SEVERAL:
            self._to_check = 0
            _log.info("a JSON schema as %s is taken, but not followed", form)
            self._notes.append(f"takes a JSON schema as {form}, but answers otherwise")


def _has(text: str, names: list[str]) -> bool:
    """Whether a text is one JSON object with these names; a schema does not keep raw line breaks out of strings."""
    try:
        value = json.loads(text, strict=False)
        return isinstance(value, dict) and value.keys() >= set(names)
    except (ValueError, RecursionError):
        return False
