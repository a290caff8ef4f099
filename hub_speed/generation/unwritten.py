"""Values that a model did not write as data: refusals, placeholders that nobody filled, letters in a wrong encoding, a
key before its value.

Only what can hardly be anything else counts, since a good text that is lost is worse than a bad one that is kept: a
refusal at the beginning of a value, a placeholder that is the whole of it.
"""

import re
from collections.abc import Mapping

from hub_speed.task_types.base import Flaw


def unwritten(values: Mapping[str, str]) -> Flaw | None:
    """The first value that is no data."""
    for name, value in values.items():
        if value[len(name) : len(name) + 1] == ":" and _is_key(name, value[: len(name)]):
            return Flaw("echo", f"{name}: {value!r:.100} begins with its key")
        if value[0] in _OPENINGS and _PLACEHOLDER.match(value):
            return Flaw("empty_field", f"{name}: {value!r:.100} is a placeholder")
        if _INSERT in value and (found := _INSIDE.search(value)):
            return Flaw("empty_field", f"{name}: {found[0]!r:.100} is a placeholder")
        if value[:2].lower() in _BEGINNINGS and _REFUSAL.match(value):
            return Flaw("refused", f"{name}: {value!r:.100}")
        if not value.isascii() and _IN_A_WORD.search(value) and (found := _misread(value)):
            return Flaw("broken_text", f"{name}: {found[0]!r} is UTF-8 that was read in another encoding")
    return None


def _is_key(name: str, text: str) -> bool:
    """Whether a text is a key in other letters; "Input: [2, 7]" may be how an exercise begins."""
    return text.lower().replace(" ", "_") == name.lower() != "input"


# --- placeholders -----------------------------------------------------------------------------------------------------

