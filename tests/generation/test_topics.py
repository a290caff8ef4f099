"""Topic paths, and the scripts languages are written in."""

import unicodedata
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import RecipeError
from hub_speed.generation.topics import read_file, spoken, truncate
from hub_speed.text import SCRIPTS, in_script_of

# --- topics ---------------------------------------------------------------------------------------------------------

PART = st.text(alphabet="abcXYZ_ é-3", min_size=1, max_size=6).filter(str.strip)


@pytest.mark.parametrize(
    ("path", "depth", "expected"),
    [
        # SPEED App. D.1
        ("Arts/Movies/Titles/3/36_Hours_-_1964/Cast_and_Crew", 4, "Arts/Movies/36_Hours_-_1964/Cast_and_Crew"),
        ("Arts/Movies/Titles/3", 4, "Arts/Movies/Titles/3"),
        ("Arts", 4, "Arts"),
        ("a/b/c/d/e", 3, "a/b/e"),
        ("a/b/c/d/e", 2, "a/e"),
        ("a/b/c/d/e", 1, "a"),
        ("/a//b/ c /", 4, "a/b/c"),
        ("", 4, ""),
    ],
)
def test_truncate(path: str, depth: int, expected: str) -> None:
    assert truncate(path, depth) == expected


@given(st.lists(PART, min_size=1, max_size=9), st.integers(1, 8))
def test_truncate_keeps_head_and_tail_and_drops_the_middle(parts: list[str], depth: int) -> None:
    clean = [part.strip() for part in parts]
    found = truncate("/".join(parts), depth).split("/")
    assert len(found) == min(len(parts), depth)
    cut = next((i for i, (a, b) in enumerate(zip(found, clean, strict=False)) if a != b), len(found))
    assert found[cut:] == clean[len(clean) - (len(found) - cut) :]
    assert found[: (depth + 1) // 2] == clean[: (depth + 1) // 2]  # the head is never the shorter half
    assert truncate("/".join(found), depth) == "/".join(found)


def test_spoken() -> None:
    assert spoken("World/Countries/New_Zealand") == "World > Countries > New Zealand"
    assert spoken("Arts") == "Arts"


def test_a_topic_file_has_one_path_a_line(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("# a comment\nArts\n\n  Arts/Movies  \nC#/Tools\nÄrzte\n", "utf-8")
    assert read_file(path) == ["Arts", "Arts/Movies", "C#/Tools", "Ärzte"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"# only\n\n", "is empty"), (b"caf\xe9", "cannot be read"), (None, "cannot be read")],
)
def test_a_topic_file_that_is_none(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "topics.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=says) as caught:
        read_file(path)
    assert "brainstorm.topics" in str(caught.value)
    assert "topics.txt" in str(caught.value)


def test_the_shipped_topics_are_paths_of_many_grains() -> None:
    topics = read_file(Path(str(resources.files("hub_speed"))) / "recipes" / "topics.txt")
    assert len(topics) == len(set(topics)) > 300
    assert {1, 2, 3, 4} <= {topic.count("/") + 1 for topic in topics}
    assert len({truncate(topic, 4) for topic in topics}) == len(topics)  # what is cut stays a topic of its own
    assert all("/".join(topic.split("/")[:-1]) in {"", *topics} for topic in topics)
    assert not [topic for topic in topics if " " in topic or "{" in topic]


# --- languages ------------------------------------------------------------------------------------------------------


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
