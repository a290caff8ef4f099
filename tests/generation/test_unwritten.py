"""What is no data though it stands in a value, and what only looks like that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.generation import examples
from hub_speed.generation.unwritten import unwritten
from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES


def reason(value: str) -> str:
    flaw = unwritten({"S1": "a text of its own", "S2": value})
    assert flaw is None or flaw.detail.startswith("S2: ")
    return flaw.reason if flaw else ""


REFUSED = {
    "English": [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "I'm sorry, I cannot fulfill this request. Is there anything else?",
        "I apologize, but I cannot generate explicit content.",
        "I cannot fulfill this request.",
        "Sorry, I can't help with that",
        "As an AI language model, I don't have personal opinions.",
        "I'm sorry, but as an AI language model, I cannot do this.",
    ],
    "Chinese": [
        "很抱歉，我无法满足您的请求。",
        "抱歉，我无法提供此类内容。",
        "作为一个人工智能语言模型，我没有个人观点。",
    ],
    "Hindi": [
        "मुझे खेद है, लेकिन मैं इसमें आपकी मदद नहीं कर सकता।",
        "क्षमा करें, मैं इस अनुरोध को पूरा नहीं कर सकता।",
        "एक एआई भाषा मॉडल के रूप में, मैं राय नहीं रखता।",
    ],
    "Spanish": ["Lo siento, pero no puedo ayudarte con eso.", "Como modelo de lenguaje, no puedo opinar."],
    "French": [
        "Je suis désolé, mais je ne peux pas vous aider avec cela.",
        "Désolé, je ne peux pas répondre à cette demande.",
        "En tant que modèle de langage, je n'ai pas d'opinion.",
    ],
    "Arabic": [
        "آسف، لا أستطيع مساعدتك في ذلك.",
        "عذرًا، لا يمكنني تلبية هذا الطلب.",
        "بصفتي نموذجًا لغويًا، لا أملك آراء.",
    ],
    "Bengali": ["দুঃখিত, আমি এতে আপনাকে সাহায্য করতে পারব না।", "একটি এআই ভাষা মডেল হিসেবে, আমি মতামত দিই না।"],
    "Portuguese": ["Desculpe, mas não posso ajudar com isso.", "Como um modelo de linguagem, não posso opinar."],
    "Russian": ["Извините, но я не могу вам с этим помочь.", "Как языковая модель, я не имею мнения."],
    "Urdu": ["معذرت، میں اس میں آپ کی مدد نہیں کر سکتا۔", "ایک اے آئی لینگویج ماڈل کے طور پر، میں رائے نہیں رکھتا۔"],
    "Indonesian": [
        "Maaf, saya tidak dapat membantu dengan itu.",
        "Sebagai model bahasa AI, saya tidak punya pendapat.",
    ],
    "German": [
        "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
        "Als KI-Sprachmodell habe ich keine Meinung.",
    ],
    "Japanese": [
        "申し訳ありませんが、そのリクエストにはお応えできません。",
        "AI言語モデルとして、私は意見を持ちません。",
    ],
    "Korean": ["죄송하지만 그 요청은 도와드릴 수 없습니다.", "AI 언어 모델로서 저는 의견이 없습니다."],
}
SORRY = {
    "English": [
        "I'm sorry, but I can't come to dinner.",
        "I'm sorry, but I can't help with that suitcase.",
        "I am sorry that I cannot attend.",
        "\"I'm sorry, but I can't help with that,\" said the clerk.",
        "I can't help with that.",
        "As an AI researcher, I train models.",
        "As an AI language model, GPT-2 writes texts.",
        "Sorry, I can't help laughing.",
        "Unfortunately, the bridge is closed.",
    ],
    "Chinese": ["抱歉，我不能去吃饭。", "对不起，我不能帮助你搬家。", "作为人工智能的先驱，他写了许多书。"],
    "Hindi": ["मुझे खेद है, मैं रात के खाने पर नहीं आ सकता।"],
    "Spanish": ["Lo siento, pero no puedo ir a cenar.", "Como modelo de lenguaje, GPT-2 es pequeño."],
    "French": ["Je suis désolé, mais je ne peux pas venir dîner."],
    "Arabic": ["آسف، لا أستطيع الحضور إلى العشاء."],
    "Bengali": ["দুঃখিত, আমি আজ আসতে পারব না।"],
    "Portuguese": ["Desculpe, mas não posso ir jantar."],
    "Russian": ["Извините, но я не могу прийти на ужин.", "Как языковая модель, BERT хороша."],
    "Urdu": ["معذرت، میں آج نہیں آ سکتا۔"],
    "Indonesian": ["Maaf, saya tidak bisa datang."],
    "German": ["Es tut mir leid, aber ich kann nicht kommen.", "Als KI-Sprachmodell gilt GPT."],
    "Japanese": ["申し訳ありませんが、夕食に行けません。", "言語モデルとして、BERTは有名です。"],
    "Korean": ["죄송하지만 저녁에 갈 수 없습니다."],
}


@pytest.mark.parametrize("language", REFUSED)
def test_a_refusal_is_told_from_an_apology(language: str) -> None:
    assert {text: reason(text) for text in REFUSED[language]} == dict.fromkeys(REFUSED[language], "refused")
    assert {text: reason(text) for text in SORRY[language]} == dict.fromkeys(SORRY[language], "")


@pytest.mark.parametrize(
    "value",
    [
        "[Insert topic here]",
        '"[Insert text]"',
        "[Your text]",
        "[Your company name here].",
        "[Enter a query here]",
        "[text]",
        "[Document 1]",
        "<text>",
        "{query}",
        "{{topic}}",
        "[Votre texte]",
        "[Ihr Text]",
        "[Вставьте текст]",
        "【在此处插入文本】",
        "[ここにテキストを挿入]",
        "[أدخل النص هنا]",
        "Lorem ipsum",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\nSed do eiusmod.",
        "Today we talk about [insert topic here] and more.",
    ],
)
def test_a_placeholder_that_nobody_filled(value: str) -> None:
    assert reason(value) == "empty_field"


@pytest.mark.parametrize(
    "value",
    [
        "[1] Smith, J. (2020).",
        "[your guide](https://example.org)",
        "[link](https://example.org)",
        "{x: 1}",
        '{"query": 1}',
        "[1, 2, 3]",
        "[object Object]",
        "<div>text</div>",
        "<title>",
        "<html>",
        "[Enter]",
        "[Insert]",
        "[laughs]",
        "if (a < b) { return [text]; }",
        "The text [sic] is old.",
        "Dear [Name], welcome.",
        "What is lorem ipsum?",
        "Lorem ipsum in print: where does it come from?",
        "“Text”",
        "Insert coin here",
    ],
)
def test_brackets_and_code_are_texts(value: str) -> None:
    assert reason(value) == ""


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "don’t go",
        "It was 25°C.",
        "Привет",
        "中文字",
        "😀 ok",
        "żółw",
        "αβγ",
        "árvíz",
        "مرحبا",
        "שלום",
        "où ça – là",
        "ßÄÖ",
    ],
)
def test_letters_that_were_read_in_a_wrong_encoding(text: str) -> None:
    shown = "".join(_as_windows(byte) for byte in text.encode())
    assert reason(shown) == "broken_text" and reason(text) == ""
    assert reason(f"{shown} is what UTF-8 looks like in Latin-1") == ""


def _as_windows(byte: int) -> str:
    """A byte as Windows-1252 shows it, or Latin-1 where it shows nothing."""
    raw = bytes([byte])
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@pytest.mark.parametrize(
    "text",
    [
        "AMANHÃ”",
        "“Até amanhã…”",
        "IRMÃ… JOÃO",
        "KNÍŽKA",
        "1.5 Å² wide",
        "5 × €5",
        "×£5",
        "NESTLÉ™",
        "«été»",
        "à…",
        "naïve—“café”",
    ],
)
def test_capitals_beside_quotes_and_signs_are_texts(text: str) -> None:
    assert reason(text) == ""


@given(st.dictionaries(st.text(), st.text(min_size=1)))
def test_any_value_has_an_answer(values: dict[str, str]) -> None:
    flaw = unwritten(values)
    assert flaw is None or flaw.reason in REASONS


def test_what_is_no_data_rejects_only_where_all_is_checked() -> None:
    kind = TASK_TYPES["sts"]
    knobs = '{"unit": "sentence"}'
    columns = {
        "task_type": "sts",
        "knobs": knobs,
        "language": "English",
        "target_language": "",
        "prompt": "",
        "topic": "a",
    }
    answer = kind.answer.model_validate({**kind.example, "S2": REFUSED["English"][0]})
    found = examples.read_answer(examples.compact(answer), "stop", columns, "all")
    assert getattr(found, "reason", "") == "refused"
    assert getattr(examples.read_answer(examples.compact(answer), "stop", columns, "form"), "flaw", "") == "refused"


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("label", "Label: plumbing", "echo"),
        ("S2", "S2: Die Katze schläft.", "echo"),
        ("user_query", "user_query: red kites", "echo"),
        ("user_query", "User query: red kites", "echo"),
        ("input", "Input: nums = [2, 7], target = 9", ""),
        ("label", "labels: red", ""),
        ("label", "label", ""),
        ("S1", "S1 is the base of the stem.", ""),
    ],
)
def test_a_key_before_its_value_is_no_part_of_it(name: str, value: str, found: str) -> None:
    flaw = unwritten({name: value})
    assert (flaw.reason if flaw else "") == found