_OPENINGS = frozenset("[<{（【\"'“「Ll")
_NOUNS = """text query topic subject document passage sentence content question answer response paragraph example
placeholder texte requête sujet phrase texto consulta tema frase oración documento anfrage thema satz dokument текст
запрос тема 文本 内容 查询 主题 句子 テキスト 文章 質問 텍스트 내용 질문
نص النص الموضوع पाठ विषय টেক্সট বিষয় متن teks topik"""
# "Insert …" and "your …". Languages as below.
_FILL_IN = (
    r"(?:please )?(?:insert|fill in|placeholder for) |your |votre |insére[rz] |tu |su |insert[ae]r? |seu "
    r"|sua |insir[ae] |inserir "
    r"|ihre? |вставьте |ваш[аи]? |请?(?:在此处?|在这里|此处)?(?:插入|输入|填写)|ここに|여기에|أدخل |أدرج "
    r"|यहाँ |এখানে |یہاں |masukkan "
)
_PLACEHOLDER = re.compile(
    rf"""["'“「]?
    (?: [\[<{{（【]{{1,2}} \s*
        (?: (?:{_FILL_IN.replace(" ", "[ ]")}) [^\[\](){{}}<>\n]{{1,80}}
          | (?:enter|add|type|write|put|paste)\s [^\[\](){{}}<>\n]{{1,60}} \shere
          | (?:the\s)? (?:{"|".join(_NOUNS.split())}) (?: [\s_]? (?:\d+|here|goes\shere) )? )
        \s* [\]>}}）】]{{1,2}}
      | lorem\sipsum (?: \sdolor\b .* )? )
    ["'”」]? [.。]? \s* \Z""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_INSERT = "nsert "
_INSIDE = re.compile(r"[\[<{][Ii]nsert [^\[\]{}<>\n]{1,60} here[\]>}]")

# --- refusals ---------------------------------------------------------------------------------------------------------

_REFUSALS = {
    "English": (
        r"(?:I['’]m|I am) (?:really |very |so )?sorry|I (?:sincerely )?apologi[sz]e|Sorry|My apologies"
        r"|Unfortunately|I regret",
        r"I (?:can(?:no|['’])t|can not|am (?:not able|unable) to|won['’]t be able to) (?:(?:help"
        r"|assist)(?: you)? with"
        r" (?:that|this)(?: request)?|(?:fulfill?|comply with|complete) (?:that|this|your|the) request"
        r"|(?:create|generate|produce|provide|write) (?:explicit|sexual|harmful|hateful|offensive|violent) content)",
        r"As an? (?:AI|artificial intelligence|large)(?: large)?(?: language)?(?: model| assistant| chatbot)",
        r"I\b",
    ),
    "Chinese": (
        r"(?:我?很|非常|十分)?(?:抱歉|对不起|對不起|遗憾|遺憾)",
        r"我?(?:无法|無法|不能)(?:帮助|協助|协助|满足|滿足|完成|处理|處理|回答|提供)[你您]?的?(?:完成|处理)?"
        r"(?:这个|這個|这一|此类?|该|該|这类|这样的)?(?:请求|請求|要求|问题|問題|内容|內容)",
        r"作[为為](?:一[个個名款种])?(?:人工智[能慧]|AI|大?型?[语語]言模型)",
        r"我",
    ),
    "Hindi": (
        r"मुझे (?:खेद|अफ़सोस|अफसोस) है|(?:क्षमा|माफ़|माफ) (?:करें|कीजिए|कीजिएगा)|मैं क्षमा चाहत[ाी] हूँ",
        r"(?:कि )?मैं (?:आपकी )?(?:इसमें|इस में|उसमें|इस अनुरोध में|इस विषय में) (?:आपकी )?(?:मदद|सहायता)"
        r" नहीं कर सकत[ाी](?: हूँ)?"
        r"|मैं (?:यह|इस|आपका) अनुरोध (?:को )?पूरा नहीं कर सकत[ाी](?: हूँ)?",
        r"एक (?:एआई|AI|कृत्रिम बुद्धिमत्ता|भाषा मॉडल)",
        r"(?:मैं|मेरे|मुझे)",
    ),
    "Spanish": (
        r"Lo siento(?: mucho)?|Lo lamento|Disculp[ae]|Perdón",
        r"(?:yo )?no puedo (?:ayudar(?:te|le)? con (?:eso|esto|(?:esta|esa|tu|su) (?:solicitud|petición))"
        r"|(?:cumplir(?: con)?|atender|completar) (?:esta|esa|tu|su) (?:solicitud|petición))",
        r"Como (?:un |una )?(?:modelo de lenguaje|IA\b|inteligencia artificial|asistente de IA)",
        r"(?:yo|no (?:puedo|tengo|soy)|me)\b",
    ),
    "French": (
        r"(?:Je suis |Nous sommes )?(?:vraiment )?désolée?s?|Je regrette|Malheureusement",
        r"je ne (?:peux|puis) pas (?:(?:vous |t['’])?aider (?:avec|à|sur|pour) (?:cela|ça|ceci|(?:cette"
        r"|votre) demande)"
        r"|(?:répondre à|satisfaire|traiter) (?:cette|votre) demande)",
        r"En tant qu(?:e (?:grand )?modèle de langage|['’](?:IA\b|intelligence artificielle|assistant IA))",
        r"je\b",
    ),
    "Arabic": (
        r"(?:أنا )?(?:آسفة?|أعتذر|عذر(?:ا|ًا|اً))|للأسف",
        r"(?:لا أستطيع|لا يمكنني|لن أتمكن من) (?:مساعدتك|المساعدة|تلبية|تنفيذ) (?:في |ب)?(?:ذلك|هذا(?:"
        r" الطلب| الأمر)?|طلبك)",
        r"(?:بصفتي|كوني|باعتباري) (?:نموذج|ذكاء|مساعد)",
        r"(?:لا|ليس|لست|فأنا|أنا|فإنني|لم)",
    ),
    "Bengali": (
        r"(?:আমি )?(?:দুঃখিত|ক্ষমাপ্রার্থী)|ক্ষমা করবেন",
        r"আমি (?:আপনাকে )?(?:এতে|এটিতে|এই (?:বিষয়ে|অনুরোধে|ব্যাপারে)) (?:আপনাকে )?(?:সাহায্য|সহায়তা)"
        r" করতে (?:পারব|পারি|পারছি) না"
        r"|আমি (?:এই|আপনার) অনুরোধ(?:টি)? পূরণ করতে (?:পারব|পারি|পারছি) না",
        r"একটি (?:এআই|AI|কৃত্রিম বুদ্ধিমত্তা|ভাষা মডেল)",
        r"আমা?[িরক]",
    ),
    "Portuguese": (
        r"(?:Eu )?(?:Sinto|Lamento)(?: muito)?|Desculpe?|Infelizmente",
        r"(?:eu )?não posso (?:(?:te |lhe )?(?:ajudar|ajudá-l[oa]|auxiliar) (?:nisso|com (?:isso|isto"
        r"|(?:esse|este|seu) pedido"
        r"|(?:essa|esta|sua) solicitação))|(?:atender|cumprir) (?:a |ao )?(?:ess[ea]|est[ea]|seu|sua)"
        r" (?:pedido|solicitação))",
        r"Como (?:um |uma )?(?:modelo de linguagem|IA\b|inteligência artificial|assistente de IA)",
        r"(?:eu|não (?:posso|tenho|sou))\b",
    ),
    "Russian": (
        r"Извините|Простите|К сожалению|Мне (?:очень )?жаль|Прошу прощения",
        r"я не (?:могу|смогу) (?:(?:вам |тебе )?(?:с этим|в этом) (?:вам |тебе )?помочь|(?:вам |тебе"
        r" )?помочь (?:вам |тебе )?"
        r"(?:с этим|в этом)(?: запросом)?|(?:выполнить|обработать) (?:этот|ваш|твой) запрос)",
        r"Как (?:большая )?(?:языковая модель|искусственный интеллект|ИИ\b|модель ИИ)",
        r"(?:я|у меня)\b",
    ),
    "Urdu": (
        r"معذرت|مجھے افسوس ہے|معاف (?:کیجیے|کیجئے|کریں)(?: گا)?|میں معذرت خواہ ہوں",
        r"(?:کہ )?میں (?:آپ کی )?(?:اس میں|اس سلسلے میں|اس معاملے میں|اس درخواست میں) (?:آپ کی )?مدد نہیں"
        r" کر سکت[ای](?: ہوں)?"
        r"|میں (?:یہ|آپ کی|اس) درخواست (?:کو )?پور[ای] نہیں کر سکت[ای](?: ہوں)?",
        r"(?:ایک )?(?:اے آئی|AI|مصنوعی ذہانت|لینگویج ماڈل|زبان کے ماڈل)",
        r"(?:میں|میرے|مجھے)",
    ),
    "Indonesian": (
        r"(?:Mohon )?maaf",
        r"saya tidak (?:bisa|dapat) (?:membantu(?: Anda)? (?:dengan|dalam|untuk)(?: hal)? (?:permintaan"
        r" )?(?:itu|ini|tersebut)"
        r"|memenuhi permintaan (?:itu|ini|Anda|tersebut))",
        r"Sebagai (?:sebuah )?(?:model bahasa|AI\b|kecerdasan buatan|asisten AI)",
        r"saya\b",
    ),
    "German": (
        r"(?:Es )?tut mir (?:sehr )?leid|Entschuldigung|Leider",
        r"(?:ich kann|kann ich) (?:Ihnen |dir )?(?:dabei|damit|bei (?:dieser|Ihrer|deiner) Anfrage)"
        r" (?:leider )?nicht (?:weiter)?helfen"
        r"|(?:dabei|damit) kann ich (?:Ihnen |dir )?(?:leider )?nicht (?:weiter)?helfen"
        r"|ich kann (?:diese|Ihre|deine) Anfrage nicht (?:erfüllen|bearbeiten|beantworten)",
        r"Als (?:KI\b|KI-Sprachmodell|(?:großes )?Sprachmodell|künstliche Intelligenz|KI-Assistent)",
        r"ich\b",
    ),
    "Japanese": (
        r"(?:大変)?申し訳(?:ありません|ございません)(?:が|けど)?|すみませんが?|恐れ入りますが",
        r"(?:その|この|ご|そのような|このような)(?:リクエスト|要求|要望|依頼)に?[はを]?(?:お応え|お答え"
        r"|対応|お手伝い)?"
        r"(?:する(?:ことが|ことは))?(?:でき(?:ません|かねます)|いたしかねます)",
        r"(?:私は)?(?:AI|人工知能|大規模言語モデル|言語モデル)(?:言語モデル|アシスタント"
        r"|モデル)?(?:として|なので|ですので)、",
        r"(?:私|お答え|個人的)",
    ),
    "Korean": (
        r"죄송하지만|죄송합니다만?|미안하지만|유감스럽게도",
        r"(?:저는 )?(?:그|이|해당|그런|이러한|그러한) ?(?:요청|질문|내용)(?:에는|에|은|는|을|를)? ?"
        r"(?:도와드릴|도움을 드릴|응할|응답할|답변드릴|답변할|제공할|처리할|수행할) 수 없(?:습니다|어요)",
        r"(?:저는 )?(?:AI|인공지능) ?(?:언어)? ?(?:모델|어시스턴트)?(?:로서|로써|이기 때문에|이므로)",
        r"(?:저는|제가|저의|저에게)",
    ),
}
"""Language → an excuse; what cannot be done, behind it; what a model calls itself; I, further on in the sentence.

Assumption: the ten most spoken languages and four more, in the usual words of models.
"""
_BEGINNINGS = frozenset(
    """i'|i’|i |so|my|un|as|我很|很抱|很对|很遗|很對|很遺|非常|十分|抱歉|对不|對不|遗憾|遺憾|作为|作為
    |मु|क्|मा|मै|एक|lo|di|pe|co|je|no|vr|dé|ma|en|أن|آس|أع|عذ|لل|بص|كو|با|আম|দু|ক্|এক|eu|si|la|de|in|из|пр|к |мн|ка
    |مع|مج|می|ای|اے|ai|مص|لی|زب|mo|se|es|tu|le|al
    |大変|申し|すみ|恐れ|私は|人工|大規|言語|죄송|미안|유감|저는|인공""".replace("\n    ", "").split("|")
)
"""The first two letters of all these, for a quick look."""
_BUT = (
    r"[,，،、.。। ]*(?:(?:but|aber|pero|mais|mas|но|لكن(?:ن?ي)?|ولكن(?:ن?ي)?|लेकिन|কিন্তু|তবে|لیکن|tetapi"
    r"|tapi|namun|但是?|不过)[,， ]*)?"
)
_END = r" ?(?:[.!।۔。！](?![\"”])|\Z)"
_OF_ALL = ["|".join(f"(?:{part})" for part in parts) for parts in zip(*_REFUSALS.values(), strict=True)]
_REFUSAL = re.compile(
    rf"""(?:{_OF_ALL[0]}){_BUT}(?:{_OF_ALL[1]}){_END}
    |(?:(?:{_OF_ALL[0]}){_BUT})?(?:{_OF_ALL[2]})[^.!?।۔。\n]{{0,40}}?(?:{_OF_ALL[3]})
    |I (?:can(?:no|['’])t|am unable to) (?:assist|help) with (?:that|this) request{_END}
    |I (?:can(?:no|['’])t|am unable to) (?:fulfill?|comply with) (?:this|that|your) request{_END}
    |I['’]m (?:just |only )?an AI (?:language model|assistant)\b""".replace("\n    ", ""),
    re.IGNORECASE,
)

# --- encodings --------------------------------------------------------------------------------------------------------

_SECOND = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
"""The second and later bytes of a letter in UTF-8, as Latin-1 or Windows-1252 show them."""
_MISREAD = re.compile(
    "â€|ðŸ|Ã[€‚ƒ„†‡ˆ‰ŠŒŽ˜šœžŸ]|[ÃÂ][¡-¦¨©¬®-±´-¶¸¼-¿]"
    f"|[ÄÅ][‚ƒ‡ˆ‰¡-¦¬®¯´µ¶¸¼-¿]|(?:[Î-Ñ×ØÙ][{_SECOND}]){{3}}|(?:[à-ï][{_SECOND}]{{2}}){{2}}"
)
"""Two letters in place of one that no language writes side by side: "cafÃ©", "donâ€™t", three times "Ð¿", twice "æ–‡".

Such values are rejected and not restored: another letter may have been lost beside them. Quotes, dashes and raised
digits do not count behind one capital, as "AMANHÃ”" and "Å²" are text.
"""
_IN_A_WORD = re.compile(f"[{_SECOND}](?<=[Â-ô].)")  # a quick look
_ON_ENCODINGS = re.compile(r"encod|utf|unicode|charset|mojibake|latin-?1|1252|8859|code ?page", re.IGNORECASE)


def _misread(value: str) -> re.Match[str] | None:
    """The first such letters of a value, unless it is a text about encodings."""
    return None if _ON_ENCODINGS.search(value) else _MISREAD.search(value)
