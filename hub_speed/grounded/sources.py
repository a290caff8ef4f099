"""Whether a question speaks of its source: "according to the passage", "in the text above", "laut dem Text".

Nobody who searches says so. What counts is the phrase, not the noun: a document that is named ("the Geneva document",
"the document type declaration") is a thing to ask about, and "this document" may be the searcher's own. So a noun that
goes on ("the text editor", "the article on taxes") does not count, nor does a bare "this document".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class _Wording(NamedTuple):
    """How a language speaks of a source; each a regular expression.

    Attributes:
        noun: a text, or who wrote it.
        by: "according to the", before a noun.
        within: "in the", before a noun: behind what is `told`, or at the beginning of a question.
        told: "mentioned".
        the: what stands before a noun that `tells`.
        tells: "mentions": before the noun in a question, or behind it.
        point: "main idea of the", before a noun.
        about: "what is it about", before `within` and a noun, or before `the` and a noun.
        asks: a word with which a question goes on behind the noun.
    """

    noun: str
    by: str
    within: str
    told: str
    the: str
    tells: str
    point: str
    about: str
    asks: str


_TELL = (
    "say|state|mention|describe|explain|discuss|define|suggest|recommend|claim|argue|list|give|note|refer|report|cover"
    "|provide|indicate|specif(?:y|ie)|highlight|outline|present|warn|conclude|emphasi[sz]e|impl(?:y|ie)|identif(?:y|ie)"
    "|advise|offer|name|quote|cite|tell|teach|introduce|compare|contrast|detail|summari[sz]e|propose|predict|portray"
    "|critici[sz]e|depict|reveal|stress|assert|illustrate|advocate|credit|call"
)
_ENGLISH = _Wording(
    noun="passages?|excerpts?|extract|snippet|paragraphs?|texts?|documents?|article|section|source|author|writer"
    "|page|information",
    by=r"(?:according to|based on|as per|going by|judging (?:by|from)|(?<![^¿\"“(])(?:from|in|per))"
    r" (?:the|this|that|these)(?: (?:given|provided|above|following|present|quoted|accompanying|attached|same))?",
    within=r"(?:in|by|within|throughout) (?:the|this)(?: (?:given|provided|above|following|quoted))?",
    told=rf"(?:(?:{_TELL})e?d|given|said|shown|told|taught|used|set out|laid out|referred to)",
    the="",  # the verb comes last: see _MORE
    tells="",
    point="",
    about="",
    asks="what|which|who|whom|whose|how|why|when|where|is|are|was|were|do|does|did|can|could|should|has|have|will|must"
    "|above|below|say|says|mean|describe|needs?|requires?|comes?|makes?|causes?",
)
_GERMAN = _Wording(
    noun="text(?:es|s|auszug|stelle)?|abschnitts?|passage|dokument(?:s|es)?|artikels?|absatz(?:es)?|auszugs?|autors?"
    "|autorin|verfassers?|beitrags?",
    by=r"(?:laut|gemäß|nach|entsprechend) (?:dem|diesem|des|dieses|der|dieser)(?: (?:obigen|vorliegenden|gegebenen))?",
    within="(?:im|in diesem|in dem|in der|in dieser|vom)(?: (?:obigen|vorliegenden))?",
    told="(?:erwähnt|genannt|beschrieben|angegeben|erklärt|steht|zitiert|behandelt|angeführt|vorgestellt)",
    the="(?:der|das|die|dem|dieser|dieses|diese|diesem)",
    tells="(?:sagt|nennt|erwähnt|beschreibt|erklärt|empfiehlt|behauptet|meint|führt|zählt|zitiert|betont|begründet"
    "|bezeichnet|vergleicht|schlägt|steht in)",
    point="(?:(?:haupt)?thema|(?:haupt|kern)aussage|zweck|botschaft|fazit|meinung|absicht) (?:des|dieses|der|dieser)",
    about="(?:worum geht es|wovon handelt|wovon spricht)",
    asks="was|wer|wie|wo|wann|warum|wieso|welche[rsn]?|ist|sind|wird|werden|muss|darf|soll|kann|erwähnt|genannt"
    "|beschrieben|angegeben",
)
_FRENCH = _Wording(
    noun="texte|passage|document|article|extrait|section|paragraphe|auteure?",
    by=r"(?:selon|d['’]après) (?:le|l['’]|ce|cet|cette|la)",
    within=r"(?:dans|par) (?:le|l['’]|ce|cet|cette|la)",
    told=r"(?:mentionné|décrit|cité|indiqué|évoqué|présenté|expliqué|donné|énuméré|abordé)e?s?",
    the=r"(?:le|l['’]|ce|cet|cette|la)",
    tells="(?:dit|mentionne|indique|décrit|explique|cite|donne|évoque|présente|affirme|propose|recommande|compare)",
    point="(?:idée|thème|sujet|but|message|ton|avis|opinion|argument|thèse|conclusion)(?: principale?)?"
    r" (?:du|de l['’]|de la|de ce|de cet|de cette)",
    about="(?:de quoi (?:parle|traite)|de quoi est-il question)",
    asks="que|quel(?:le)?s?|qui|comment|pourquoi|où|quand|combien|est|sont|sur",
)
_SPANISH = _Wording(
    noun="texto|pasaje|documento|artículo|fragmento|párrafo|autora?",
    by="(?:según|de acuerdo con|conforme a) (?:el|la|este|esta)",
    within="(?:en|por) (?:el|la|este|esta)",
    told="(?:(?:mencionad|descrit|indicad|citad|señalad|explicad|presentad|propuest)[oa]s?"
    "|se (?:menciona|describe|indica|cita|explica|señala)n?)",
    the="(?:el|la|este|esta)",
    tells="(?:dice|menciona|describe|indica|explica|da|cita|señala|afirma|propone|recomienda|compara|ofrece)",
    point="(?:idea|tema|propósito|mensaje|tono|opinión|argumento|tesis|conclusión)(?: principal)?"
    " (?:del|de (?:la|est[ea]))",
    about="de qué (?:trata|habla)",
    asks="qué|cuál(?:es)?|quién|cómo|dónde|cuándo|por|sobre",
)
_ITALIAN = _Wording(
    noun="testo|brano|documento|articolo|paragrafo|autore|autrice",
    by="(?:secondo|in base a) (?:il|questo|l['’]|lo)",
    within="(?:nel|nell['’]|in questo|dal|dall['’])",
    told="(?:menzionat|descritt|citat|indicat|spiegat|presentat|elencat)[oaie]",
    the="(?:il|questo|l['’]|lo)",
    tells="(?:dice|menziona|descrive|indica|cita|spiega|afferma|propone|elenca|consiglia)",
    point="(?:idea|tema|scopo|messaggio|tono|opinione|tesi|conclusione)(?: principale)? (?:del|dell['’]|di questo)",
    about="di (?:che )?cosa (?:parla|tratta)",
    asks="che|cosa|qual|quale|quali|chi|come|dove|quando|perché",
)
_PORTUGUESE = _Wording(
    noun="texto|trecho|documento|artigo|parágrafo|autora?",
    by="(?:segundo|de acordo com|conforme) (?:o|a|este|esse)",
    within="(?:no|na|neste|nesse|pelo|pela)",
    told="(?:mencionad|descrit|citad|indicad|explicad|apresentad|listad)[oa]s?",
    the="(?:o|a|este|esse)",
    tells="(?:diz|menciona|descreve|indica|cita|explica|afirma|propõe|recomenda|apresenta)",
    point="(?:ideia|tema|propósito|mensagem|tom|opinião|tese|conclusão)(?: principal)? (?:do|da|deste|desse)",
    about="(?:d[oe] que (?:trata|fala)|sobre o que (?:é|fala))",
    asks="o|qual|quais|quem|como|onde|quando|por|sobre",
)
_DUTCH = _Wording(
    noun="tekst|passage|document|artikel|alinea|auteur|schrijver|fragment",
    by="volgens (?:de|het|deze|dit)",
    within="(?:in|door) (?:de|het|deze|dit)",
    told="(?:genoemd|beschreven|vermeld|uitgelegd|besproken|aangehaald)",
    the="(?:de|het|deze|dit)",
    tells="(?:zegt|noemt|beschrijft|vermeldt|geeft|beweert|citeert|bespreekt)",
    point="(?:hoofdgedachte|onderwerp|thema|doel|boodschap|toon|mening|conclusie) van (?:de|het|deze|dit)",
    about="(?:waarover gaat|waar gaat)",
    asks="wat|wie|hoe|waar|wanneer|waarom|welke?|is|zijn|over",
)
_RUSSIAN = _Wording(
    noun=r"текст[ауе]?|документ[ауе]?|отрыв(?:ок|к[ауе])|стать[яиею]|абзац[ауе]?|фрагмент[ауе]?"
    r"|автор[ау]?(?=\s*(?:$|[,.?!])|\s(?:о|об|про|в|для|как|что)\b)",
    by="(?:согласно|исходя из|по мнению|по словам|(?:в|по) (?=этом|данн))(?: (?:эт|данн)[а-я]+)?",
    within="(?:в|во)(?: (?:этом|этой|данном|данной))?",
    told="(?:упомянут|описан|указан|перечислен|привед[её]н|назван|сказано|говорится)[а-яё]*",
    the="(?:(?:этот|эта|данный|данная) )?",
    tells="(?:говорит|описывает|упоминает|называет|приводит|утверждает|считает|объясняет|предлагает)",
    point="(?:тема|мысль|идея|цель|вывод|мнение|тон)(?: (?:этого|этой|данного|данной))?",
    about="о ч[её]м (?:говорится|ид[её]т речь|рассказывается)",
    asks="о|об|про|что|кто|как|какой|какая|какие|какое|где|когда|почему|сколько",
)
_WHOLE = "(?:passage|excerpt|snippet|paragraph|text|document|article|section)"
_AUTHOR = f"(?:{_WHOLE}|author|writer)"
_MORE = (
    # a word that hardly any other thing has, unless it goes on
    r"(?:the|this|that|first|second|last|given) (?:passage|excerpt|snippet)s?\b(?! (?:of|to|from|through|under|between"
    r"|across|over|into|about|plan|way|money|rights?|grave|time|style|mark|tool|editor|manager)\b)",
    r"(?:d(?:ie|er)|dies(?:e|er)) (?:passage|textstelle)\b(?! (?:von|nach|durch|über|zwischen|der|des|zum|zur)\b)",
    r"(?:does|did|is|was) the (?:author|writer|narrator)"
    r" (?!of\b|in\b|to\b|go\b|get|hav|sign|earn|own|appear|stand|receiv)\w+",
    r"(?:im|in diesem|in dem) (?:obigen )?(?:text|abschnitt|dokument|artikel|absatz|auszug)"
    r" (?:oben )?(?:erwähnt|genannt|beschrieben|angegeben|erklärt|aufgeführt|behandelt)",
    r"(?:dem|diesem) (?:text|abschnitt|dokument|artikel|autor) (?:zufolge|nach)\b",
    r"laut (?:text|abschnitt|dokument|artikel|autor)"
    r"(?=\s*(?:$|[,.;:?!])|\s(?:der|die|das|ist|sind|wer|was|wie|wo|wann)\b)",
    r"(?:information|details?|facts?|steps|reasons?) (?:is|are|was|were) \w+ in the"
    r" (?:paragraph|text|section|article)\b",
    r"(?:the|this|these) (?:given|provided|above|following|aforementioned|quoted|accompanying|supplied)"
    rf" (?:{_WHOLE}|extract|context|source|information)s?\b",
    rf"(?:the|this) (?:{_WHOLE}|context|information|report|story|table|list)s? (?:above|below|provided)\b",
    r"(?:this|that) paragraph\b(?! (?:style|mark)\b)",
    rf"(?:the|this)(?: (?:first|second|third|last|whole))? {_AUTHOR}"
    rf" (?:(?:also|explicitly|specifically) )?(?:{_TELL})(?:s|es)\b",
    rf"(?:does|do|did|would) (?:the|this)(?: (?:first|second|third|last|whole))? {_AUTHOR}"
    rf" (?:{_TELL}|talk|think|believe|mean|learn|draw|see|want|feel|try)\b",
    rf"(?:is|are|was|were) (?:being )?(?:{_TELL})e?d in (?:the|this) (?:passage|excerpt|paragraph|text|article)\b",
    rf"(?:{_TELL})e?d (?:above|earlier|previously)\b",
    rf"(?:is|are|was|were) (?:stated|said|mentioned|described|specified) (?:\w+ ){{0,3}}in (?:the|this) {_WHOLE}"
    r"(?=\s*(?:$|[?!.,]))",
    r"(?:purpose|topic|theme|message|idea|summary|subject|tone|focus|gist|moral|thesis|argument|conclusion|points)"
    rf" (?:of|in|made in|behind) (?:the|this) {_AUTHOR}(?=\s*(?:$|[?!.,])|\stowards?\b)",
    rf"(?:infer|conclude|learn)(?:e?d|t)? from (?:the|this) {_WHOLE}\b",
    r"the (?:author|writer)['’]s (?:view|opinion|argument|point|purpose|claim|main|tone|conclusion)",
    r"what you(?: have|['’]ve)?(?: just)? read\b",
    r"passages? [AB]\b",
)
_UNSPACED = (  # Chinese, Japanese, Korean
    r"(?:根据|依据|按照)(?:本|该|此|上述|以上|这段|这篇|所给)?(?:文章|文本|段落|文档|原文|短文|文中|上文|材料|内容|文)"
    r"(?:[,，。?？]|的?描述|所述|内容|$)",
    r"文中的|(?:文章中?|文中|上文|本文|原文|该段落|该文档|这段文字)(?:所)?(?:提到|所述|说明|指出|描述|提及|介绍|列举|说)",
    r"(?:本文|这篇文章|该文|这段(?:话|文字)|短文)的(?:主要|中心|主题|观点|作者|目的|主旨)",
    r"(?:^|[，,。])作者(?:认为|指出|说|提到|为什么|如何|的(?:观点|态度|看法))",
    r"(?:本文|文章|上記の文章|この文章|この文書|この記事|上の文|この段落)(?:によると|によれば|で述べ|の中で|に書かれ)",
    r"(?:本文|この文章|この文書|この記事|この段落)の(?:主題|要旨|テーマ|内容|目的|筆者|著者)|(?:文中|本文中)で|本文では|この(?:文章|文書|記事|段落)を読|(?<!の)(?:筆者|著者)[はが]",
    r"(?:본문|지문|위 글|이 글|위의 글|제시문|윗글)(?:에 따르면|에서|의 내용)",
    r"이 글의|이 (?:문서|텍스트|기사)에서 (?:설명|언급|제시|말하|다루)|(?:글쓴이|필자)[가는이의]",
)

_NOT_OF = r"(?!\s(?:of|von|de|des|du|del|della|di|do|da|van)\b)"
"""Behind a noun: the author, or the text, is not that of something else."""


def _patterns(wording: _Wording) -> Iterator[str]:
    """The phrases of a language; behind the noun, the sentence ends or goes on as a question."""
    noun, within = rf" ?(?:{wording.noun})\b", rf"{wording.within} ?(?:{wording.noun})\b"
    ends = rf"(?=\s*(?:$|[,.;:?!¿)\"”»—–]|\s(?:{wording.asks})\b))"
    goes_on = r"(?=\s(?:to|for|about|as|on|regarding|over|sobre|sur|um|zu)\b)"
    yield wording.by + noun + ends
    yield f"{wording.told} {within}(?:{ends}|{goes_on})"
    yield f'(?<![^¿"“(]){within}(?=,)'
    if wording.tells:
        the = wording.the + noun
        yield f"{wording.tells} {the}{_NOT_OF}"
        yield rf"{the} {wording.tells}\b"
        yield wording.point + noun + ends
        yield f"{wording.about} (?:{the}|{within}){_NOT_OF}"


_BARE = (
    "(?:in|of|from|by|throughout|reading) (?:the|this) (?:text|article|paragraph)",
    "(?:im|aus dem|in diesem|des|dieses) (?:text(?:es)?|abschnitts?)|(?:im|in diesem) artikel",
    "(?:dans (?:le|ce|cet|l['’])|du|de ce) ?(?:texte|passage|extrait)|dans (?:cet |l['’])article",
    "(?:en el|en este|del|de este) (?:texto|pasaje|fragmento)|en (?:el|este) artículo",
    "(?:nel|in questo|del|di questo) (?:testo|brano)|(?:no|neste|do|deste) (?:texto|trecho)",
    "(?:in|uit|van) (?:de|deze) (?:tekst|passage)|(?:в|из) (?:этом |этого )?(?:тексте|текста|отрывке|отрывка)",
)
"""What speaks of a source at the end of a question, unless somebody asks what to do with a text."""

_OWN = re.compile(
    r"\b(?:i|my|me|we|our|you|your|to|ich|wir|mein|je|mon|nous|yo|mi|io|mio|eu|meu|ik|mijn|я|мой)\b|\bhow (?:is|are)\b"
    r"|\b(?:comment|cómo|come|como|hoe|как|wie) \w*(?:er|ir|ar|re|en|ть)\b",
    re.IGNORECASE,
)
"""Who searches speaks of what they do, or want to do."""

_SPACED = [_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH, _RUSSIAN]
_PHRASES = [*(phrase for each in _SPACED for phrase in _patterns(each)), *_MORE]
_SOURCE = re.compile(rf"\b(?:{'|'.join(_PHRASES)})|{'|'.join(_UNSPACED)}", re.IGNORECASE)
_AT_END = re.compile(rf"\b(?:{'|'.join(_BARE)})(?=\s*(?:$|[.?!]))", re.IGNORECASE)


def named_source(query: str) -> str:
    """The phrase of a question that speaks of its source; empty where there is none."""
    asked = " ".join(query.split())
    found = _SOURCE.search(asked) or (None if _OWN.search(asked) else _AT_END.search(asked))
    return found[0].strip() if found else ""
