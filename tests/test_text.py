"""Words of texts, and the scripts of languages."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.text import SCRIPTS, holds, in_script_of, same, too_short, with_instruction, word_range, words


def test_an_instruction_goes_before_the_query() -> None:
    assert with_instruction("Find it.", "a {query}") == "Instruct: Find it.\nQuery: a {query}"


# --- words ------------------------------------------------------------------------------------------------------------

COUNT = st.integers(1, 2000)


@given(COUNT, st.integers(0, 500))
def test_word_range(n: int, more: int) -> None:
    assert word_range(f"less than {n} words") == (1, n - 1)
    assert word_range(f"at least {n} words") == (n, float("inf"))
    assert word_range(f"{n} to {n + more} words") == (n, n + more)
    assert word_range(f"{n} words") == (n, n)


@given(st.text() | st.text(alphabet="less than at least to word 0123456789"))
def test_any_other_range_is_a_value_error(text: str) -> None:
    try:
        low, high = word_range(text)
    except ValueError as error:
        assert text in str(error) or repr(text) in str(error)
    else:
        assert low >= 0
        assert high >= 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("?! …", 0),
        ("It's a well-known fact.", 4),
        ("don’t stop", 2),
        ("Ünïcode größe", 2),
        ("3.5 km", 3),
        ("你好世界", 1),
        ("a  b\nc\td", 4),
    ],
)
def test_words(text: str, count: int) -> None:
    assert len(words(text)) == count


@given(st.text(), st.text())
def test_same_is_about_words_and_symmetric(a: str, b: str) -> None:
    assert same(a, a)
    assert same(a, b) == same(b, a)
    assert same("x " + a, "X, " + a)
    assert not same(a + " x", a + " y")


@given(st.lists(st.sampled_from(["a", "b", "c", "ab"]), min_size=1, max_size=8), st.data())
def test_holds_finds_exactly_the_runs_of_words(parts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(parts) - 1))
    end = data.draw(st.integers(start + 1, len(parts)))
    text = ", ".join(parts).upper() + "."
    assert holds(text, " ".join(parts[start:end]))
    assert not holds(text, " ".join([*parts[start:end], "z"]))
    assert not holds(text, "?")


@given(COUNT)
def test_too_short_leaves_a_fifth_of_play(least: int) -> None:
    enough = -(-least * 4 // 5)
    assert not too_short("a " * enough, least)
    assert too_short("a " * (enough - 1), least)
    assert not too_short("", least, "Thai")


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_there_are_93_languages() -> None:
    assert len(SCRIPTS) == 93
    assert all(scripts for scripts in SCRIPTS.values())


def test_every_script_is_one_unicode_knows() -> None:
    known = {unicodedata.name(chr(i), "").replace("-", " ").split(" ")[0] for i in range(0x30000) if chr(i).isalpha()}
    assert {script for scripts in SCRIPTS.values() for script in scripts} <= known


SENTENCES = {
    "English": "The bridge was closed for three days.",
    "German": "Die Brücke war drei Tage lang gesperrt.",
    "Polish": "Most był zamknięty przez trzy dni.",
    "Vietnamese": "Cây cầu đã bị đóng cửa trong ba ngày.",
    "Turkish": "Köprü üç gün boyunca kapalıydı.",
    "Russian": "Мост был закрыт три дня.",
    "Ukrainian": "Міст був закритий три дні.",
    "Serbian": "Мост је био затворен три дана.",
    "Greek": "Η γέφυρα ήταν κλειστή για τρεις ημέρες.",
    "Arabic": "كان الجسر مغلقًا لمدة ثلاثة أيام.",
    "Persian": "پل سه روز بسته بود.",
    "Urdu": "پل تین دن تک بند رہا۔",
    "Hebrew": "הגשר היה סגור במשך שלושה ימים.",
    "Hindi": "पुल तीन दिनों तक बंद रहा।",
    "Bengali": "সেতুটি তিন দিন বন্ধ ছিল।",
    "Tamil": "பாலம் மூன்று நாட்கள் மூடப்பட்டது.",
    "Telugu": "వంతెన మూడు రోజులు మూసివేయబడింది.",
    "Thai": "สะพานปิดเป็นเวลาสามวัน",
    "Georgian": "ხიდი სამი დღით დაიკეტა.",
    "Armenian": "Կամուրջը փակ էր երեք օր։",
    "Amharic": "ድልድዩ ለሦስት ቀናት ተዘግቶ ነበር።",
    "Khmer": "ស្ពានត្រូវបានបិទរយៈពេលបីថ្ងៃ។",
    "Korean": "다리는 3일 동안 폐쇄되었다.",
    "Chinese": "这座桥关闭了三天。",
    "Japanese": "その橋は3日間通行止めだったスーパー。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_in_its_script_and_in_no_other(language: str) -> None:
    text = SENTENCES[language]
    assert in_script_of(text, language)
    for other, scripts in SCRIPTS.items():
        if not scripts & SCRIPTS[language]:
            assert not in_script_of(text, other), other


def test_half_of_the_letters_are_enough_and_other_signs_do_not_count() -> None:
    assert in_script_of("ab вг 12345 !?", "English")
    assert in_script_of("ab вг", "Russian")
    assert not in_script_of("a вг", "English")
    assert in_script_of("12:30 – 3.5 %", "Thai")
    assert in_script_of("", "Thai")
    assert in_script_of("Beograd", "Serbian")  # written in two scripts


@given(st.text(), st.sampled_from(sorted(SCRIPTS)))
def test_any_text_has_an_answer(text: str, language: str) -> None:
    assert in_script_of(text, language) in (True, False)


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(KeyError):
        in_script_of("a", "Klingon")
