"""Texts in the encodings that programs wrote before UTF-8."""

import pytest

from hub_speed.encodings import decode

RUSSIAN = "Ключ от подвала висит рядом с окном. Каждый год мы проверяем трубы до первых морозов, а лодку сушим."
CHINESE = "地下室的钥匙挂在窗户旁边。每年第一次霜冻之前，我们都要检查水管。借锯子的人要在绿色的本子上登记。"
TAIWAN = "地下室的鑰匙掛在窗戶旁邊。每年第一次霜凍之前，我們都要檢查水管。借鋸子的人要在綠色的本子上登記。"
JAPANESE = "地下室の鍵は窓のそばに掛けてあります。毎年、初霜の前に水道管を点検します。壊れた所は知らせてください。"
KOREAN = "지하실 열쇠는 창문 옆에 걸려 있습니다. 해마다 첫서리가 내리기 전에 수도관을 점검합니다."
FRENCH = "La clé de la cave est accrochée près de la fenêtre. Les élèves déjeunent à midi, sauf le mercredi."
POLISH = "Klucz do piwnicy wisi obok okna. Każdego roku sprawdzamy rury przed mrozem. Łódź stoi przy pomoście."
GREEK = "Το κλειδί του υπογείου κρέμεται δίπλα στο παράθυρο. Κάθε χρόνο ελέγχουμε τους σωλήνες."
TURKISH = "Bodrumun anahtarı pencerenin yanında asılı. Yağmurdan sonra yol kayganlaştı, bu yüzden yavaş gidin."
HEBREW = "המפתח של המרתף תלוי ליד החלון. בכל שנה אנחנו בודקים את הצינורות לפני הכפור הראשון."
ARABIC = "مفتاح القبو معلق بجانب النافذة. نفحص الأنابيب كل سنة قبل أول صقيع. الماء في البئر بارد ونظيف."

WRITTEN = [
    (RUSSIAN, "cp1251", "Windows-1251"),
    (RUSSIAN, "koi8-r", "KOI8-R"),
    (RUSSIAN, "cp866", "Code page 866"),
    (CHINESE, "gbk", "GB 18030"),
    (TAIWAN, "big5", "Big5"),
    (JAPANESE, "cp932", "Shift JIS"),
    (JAPANESE, "euc_jp", "EUC-JP"),
    (JAPANESE, "iso2022_jp", "ISO-2022-JP"),
    (KOREAN, "euc_kr", "EUC-KR"),
    (FRENCH, "cp1252", "Windows-1252"),
    (POLISH, "cp1250", "Windows-1250"),
    (POLISH, "iso8859-2", "ISO-8859-2"),
    (GREEK, "cp1253", "Windows-1253"),
    (TURKISH, "cp1254", "Windows-1254"),
    (HEBREW, "cp1255", "Windows-1255"),
    (ARABIC, "cp1256", "Windows-1256"),
]


@pytest.mark.parametrize(("text", "codec", "label"), WRITTEN)
def test_the_encoding_of_a_text_is_found_and_named(text: str, codec: str, label: str) -> None:
    long, late = text * 40, "Plain words come first.\n" * 20_000 + text
    for written in (text, long, late):
        found = decode(written.encode(codec))
        assert (found.text, found.told) == (written, label), codec


def test_a_text_that_may_be_in_two_encodings_is_doubtful() -> None:
    found = decode("Über Öl".encode("cp1252"))
    assert found.told.endswith("doubtful") and not found.sure


def test_utf_8_and_utf_16_need_no_note() -> None:
    for text in (RUSSIAN, "plain", "\x1b[32mgreen\x1b[0m costs 5\x1b$", ""):
        assert decode(text.encode()).text == text and not decode(text.encode()).told
        assert decode(text.encode("utf-16")).text == text and not decode(text.encode("utf-16")).told


def test_a_few_damaged_bytes_do_not_make_utf_8_another_encoding() -> None:
    raw = RUSSIAN.encode() + b"\xd0"
    assert decode(raw, "replace").text == RUSSIAN + "\ufffd" and not decode(raw, "replace").told
    with pytest.raises(UnicodeDecodeError, match="utf-8"):
        decode(raw)


def test_control_characters_of_iso_8859_are_damaged() -> None:
    raw = ("Grüße " * 100).encode("latin-1") + b"\x81\x8d\x9d"
    assert decode(raw, "replace").text.endswith("\ufffd\ufffd\ufffd")
    with pytest.raises(UnicodeDecodeError):
        decode(raw)
