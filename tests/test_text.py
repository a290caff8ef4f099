"""Words of texts, and the scripts of languages."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.text import (
    SCRIPTS,
    copies,
    gives_away,
    holds,
    in_script_of,
    same,
    too_long,
    too_short,
    with_instruction,
    word_count,
    word_range,
    words,
)


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
        ("a  b\nc\td", 4),
        ("10 m² of soft\xadware", 4),
    ],
)
def test_words(text: str, count: int) -> None:
    assert len(words(text)) == count


COUNTED = [  # by hand
    ("French", "L’école n’était pas fermée aujourd’hui.", 5),
    ("Catalan", "La col·lecció és nova.", 4),
    ("Vietnamese", "Cây cầu đã bị đóng cửa trong ba ngày.", 9),
    ("Turkish", "İstanbul'da köprü kapalıydı.", 3),
    ("Russian", "Мост был закрыт три дня.", 5),
    ("Greek", "Η γέφυρα ήταν κλειστή για τρεις ημέρες.", 7),
    ("Arabic", "كان الجسر مغلقًا لمدة ثلاثة أيام.", 6),
    ("Arabic, vocalised", "كَانَ الجِسْرُ مُغْلَقًا لِمُدَّةِ ثَلَاثَةِ أَيَّامٍ.", 6),
    ("Hebrew", 'צה"ל וארה״ב', 2),
    ("Hebrew with niqqud", "הַגֶּשֶׁר הָיָה סָגוּר בְּמֶשֶׁךְ שְׁלוֹשָׁה יָמִים.", 6),
    ("Persian", "او می‌رود و کتاب‌ها را می‌خواند.", 6),
    ("Urdu", "پل تین دن تک بند رہا۔", 6),
    ("Hindi", "पुल तीन दिनों तक बंद रहा।", 6),
    ("Bengali", "সেতুটি তিন দিন বন্ধ ছিল।", 5),
    ("Gujarati", "પુલ ત્રણ દિવસ બંધ હતો.", 5),
    ("Tamil", "பாலம் மூன்று நாட்கள் மூடப்பட்டது.", 4),
    ("Telugu", "వంతెన మూడు రోజులు మూసివేయబడింది.", 4),
    ("Kannada", "ಸೇತುವೆ ಮೂರು ದಿನ ಮುಚ್ಚಿತ್ತು.", 4),
    ("Malayalam", "പാലം മൂന്ന് ദിവസം അടച്ചിട്ടു.", 4),
    ("Sinhala", "ශ්‍රී ලංකාව ලස්සනයි.", 3),
    ("Amharic", "ድልድዩ ለሦስት ቀናት ተዘግቶ ነበር።", 5),
    ("Georgian", "ხიდი სამი დღით დაიკეტა.", 4),
    ("Korean", "다리는 3일 동안 폐쇄되었다.", 4),
    # Of these, signs are counted.
    ("Chinese", "这座桥关闭了三天。", 8),
    ("Japanese", "その橋はスーパーです。", 10),
    ("Thai", "ที่นี่ปิด", 4),
    ("Khmer", "ស្ពាន", 3),
]


@pytest.mark.parametrize(("language", "text", "count"), COUNTED)
def test_words_of_all_scripts(language: str, text: str, count: int) -> None:
    assert len(words(text)) == count
    assert words(unicodedata.normalize("NFD", text)) == words(text)


@given(st.text(alphabet=st.characters(max_codepoint=0x24F) | st.sampled_from("аяΩσς’–“… -'·")))
def test_the_fast_way_finds_the_same_words(text: str) -> None:
    assert words(text + " 😀") == words(text)


@given(st.text())
def test_composed_and_decomposed_texts_have_the_same_words(text: str) -> None:
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("की", "के", False),
        ("बच्चा।", "बच्चा", True),
        ("cafe\u0301", "Café", True),
        ("שלום", "שלום!", True),
        ("มา", "มี", False),
        ("管道", "管 道。", True),
        ("كِتَاب", "كتاب", True),
        ("كتـــاب", "كتاب", True),
        ("كتاب", "كاتب", False),
        ("أكل", "اكل", False),  # hamza is a part of the letter
        ("שָׁלוֹם", "שלום", True),
        ("Ի՞նչ է սա", "Ինչ է սա", True),
        ("ＡＢＣ　１", "abc 1", True),
        ("STRASSE", "Straße", True),
        ("İyi", "iyi", True),
        ("ΑΘΗΝΑ", "Αθήνα", True),
        ("Ο ΟΔΟΣ ΕΙΝΑΙ ΑΥΤΟΣ", "Ο οδός είναι αυτός.", True),
        ("Αθήνα", "Αθηνά Α", False),
        ("ΛΑΪΚΗ", "λαϊκή", True),
        ("hòa bình", "hoà bình", True),
        ("HÒA", "hoà", True),
        ("khỏe, thủy", "khoẻ, thuỷ", True),
        ("hoa bình", "hoà bình", False),
        ("ma", "mà", False),
        ("مدرسة على", "مدرسه علي", True),
        ("کتاب فارسی", "كتاب فارسي", True),
        ("إسلام آباد", "اسلام اباد", False),
        ("سؤال", "سوال", False),
        ("ශ්‍රී ලංකාව", "ශ්රී ලංකාව", True),
    ],
)
def test_the_same_words_in_other_scripts(a: str, b: str, alike: bool) -> None:
    assert same(a, b) is alike


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("C++", "C#"),
        ("C", "C++"),
        ("C", "C#"),
        ("A+", "A-"),
        ("AB-", "AB"),
        ("+1", "-1"),
        ("It is 5 degrees.", "It is -5 degrees."),
        ("It is 5 degrees.", "It is −5 degrees."),
        ("x < 5", "x > 5"),
        ("5 + 3", "5 - 3"),
        ("€100", "$100"),
        ("-€5", "€5"),
        ("5%", "5"),
        ("Great 😀", "Great 😡"),
        ("from C to C++", "from C++ to C"),
    ],
)
def test_symbols_make_two_texts_of_the_same_words(a: str, b: str) -> None:
    assert words(a) == words(b)
    assert not same(a, b) and not same(b, a)


TYPESET = "It's \"well-known\" (since 1990-95): C++, A-, -5 °C and 20% - or €3 ≠ é; the Brand's #1?\n# No `end`"


@pytest.mark.parametrize(
    "copy",
    [
        unicodedata.normalize("NFD", TYPESET),
        TYPESET.upper(),
        TYPESET.replace("'", "’").replace('"', "”"),
        TYPESET.replace("-5", "−5").replace(" - ", " — ").replace("A-", "A−"),
        TYPESET.replace("-5", "–5").replace(" - ", " – ").replace("well-known", "well‑known"),
        TYPESET.replace(" ", "\u00a0").replace("\n", "  "),
        TYPESET.replace("20%", "20 %").replace("+", "＋").replace("°C", "° C"),
        TYPESET.replace("`", "").replace("# No", "No").replace("Brand's", "Brand's™"),
        TYPESET.replace('"', "").replace(":", "").replace(";", ",").replace(" - ", ", ") + ".",
    ],
)
def test_typography_makes_no_other_text(copy: str) -> None:
    assert copy != TYPESET
    assert same(TYPESET, copy) and same(copy, TYPESET)


@given(st.text(), st.text())
def test_same_is_about_words_and_symmetric(a: str, b: str) -> None:
    assert same(a, a)
    assert same(a, b) == same(b, a)
    assert same("x " + a, "X, " + a)
    assert not same(a + " x", a + " y")


@given(st.text(alphabet="αάΆςσΣϊΐأاآىيیةهكکòoaàáuyỳ\u0301\u0300\u0308 ’ß"))
def test_case_and_form_of_unicode_make_no_other_text(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert same(text, unicodedata.normalize(form, text)) and same(unicodedata.normalize(form, text), text)
    assert same(text, text.lower())


@given(st.lists(st.sampled_from(["a", "b", "c", "ab"]), min_size=1, max_size=8), st.data())
def test_holds_finds_exactly_the_runs_of_words(parts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(parts) - 1))
    end = data.draw(st.integers(start + 1, len(parts)))
    text = ", ".join(parts).upper() + "."
    assert holds(text, " ".join(parts[start:end]))
    assert not holds(text, " ".join([*parts[start:end], "z"]))
    assert not holds(text, "?")


@pytest.mark.parametrize(
    ("text", "part", "found"),
    [
        ("厨房的管道漏水了。", "管道", True),
        ("厨房的水龙头漏水了。", "管道", False),
        ("台所の水道管が漏れています。", "水道", True),
        ("ท่อน้ำประปารั่วทั้งคืน", "ประปา", True),
        ("ท่อน้ำรั่วทั้งคืน", "ประปา", False),
        ("배관이 막혀서 물이 샙니다.", "배관", True),  # with a particle
        ("급수배관이 막혔다.", "배관", False),
        ("Python으로 작성", "Python", True),
        ("USB-C를 꽂는다.", "usb-c", True),
        ("iPython으로 작성", "Python", False),
        ("Pythonic하다", "Python", False),
        ("الدرس رِيَاضَةٍ اليوم", "رياضة", True),
        ("הַסֵּפֶר כָּאן", "הספר", True),
        ("यह नल का काम है।", "नल", True),
        ("यह नली है।", "नल", False),
        ("The taps drip.", "tap", False),
        ("Toyota's engine", "Toyota", True),
        ("Einstein’s letters", "Einstein", True),
        ("un train pour l'Italie", "Italie", True),
        ("il colore dell’arancia", "Arancia", True),
        ("Dün Ankara'da toplandı.", "Ankara", True),
        ("a Berlin-based band", "Berlin", True),
        ("a New York-based band", "New York", True),
        ("a full-time Berliner", "Berlin", False),
        ("We can't stay.", "can", False),  # short words make others
        ("the well-being of all", "being", False),
        ("the well-being of all", "Well-being", True),
        ("a state-of-the-art tap", "state-of-the-art", True),
        ("The case is non-urgent.", "urgent", True),  # negated: the word is there
        ("It is not urgent.", "urgent", True),
        ("a non-toxic paint", "Toxic", True),
        ("a nontoxic paint", "toxic", False),
        ("אני אוהב את הכלבים", "כלבים", True),
        ("דיווח ושבספורט", "ספורט", True),
        ("הגענו לים", "ים", False),  # two letters
        ("שתינו את המים", "מים", True),
        ("זה מקרה", "קרה", False),  # another word
        ("במדבר", "דבר", False),
        ("أحب الرياضة", "رياضة", True),
        ("عن كرة ولالرياضة", "رياضة", False),
        ("وسياسة", "سياسة", True),
        ("في المعلم", "علم", False),
        ("في العلم", "علم", True),
        ("للحرب", "حرب", True),
        ("የስፖርት ዜና", "ስፖርት", True),
        ("ስለስፖርት", "ስፖርት", True),
        ("ከተማ", "ተማ", False),
    ],
)
def test_a_label_is_found_in_the_way_its_script_is_written(text: str, part: str, found: bool) -> None:
    assert holds(text, part) is found
    assert gives_away(text, part) is found


@pytest.mark.parametrize(
    ("part", "copied"),
    [
        ("the tap drips all", True),
        ("the tap drips", False),
        ("水龙头", False),
        ("厨房里的水龙头整夜漏水", True),
        ("厨房里的水龙头整夜漏油", False),
    ],
)
def test_a_copied_query_is_more_than_a_name(part: str, copied: bool) -> None:
    assert copies("At night the tap drips all the time. 他说厨房里的水龙头整夜漏水。", part) is copied


@pytest.mark.parametrize(
    ("text", "label", "named"),
    [
        ("There is no doubt that the tap drips.", "no", False),
        ("All other rooms are dry.", "other", False),
        ("A tap drips.", "A", False),
        ("好的,水龙头漏水。", "好", False),
        ("이 물은 네 것이다.", "네", False),
        ("我没有钥匙。", "没有", False),
        ("Is the tap dry? Answer: no.", "No", True),
        ("The tap drips.\nno\n", "no", True),
        ("是否漏水：不是", "不是", True),
        ("We burn gas and no oil.", "gas", True),
        ("No pets may enter.", "no pets", True),
        ("It drips.", "?", False),
        ("Bugün hava çok iyi geçti.", "İyi", True),
        ("Kaç para? İYİ!", "iyi", True),
        ("خبر بالرياضه", "رياضة", True),
        ("Η ΑΘΗΝΑ ΣΗΜΕΡΑ", "Αθήνα", True),
        ("Người dân muốn hoà bình", "Hòa bình", True),
        ("Valentine’s Day is near.", "Valentine's Day", True),
        ("Արդյոք Երևա՞ն է գնում", "Երևան", True),
        ("Tôi không biết.", "Không", False),
        ("Saya tidak tahu.", "Tidak", False),
        ("Ik weet het niet.", "Niet", False),
        ("El otro lado", "Otro", False),
        ("O outro lado", "Outro", False),
        ("أنا لا أعرف", "لا", False),
        ("אני לא יודע", "לא", False),
        ("איך ווייס ניט", "ניט", False),
        ("Όχι μόνο αυτό", "Όχι", False),
        ("მე არა ვარ", "არა", False),
        ("አዎ እሄዳለሁ", "አዎ", False),
        ("วันนี้อากาศดีมาก", "ดี", False),
        ("วันนี้เขาไปตลาด", "ไป", False),
        ("วันนี้มีกีฬาให้ดู", "กีฬา", True),
        ("คำตอบ: ดี", "ดี", True),
        ("ອາຫານນີ້ດີຫຼາຍ", "ດີ", False),
        ("ဒီနေ့ သွားမည်", "မည်", False),
        ("ថ្ងៃនេះល្អណាស់", "ល្អ", False),
        ("ថ្ងៃនេះមានកីឡា", "កីឡា", True),
        ("هذا من البيت", "من", False),
        ("זה ספר של אבא", "של", False),
    ],
)
def test_everyday_labels_are_parts_of_ordinary_sentences(text: str, label: str, named: bool) -> None:
    assert gives_away(text, label) is named


@given(COUNT)
def test_too_short_leaves_a_fifth_of_play(least: int) -> None:
    enough = -(-least * 4 // 5)
    assert not too_short("a " * enough, least)
    assert too_short("a " * (enough - 1), least)


@given(st.integers(1, 50))
def test_too_long_is_twice_as_long(most: int) -> None:
    assert not too_long("a " * 2 * most, most)
    assert too_long("a " * (2 * most + 1), most)
    assert not too_long("橋" * 4 * most, most)
    assert too_long("橋" * (4 * most + 1), most)
    assert not too_long("橋", float("inf"))


@pytest.mark.parametrize(
    ("text", "counted"),  # by hand
    [
        ("我昨天在图书馆借了三本关于植物的书。", 10),
        ("その橋は三日間閉鎖されていました。", 8),
        ("สะพานแห่งนี้ถูกปิดเป็นเวลาสามวัน", 9),
        ("Python 3 を使う", 4),
        ("The bridge is closed.", 4),
    ],
)
def test_words_of_scripts_without_spaces_are_counted_by_their_signs(text: str, counted: int) -> None:
    fewest, most = word_count(text)
    assert fewest - 1 <= counted <= most + 1 and most <= 2 * fewest
    assert not too_short(text, counted) and not too_long(text, counted)
    assert too_short(text, 2 * counted) and too_long(text * 4, counted)


def test_fifty_words_of_thai_are_more_than_43_signs() -> None:
    assert too_short("ก" * 43, 50) and not too_short("ก" * 150, 50)


SIGNS = st.sampled_from([*"这座桥。，その橋ーはスーパー・ｶﾞ々〇Ａ１〜", *"ที่นี่ปิดຂອບໃຈស្ពានမြန်မာ៛", *"aB1 -'’·é²_\n\u200b"])


@given(st.lists(SIGNS).map("".join))
def test_the_fast_way_of_scripts_without_spaces_finds_the_same_words(text: str) -> None:
    assert words(text + " 😀") == words(text)


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


SECOND_SCRIPTS = {
    "Azerbaijani": ("Körpü üç gün bağlı idi.", "Көрпү үч ҝүн бағлы иди.", "کؤرپو اوچ گون باغلی ایدی."),
    "Bosnian": ("Most je bio zatvoren tri dana.", "Мост је био затворен три дана."),
    "Hausa": ("An rufe gada kwana uku.", "اَن رُڢٜ غَدَ كْوَنَ أُكُ"),
    "Javanese": ("Kretege ditutup telung dina.", "ꦏꦽꦠꦼꦒꦺ ꦢꦶꦠꦸꦠꦸꦥ꧀"),
    "Kazakh": ("Көпір үш күн жабық болды.", "كوپىر ۇش كۇن جابىق بولدى."),
    "Kurdish": ("Pir sê rojan girtî bû.", "پردەکە سێ ڕۆژ داخرابوو.", "Пьр се рожан гърти бу."),
    "Kyrgyz": ("Көпүрө үч күн жабык болду.", "كۅپۉرۅ ۉچ كۉن جابىق بولدۇ."),
    "Malay": ("Jambatan itu ditutup selama tiga hari.", "جمبتن ايت دتوتوڤ سلام تيݢ هاري."),
    "Mongolian": ("Гүүр гурван өдөр хаалттай байв.", "ᠭᠦᠦᠷ ᠭᠤᠷᠪᠠᠨ ᠡᠳᠦᠷ"),
    "Punjabi": ("ਪੁਲ ਤਿੰਨ ਦਿਨ ਬੰਦ ਰਿਹਾ।", "پل تن دن بند رہیا۔"),
    "Serbian": ("Мост је био затворен три дана.", "Most je bio zatvoren tri dana."),
    "Sindhi": ("پل ٽي ڏينهن بند رهي.", "पुल टे ॾींहं बंदि रही।"),
    "Sundanese": ("Jambatan ditutup tilu poé.", "ᮏᮙ᮪ᮘᮒᮔ᮪ ᮓᮤᮒᮥᮒᮥᮕ᮪"),
    "Uyghur": ("كۆۋرۈك ئۈچ كۈن تاقالدى.", "Көврүк үч күн тақалди."),
    "Uzbek": ("Koʻprik uch kun yopiq edi.", "Кўприк уч кун ёпиқ эди.", "کۉپریک اوچ کون یاپیق ایدی."),
}


@pytest.mark.parametrize("language", SECOND_SCRIPTS)
def test_some_languages_are_written_in_two_scripts(language: str) -> None:
    assert all(in_script_of(text, language) for text in SECOND_SCRIPTS[language])
    assert len(SCRIPTS[language]) == len(SECOND_SCRIPTS[language])
    assert not in_script_of(SENTENCES["Thai"], language)


def test_languages_of_two_scripts_are_in_the_table() -> None:
    assert {name for name, scripts in SCRIPTS.items() if len(scripts) > 1} - {"Japanese", "Korean"} == {*SECOND_SCRIPTS}
    for language in ("Kazakh", "Kyrgyz", "Uyghur", "Mongolian", "Punjabi", "Sindhi"):
        assert not in_script_of(SENTENCES["English"], language)


def test_half_of_the_words_are_enough_and_other_signs_do_not_count() -> None:
    assert in_script_of("a вг 12345 !?", "English")
    assert in_script_of("abcdef вг", "Russian")
    assert not in_script_of("a вг дж", "English")
    assert not in_script_of("Hello 这座桥关闭", "English")
    assert in_script_of("12:30 – 3.5 %", "Thai")
    assert in_script_of("", "Thai")
    assert in_script_of("Beograd", "Serbian")  # written in two scripts


NAMED = [
    ("Chinese", "如何用Python和TensorFlow训练模型"),
    ("Japanese", "AWS LambdaでPythonを動かす"),
    ("Japanese", "ﾊﾞｯｸｱｯﾌﾟ"),
    ("Japanese", "人々"),
    ("Korean", "iPhone 배터리 교체"),
    ("Korean", "Python으로"),
    ("Thai", "วิธีใช้ Photoshop"),
    ("Hindi", "Python में machine learning"),
    ("Arabic", "برنامج Microsoft Excel"),
    ("Russian", "USB-кабель"),
    ("English", "Ｐｙｔｈｏｎ"),
]


@pytest.mark.parametrize(("language", "text"), NAMED)
def test_names_keep_their_script(language: str, text: str) -> None:
    assert in_script_of(text, language)


@pytest.mark.parametrize("language", ["Chinese", "Japanese", "Korean", "Thai", "Hindi", "Arabic", "Russian"])
@pytest.mark.parametrize("text", ["Python", "machine learning", "café", "How do I write a loop in Python?"])
def test_a_text_of_names_alone_is_in_no_other_language(language: str, text: str) -> None:
    assert not in_script_of(text, language)
    assert not in_script_of(f"{text} and how do I read it later {SENTENCES[language][:1]}", language)


@pytest.mark.parametrize("language", ["Japanese", "Korean"])
def test_a_text_of_han_signs_alone_is_chinese_unless_it_is_short(language: str) -> None:
    for short in ("少額訴訟手続費用相場", "東京都庁 展望室 営業時間", "Python 入門"):
        assert in_script_of(short, language)
    for chinese in (
        "今天天气很好,我们一起去公园散步吧。",
        "這個問題應該怎麼解決呢?請說明。",
        "怎么用Python写好循环又快又简单呢",
    ):
        assert in_script_of(chinese, "Chinese") and not in_script_of(chinese, language)
    assert in_script_of("東京都庁舎展望室営業時間変更" + SENTENCES[language][:2], language)


@given(st.text(), st.sampled_from(sorted(SCRIPTS)))
def test_any_text_has_an_answer(text: str, language: str) -> None:
    assert in_script_of(text, language) in (True, False)


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(KeyError):
        in_script_of("a", "Klingon")
