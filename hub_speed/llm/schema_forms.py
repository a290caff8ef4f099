"""Which form of structured output a server takes: found out from what it refuses, the same online and in batches.

A server that does not know a form refuses the request, but it may as well refuse it for what the request says. Only an
answer proves a form: from then on the form is used for all requests, and a refusal is one of the request itself.
"""

import json
import logging

from hub_speed.llm.dialects import SCHEMA_FORMS, UNFINISHED, Completion, Dialect, Request, SchemaForm

ANSWERS_TO_CHECK = 20  # Assumption: a server that ignores the schema shows it in one of the first answers

_log = logging.getLogger("hub_speed")


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
        self._to_check = ANSWERS_TO_CHECK

    def works(self, form: SchemaForm, refusal: str = "") -> None:
        """Settle on a form that was answered; of two that were, the earlier one stays.

        Args:
            form: how the schema was sent.
            refusal: the server's words about the first form; those given to `refuse` where empty.
        """
        if self.known and self._all.index(form) >= self._all.index(self.left[0]):
            return
        refusal = refusal or self._refusal
        if refusal and not self.known and form != self._all[0]:
            _log.info("a JSON schema as %s is refused: sent as %s", self._all[0], form)
            self._notes.append(f"refuses a JSON schema as {self._all[0]}: sent as {form}. It says: {refusal}")
        self.left, self.known = (form,), True

    def refuse(self, form: SchemaForm, words: str) -> bool:
        """Go on to the next form after a refusal; returns whether there is another form to try."""
        if form == self.left[0]:
            if len(self.left) == 1:
                return False
            self.left = self.left[1:]
            self._refusal = self._refusal or words
        return True

    def send_none(self) -> None:
        """Settle on no form, because the requests have no schema."""
        self.left, self.known = ("none",), True

    def check(self, request: Request, found: Completion) -> None:
        """Note when an answer does not follow the schema that was sent; looks at the first answers only."""
        if not self._to_check or request.schema is None or self.left[0] == "none":
            return
        self._to_check -= 1
        ended = [text for text, why in zip(found.texts, found.finish_reasons, strict=True) if why not in UNFINISHED]
        if not all(_has(text, request.schema.get("required", [])) for text in ended):
            self._to_check = 0
            _log.info("a JSON schema as %s is taken, but not followed", self.left[0])
            self._notes.append(f"takes a JSON schema as {self.left[0]}, but answers otherwise")


def _has(text: str, names: list[str]) -> bool:
    """Whether a text is one JSON object with these names; a schema does not keep raw line breaks out of strings."""
    try:
        value = json.loads(text, strict=False)
        return isinstance(value, dict) and value.keys() >= set(names)
    except (ValueError, RecursionError):
        return False
