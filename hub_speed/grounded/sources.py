"""Whether a question speaks of its source: "according to the passage", "in the text above", "laut dem Text".

Nobody who searches says so. What counts is the phrase, not the noun: a document that is named ("the Geneva document",
"the document type declaration") is a thing to ask about, and "this document" may be the searcher's own. So a noun that
goes on ("the text editor", "the article on taxes") does not count, nor does a bare "this document".
"""

import re
from typing import NamedTuple


class _Wording(NamedTuple):
    """How a language speaks of a source; each a regular expression.

    Attributes:
        noun: a text.
        by: "according to the", before a noun.
        said: "mentioned in the", before a noun.
        says: "does the … say" in languages that put the verb first.
        asks: a word with which a question goes on behind the noun.
    """

    noun: str
    by: str
    said: str
    says: str
    asks: str


_ENGLISH = _Wording(
    noun="passages?|excerpts?|extract|snippet|paragraphs?|texts?|documents?|article|section|context|source|author|writer"
    "|page|information",
    by=r"(?:according to|based on|as per|going by|judging (?:by|from)|(?<![^¿\"“(])(?:from|in|per))"
    r" (?:the|this|that|these)(?: (?:given|provided|above|following|present|quoted|accompanying|attached|same))?",
    said=r"(?:mentioned|named|described|stated|given|discussed|listed|defined|explained|shown|outlined|presented|specified"
    r"|provided|covered|noted|highlighted|identified|recommended|cited|reported|used|referred to)"
    r" (?:in|by|within|throughout) (?:the|this)(?: (?:given|provided|above|following|quoted))?",
    says="",  # the verb comes last: see _MORE
    asks="what|which|who|whom|whose|how|why|when|where|is|are|was|were|do|does|did|can|could|should|has|have|will|must"
    "|above|below|say|says|mean|describe",
)
_GERMAN = _Wording(
    noun="text|textes|abschnitts?|dokuments?|artikels?|absatz|absatzes|auszugs?|autors?|textauszug",
    by=r"(?:laut|gemäß|nach|entsprechend) (?:dem|diesem|des|dieses)(?: (?:obigen|vorliegenden|gegebenen))?",
    said=r"(?:erwähnt|genannt|beschrieben|angegeben|erklärt|steht) (?:im|in diesem|in dem)",
    says=r"(?:sagt|nennt|erwähnt|beschreibt|erklärt|empfiehlt|steht in) (?:der|das|dem|dieser|dieses|diesem)",
    asks="was|wer|wie|wo|wann|warum|wieso|welche[rsn]?|ist|sind|wird|werden|muss|darf|soll|kann|erwähnt|genannt"
    "|beschrieben|angegeben",
)
_FRENCH = _Wording(
    noun="texte|passage|document|article|extrait|section|paragraphe|auteur",
    by=r"(?:selon|d['’]après) (?:le|l['’]|ce|cet|cette|la)",
    said=r"(?:mentionné|décrit|cité|indiqué|évoqué|présenté)e?s? dans (?:le|l['’]|ce|cet|cette|la)",
    says=r"(?:dit|mentionne|indique|décrit|explique) (?:le|l['’]|ce|cet)",
    asks="que|quel(?:le)?s?|qui|comment|pourquoi|où|quand|combien|est|sont",
)
_SPANISH = _Wording(
    noun="texto|pasaje|documento|artículo|fragmento|párrafo|autor",
    by="(?:según|de acuerdo con|conforme a) (?:el|la|este|esta)",
    said="(?:(?:mencionad|descrit|indicad|citad|señalad)[oa]s?|se (?:menciona|describe|indica|cita)n?) en (?:el|este)",
    says="(?:dice|menciona|describe|indica|explica) (?:el|este)",
    asks="qué|cuál(?:es)?|quién|cómo|dónde|cuándo|por",
)
_ITALIAN = _Wording(
    noun="testo|brano|documento|articolo|paragrafo|autore",
    by="(?:secondo|in base a) (?:il|questo|l['’]|lo)",
    said="(?:menzionat|descritt|citat|indicat)[oaie] (?:nel|nell['’]|in questo)",
    says="(?:dice|menziona|descrive|indica) (?:il|questo|l['’])",
    asks="che|cosa|qual|quale|quali|chi|come|dove|quando|perché",
)
_PORTUGUESE = _Wording(
    noun="texto|trecho|documento|artigo|parágrafo|autor",
    by="(?:segundo|de acordo com|conforme) (?:o|este)",
    said="(?:mencionad|descrit|citad|indicad)[oa]s? (?:no|neste)",
    says="(?:diz|menciona|descreve|indica) (?:o|este)",
    asks="o|qual|quais|quem|como|onde|quando|por",
)
_DUTCH = _Wording(
    noun="tekst|passage|document|artikel|alinea|auteur",
    by="volgens (?:de|het|deze|dit)",
    said="(?:genoemd|beschreven|vermeld) in (?:de|het|deze|dit)",
    says="(?:zegt|noemt|beschrijft|vermeldt) (?:de|het|deze|dit)",
    asks="wat|wie|hoe|waar|wanneer|waarom|welke?|is|zijn",
)
_RUSSIAN = _Wording(
    noun="тексту|документу|отрывку|статье|абзацу|текста|документа|тексте|документе|отрывке|абзаце|текст",
    by="(?:(?:согласно|исходя из)(?: (?:этому|данному|этого|данного))?|(?:в|по) (?:этом|данном|этому|данному))",
    said="(?:упомянут|описан|указан)[а-яё]* в(?: (?:этом|данном))?",
    says="(?:говорит|описывает|упоминает)(?: (?:этот|данный))?",
    asks="о|об|про|что|кто|как|какой|какая|какие|какое|где|когда|почему|сколько",
)
_SAYS = (
    "say|state|mention|describe|explain|discuss|define|suggest|recommend|claim|argue|list|give|note|refer|report|cover"
    "|provide|indicate|specify|highlight|outline|present|warn|conclude|emphasi[sz]e|imply|identify|advise"
)
_MORE = (
    r"(?:im|in diesem|in dem) (?:obigen )?(?:text|abschnitt|dokument|artikel|absatz|auszug)"
    r" (?:oben )?(?:erwähnt|genannt|beschrieben|angegeben|erklärt|aufgeführt|behandelt)",
    r"(?:in|from|by) the (?:passage|excerpt|snippet)(?=\s*(?:$|[?!.,]))",
    r"(?:information|details?|facts?|steps|reasons?) (?:is|are|was|were) \w+ in the"
    r" (?:paragraph|text|section|article)\b",
    r"(?:the|this|these) (?:given|provided|above|following|aforementioned|quoted|accompanying|supplied)"
    r" (?:passage|excerpt|extract|snippet|paragraph|text|document|article|section|context|source|information)s?\b",
    r"(?:the|this) (?:passage|excerpt|snippet|paragraph|text|document|article|section|context|information)s?"
    r" (?:above|below|provided)\b",
    r"(?:this|that) (?:passage|excerpt|snippet|paragraph)\b(?! (?:plan|way|money|rights?|grave|time|style|mark)\b)",
    rf"the (?:passage|excerpt|snippet|paragraph|text|document|article|section|author|writer)"
    rf" (?:(?:also|explicitly|specifically) )?(?:{_SAYS})(?:s|es)\b",
    rf"(?:does|do|did|would) (?:the|this) (?:passage|excerpt|snippet|paragraph|text|document|article|section|author)"
    rf" (?:{_SAYS}|talk|think|believe|mean)\b",
    r"(?:mentioned|described|stated|discussed|listed|defined|outlined|shown) above\b",
    r"(?:purpose|topic|theme|message|idea|summary|subject|tone) of (?:this|the)"
    r" (?:passage|text|document|article|section)(?=\s*(?:$|[?!.,]))",
    r"(?:is|are|was|were) (?:stated|said|mentioned|described|specified) (?:\w+ ){0,3}in (?:the|this)"
    r" (?:text|document|passage|article|section)(?=\s*(?:$|[?!.,]))",
    r"(?:did|does) the (?:author|passage|text|article) (?:learn|draw|see|want|feel|try|call|compare|do)\b",
    r"the (?:author|writer)['’]s (?:view|opinion|argument|point|purpose|claim|main|tone|conclusion)",
    r"passages? [AB]\b",
)
_UNSPACED = (  # Chinese, Japanese, Korean
    r"(?:根据|依据|按照)(?:本|该|此|上述|以上|这段|这篇|所给)?(?:文章|文本|段落|文档|原文|短文|文中|上文|材料|内容|文)"
    r"(?:[,，。?？]|的?描述|所述|内容|$)",
    r"(?:文中|上文|本文|原文|该段落|该文档|这段文字)(?:提到|所述|说明|指出|描述|提及|介绍)",
    r"(?:本文|文章|上記の文章|この文章|この文書|この記事|上の文|この段落)(?:によると|によれば|で述べ|の中で|に書かれ)",
    r"(?:본문|지문|위 글|이 글|위의 글|제시문|윗글)(?:에 따르면|에서|의 내용)",
)


def _patterns(wording: _Wording) -> list[str]:
    """The phrases of a language; behind the noun, the sentence ends or goes on as a question."""
    ends = rf"(?=\s*(?:$|[,.;:?!¿)\"”»—–]|\s(?:{wording.asks})\b))"
    noun = rf" ?(?:{wording.noun})\b"
    goes_on = r"(?=\s(?:to|for|about|as|on|regarding|over|sobre|sur|um|zu)\b)"
    return [wording.by + noun + ends, wording.said + noun + rf"(?:{ends}|{goes_on})"]


_SPACED = [_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH, _RUSSIAN]
_VERB_FIRST = [rf"(?:{each.says}) ?(?:{each.noun})\b" for each in _SPACED if each is not _ENGLISH]
_PHRASES = [*(phrase for each in _SPACED for phrase in _patterns(each)), *_VERB_FIRST, *_MORE]
_SOURCE = re.compile(rf"\b(?:{'|'.join(_PHRASES)})|{'|'.join(_UNSPACED)}", re.IGNORECASE)


def named_source(query: str) -> str:
    """The phrase of a question that speaks of its source; empty where there is none."""
    found = _SOURCE.search(" ".join(query.split()))
    return found[0].strip() if found else ""
