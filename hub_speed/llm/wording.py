"""How a request is worded for a server: the form of its schema and the parameters that are left out.

Both are learnt from refusals. A row that is refused is asked in other words, for itself alone; a wording is given up
for all rows once several rows say the same (`schema_forms.Contrary`), and never after it has worked. Requests already
under way look again before each attempt. What is left out is learnt of each replica by itself: its neighbour may take
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub_speed.llm import dialects
from hub_speed.llm.dialects import Completion, Dialect, Request, SchemaForm
from hub_speed.llm.schema_forms import OF_THE_SCHEMA, Contrary, SchemaForms

OF_A_PARAMETER = {400, 422, 500}  # how servers answer a parameter that they do not know


class Parameters:
    """The parameters of a chat that a server does not take.

    Args:
        dialect: how the server is asked.
        notes: gets a sentence for each parameter.
        name: which server it is, where there are several.

    Attributes:
        dialect: how the server is asked.
        left_out: what is left out of every request.
    """

    def __init__(self, dialect: Dialect, notes: list[str], name: str = "") -> None:
        self.dialect = dialect
        self.left_out: frozenset[str] = frozenset()
        self._notes, self._name, self._contrary = notes, name, Contrary()
        self._worked: set[frozenset[str]] = set()  # what was left out of requests that were answered

    def begin(self) -> bool:
        """What `works` wants to know of a row's beginning."""
        return self._contrary.begin()

    def works(self, without: frozenset[str], refused: Mapping[str, str], begun: bool) -> None:
        """A row was answered.

        Args:
            without: what was left out.
            refused: the parameters for which the same row was refused before, with the server's words.
            begun: what `begin` said before.
        """
        self._worked.add(without)
        for name, words in refused.items():
            if any(name not in other for other in self._worked) or not self._contrary.refuse(name, begun):
                continue
            if name not in self.left_out:
                self.left_out |= {name}
                self._notes.append(f"{self._name} {dialects.left_out_note(name, words)}".strip())


@dataclass
class _Refused:
    """What one server refused of a row.

    Attributes:
        begun: what `Parameters.begin` said before.
        names: the parameters, with the server's words.
    """

    begun: bool
    names: dict[str, str] = field(default_factory=dict)


class Wording:
    """The words of one row's requests, after what they were refused.

    Attributes:
        form: how the schema is sent, once `look` was called.
        without: the parameters that are left out.
        changes: how often a refusal has changed the words.
    """

    form: SchemaForm = "none"
    without: frozenset[str] = frozenset()
    changes = 0

    _parameters: Parameters

    def __init__(self, request: Request, forms: SchemaForms) -> None:
        self._forms = forms
        self._has_schema, self._known = request.schema is not None, forms.known
        self._begun: bool | None = None
        self._refused_forms: dict[SchemaForm, str] = {}
        self._refused: dict[Parameters, _Refused] = {}
        self._told = False

    def look(self, parameters: Parameters) -> None:
        """Takes on what was learnt from other rows meanwhile; the row begins when it is first called.

        Args:
            parameters: of the server that is asked next.
        """
        self._begun = self._forms.begin() if self._begun is None else self._begun
        self.form = (self._refused_forms and self._forms.next(self._refused_forms)) or self._forms.left[0]
        self._parameters = parameters
        if parameters not in self._refused:
            self._refused[parameters] = _Refused(parameters.begin())
        self.without = parameters.left_out.union(self._refused[parameters].names)

    def leave_out(self, status: int, words: str) -> bool:
        """Whether a refusal names a parameter that can be left out; it is, from now on."""
        if self._parameters.dialect in ("tgi", *dialects.RERANKERS) or status not in OF_A_PARAMETER:
            return False
        name = dialects.unsupported(words, self.without)
        if not name or (status == 500 and name != "system"):  # only of a chat template is a 500 no passing fault
            return False
        self._refused[self._parameters].names[name] = words
        self.changes += 1
        return True

    def change_form(self, status: int, words: str, failures: int = 0) -> bool:
        """Whether the schema can be sent otherwise, or left out, after a refusal; it is, from now on.

        Args:
            status: of the refusal.
            words: the server's.
            failures: how often the request has failed. Where a form works for others, a first failure may just pass.
        """
        if not self._has_schema or status not in OF_THE_SCHEMA:
            return False
        known_before, self._known = self._known, self._forms.known
        if self._known and not known_before:  # what was refused while nothing was known says little
            self._refused_forms.clear()
            return True
        if self._known and status >= 500 and not failures:
            return False
        self._refused_forms[self.form] = words
        if self._forms.next(self._refused_forms):
            self.changes += 1
            return True
        if not self._known:
            self._refused_forms.clear()
        return False

    def works(self, request: Request, found: Completion) -> None:
        """A request was answered in these words; what the row was refused before counts once."""
        assert self._begun is not None
        refused = self._refused[self._parameters]
        if self._has_schema:
            self._forms.works(self.form, {} if self._told else self._refused_forms, self._begun)
            self._forms.check(request, found, self.form)
        self._parameters.works(self.without, {} if self._told else refused.names, refused.begun)
        self._told = True
