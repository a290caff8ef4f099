"""What a check may find wrong with an answer: each says what was found, and what was asked for."""

from hub_speed import text
from hub_speed.task_types.base import Answer, Flaw


def positive_equals_query(answer: Answer, positive: str, query: str) -> Flaw | None:
    """The field `positive` has the words of the field `query`."""
    return _equal("positive_equals_query", answer, positive, query)


def positive_equals_negative(answer: Answer, negative: str, *others: str) -> Flaw | None:
    """The field `negative` has the words of another field."""
    return next(filter(None, (_equal("positive_equals_negative", answer, negative, other) for other in others)), None)


def _equal(reason: str, answer: Answer, name: str, other: str) -> Flaw | None:
    same = text.same(getattr(answer, name), getattr(answer, other))
    return Flaw(reason, f"{name} and {other} are the same") if same else None


def label_leak(answer: Answer, name: str, *labels: str) -> Flaw | None:
    """The field `name` gives a label away."""
    for label in labels:
        if text.gives_away(getattr(answer, name), getattr(answer, label)):
            return Flaw("label_leak", f"{name} contains the {label} {getattr(answer, label)!r:.80}")
    return None


def too_short(answer: Answer, names: tuple[str, ...], least: int) -> Flaw | None:
    """One of the fields has clearly fewer than `least` words."""
    for name in names:
        if text.too_short(getattr(answer, name), least):
            count = text.word_count(getattr(answer, name))[1]
            return Flaw("too_short", f"{name}: {count:.0f} words, asked for {least}")
    return None


def too_long(answer: Answer, names: tuple[str, ...], most: float, language: str) -> Flaw | None:
    """One of the fields has clearly more than `most` words."""
    for name in names:
        if text.too_long(getattr(answer, name), most):
            count = text.word_count(getattr(answer, name))[0]
            how = ", counted by their signs" if language in text.UNSPACED else ""
            return Flaw("too_long", f"{name}: {count:.0f} words{how}, asked for at most {most:.0f}")
    return None


def wrong_script(answer: Answer, names: tuple[str, ...], language: str) -> Flaw | None:
    """One of the fields is mostly in a script that the language does not use."""
    for name in names:
        if not text.in_script_of(getattr(answer, name), language):
            return Flaw("wrong_script", f"{name}: asked for {language}")
    return None
