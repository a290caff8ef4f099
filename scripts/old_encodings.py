"""Texts in languages that were written in other encodings than UTF-8, to measure how often the encoding is found.

The sentences say much the same in each language, and stand in another order in each sample.
"""

import random
import re
from collections.abc import Iterator

TEXTS = {
    "German": (
        ("cp1252", "cp850", "mac_roman"),
        (
            "Im Frühjahr räumen wir den Schuppen auf und prüfen, ob die Geräte noch laufen.",
            "Wer eine Säge leiht, trägt sich in das grüne Heft ein.",
            "Die Schlüssel hängen neben der Tür, die größeren über dem Regal.",
            "Öl und Fett stehen im Keller, weil es dort kühl ist.",
            "Nach dem Mähen wird das Gras zwei Tage getrocknet.",
            "Übermäßig nasse Böden walzen wir nicht.",
            "Der Zähler für das Wasser wird am Ersten abgelesen.",
            "Gäste dürfen das Boot nur mit Weste benutzen.",
            "Für Schäden haftet, wer sie verursacht hat.",
            "Könnte jemand den Zaun am Bach flicken?",
        ),
    ),
    "French": (
        ("cp1252",),
        (
            "La clé de la cave est accrochée près de la fenêtre.",
            "Chaque été, nous vérifions les tuyaux avant la première récolte.",
            "Les élèves déjeunent à midi, sauf le mercredi où ils rentrent plus tôt.",
            "Où avez-vous rangé les boîtes à outils ?",
            "Le garçon a déjà fermé la grille du côté de la forêt.",
            "Il faut prévenir le gérant dès qu’une fuite apparaît.",
            "L’eau chaude coûte cher, alors évitez de la gaspiller.",
            "Après l’orage, le chemin était couvert de branches cassées.",
            "Les pièces abîmées seront remplacées la semaine prochaine.",
            "Ça suffit pour aujourd’hui.",
        ),
    ),
    "Spanish": (
        ("cp1252",),
        (
            "El año pasado plantamos limoneros detrás del almacén.",
            "¿Quién dejó abierta la válvula del jardín?",
            "La bomba de agua se revisará después de la lluvia.",
            "Los niños pequeños no pueden subir al tejado.",
            "Mañana llegará un camión con las cajas de melocotón.",
            "Según el calendario, la reunión será el miércoles.",
            "Está prohibido encender fuego cerca del pinar.",
            "El señor Ibáñez guarda la llave en su cajón.",
            "También habrá que pintar la pared del salón.",
            "¡Qué difícil es mover esta piedra!",
        ),
    ),
    "Polish": (
        ("cp1250", "iso8859_2"),
        (
            "Klucz do piwnicy wisi obok okna.",
            "Każdego roku sprawdzamy rury przed pierwszym mrozem.",
            "Kto pożycza piłę, wpisuje się do zielonego zeszytu.",
            "Łódź stoi przy pomoście, a wiosła leżą w szopie.",
            "Proszę zgłaszać szkody od razu po ich zauważeniu.",
            "Dzieci młodsze niż sześć lat nie mogą wchodzić na dach.",
            "Woda w studni jest zimna i czysta.",
            "Jutro przyjedzie ciężarówka z węglem.",
            "Płot nad strumieniem trzeba będzie naprawić.",
            "Gdzie położyliście skrzynkę z narzędziami?",
        ),
    ),
    "Czech": (
        ("cp1250", "iso8859_2"),
        (
            "Klíč od sklepa visí vedle okna.",
            "Každý rok kontrolujeme trubky před prvním mrazem.",
            "Kdo si půjčí pilu, zapíše se do zeleného sešitu.",
            "Loď stojí u mola a vesla leží v kůlně.",
            "Škody hlaste prosím hned, jak si jich všimnete.",
            "Děti mladší šesti let nesmějí chodit na střechu.",
            "Voda ve studni je studená a čistá.",
            "Zítra přijede nákladní auto s uhlím.",
            "Plot u potoka bude třeba opravit.",
            "Kam jste dali bednu s nářadím?",
        ),
    ),
    "Russian": (
        ("cp1251", "koi8_r", "cp866"),
        (
            "Ключ от подвала висит рядом с окном.",
            "Каждый год мы проверяем трубы до первых морозов.",
            "Кто берёт пилу, записывается в зелёную тетрадь.",
            "Лодка стоит у причала, а вёсла лежат в сарае.",
            "О повреждениях просим сообщать сразу.",
            "Дети младше шести лет не должны подниматься на крышу.",
            "Вода в колодце холодная и чистая.",
            "Завтра приедет грузовик с углём.",
            "Забор у ручья надо будет починить.",
            "Куда вы положили ящик с инструментами?",
            "После дождя дорога стала скользкой, поэтому езжайте медленно.",
        ),
    ),
    "Ukrainian": (
        ("cp1251",),
        (
            "Ключ від підвалу висить біля вікна.",
            "Щороку ми перевіряємо труби до перших морозів.",
            "Хто бере пилку, записується до зеленого зошита.",
            "Човен стоїть біля причалу, а весла лежать у сараї.",
            "Про пошкодження просимо повідомляти одразу.",
            "Діти, молодші за шість років, не повинні підніматися на дах.",
            "Вода в криниці холодна й чиста.",
            "Завтра приїде вантажівка з вугіллям.",
            "Паркан біля струмка треба полагодити.",
            "Куди ви поклали скриньку з інструментами?",
        ),
    ),
    "Greek": (
        ("cp1253", "iso8859_7"),
        (
            "Το κλειδί του υπογείου κρέμεται δίπλα στο παράθυρο.",
            "Κάθε χρόνο ελέγχουμε τους σωλήνες πριν από τον πρώτο παγετό.",
            "Όποιος δανείζεται το πριόνι, γράφεται στο πράσινο τετράδιο.",
            "Η βάρκα βρίσκεται στην αποβάθρα και τα κουπιά είναι στην αποθήκη.",
            "Παρακαλούμε να αναφέρετε αμέσως τις ζημιές.",
            "Τα μικρά παιδιά δεν επιτρέπεται να ανεβαίνουν στη στέγη.",
            "Το νερό στο πηγάδι είναι κρύο και καθαρό.",
            "Αύριο θα έρθει ένα φορτηγό με κάρβουνο.",
        ),
    ),
    "Turkish": (
        ("cp1254",),
        (
            "Bodrumun anahtarı pencerenin yanında asılı.",
            "Her yıl ilk dondan önce boruları kontrol ediyoruz.",
            "Testereyi ödünç alan yeşil deftere adını yazar.",
            "Kayık iskelede duruyor, kürekler ise kulübede.",
            "Hasarları lütfen hemen bildirin.",
            "Altı yaşından küçük çocuklar çatıya çıkamaz.",
            "Kuyudaki su soğuk ve temizdir.",
            "Yarın kömür yüklü bir kamyon gelecek.",
            "Dere kenarındaki çit onarılmalı.",
            "Alet çantasını nereye koydunuz?",
            "Yağmurdan sonra yol kayganlaştı, bu yüzden yavaş gidin.",
        ),
    ),
    "Hebrew": (
        ("cp1255",),
        (
            "המפתח של המרתף תלוי ליד החלון.",
            "בכל שנה אנחנו בודקים את הצינורות לפני הכפור הראשון.",
            "מי ששואל את המסור נרשם במחברת הירוקה.",
            "הסירה עומדת ליד הרציף והמשוטים מונחים במחסן.",
            "נא להודיע על נזקים מיד.",
            "אסור לילדים קטנים לעלות על הגג.",
            "המים בבאר קרים ונקיים.",
            "מחר תגיע משאית עם פחם.",
            "צריך לתקן את הגדר ליד הנחל.",
            "איפה שמתם את ארגז הכלים?",
        ),
    ),
    "Arabic": (
        ("cp1256",),
        (
            "مفتاح القبو معلق بجانب النافذة.",
            "نفحص الأنابيب كل سنة قبل أول صقيع.",
            "من يستعير المنشار يكتب اسمه في الدفتر الأخضر.",
            "القارب عند الرصيف والمجاديف في المخزن.",
            "يرجى الإبلاغ عن الأضرار فورا.",
            "لا يسمح للأطفال الصغار بالصعود إلى السطح.",
            "الماء في البئر بارد ونظيف.",
            "ستصل غدا شاحنة محملة بالفحم.",
            "يجب إصلاح السياج قرب الجدول.",
            "أين وضعتم صندوق الأدوات؟",
        ),
    ),
    "Chinese": (
        ("gb18030",),
        (
            "地下室的钥匙挂在窗户旁边。",
            "每年第一次霜冻之前，我们都要检查水管。",
            "借锯子的人要在绿色的本子上登记。",
            "小船停在码头，船桨放在棚子里。",
            "发现损坏请马上报告。",
            "六岁以下的孩子不可以上屋顶。",
            "井里的水又凉又干净。",
            "明天会来一辆运煤的卡车。",
            "小溪旁边的篱笆需要修理。",
            "你们把工具箱放在哪里了？",
            "雨后道路很滑，请慢慢开车。",
            "春天我们打扫仓库，看看机器还能不能用。",
        ),
    ),
    "Traditional Chinese": (
        ("big5",),
        (
            "地下室的鑰匙掛在窗戶旁邊。",
            "每年第一次霜凍之前，我們都要檢查水管。",
            "借鋸子的人要在綠色的本子上登記。",
            "小船停在碼頭，船槳放在棚子裡。",
            "發現損壞請馬上報告。",
            "六歲以下的孩子不可以上屋頂。",
            "井裡的水又涼又乾淨。",
            "明天會來一輛運煤的卡車。",
            "小溪旁邊的籬笆需要修理。",
            "你們把工具箱放在哪裡了？",
            "雨後道路很滑，請慢慢開車。",
            "春天我們打掃倉庫，看看機器還能不能用。",
        ),
    ),
    "Japanese": (
        ("shift_jis", "euc_jp"),
        (
            "地下室の鍵は窓のそばに掛けてあります。",
            "毎年、初霜の前に水道管を点検します。",
            "のこぎりを借りる人は緑のノートに名前を書いてください。",
            "ボートは桟橋にあり、オールは小屋に置いてあります。",
            "壊れた所を見つけたら、すぐに知らせてください。",
            "六歳より小さい子供は屋根に上がってはいけません。",
            "井戸の水は冷たくてきれいです。",
            "明日、石炭を積んだトラックが来ます。",
            "小川のそばの柵を直さなければなりません。",
            "道具箱をどこに置きましたか。",
        ),
    ),
    "Korean": (
        ("cp949",),
        (
            "지하실 열쇠는 창문 옆에 걸려 있습니다.",
            "해마다 첫서리가 내리기 전에 수도관을 점검합니다.",
            "톱을 빌리는 사람은 초록색 공책에 이름을 적어 주세요.",
            "배는 선착장에 있고 노는 창고에 있습니다.",
            "고장 난 곳을 보면 바로 알려 주십시오.",
            "여섯 살보다 어린 아이는 지붕에 올라가면 안 됩니다.",
            "우물물은 차고 깨끗합니다.",
            "내일 석탄을 실은 트럭이 옵니다.",
            "개울가의 울타리를 고쳐야 합니다.",
            "공구 상자를 어디에 두었습니까?",
        ),
    ),
}
"""Language → encodings, and sentences."""

ENGLISH = (
    "We keep the tools in the shed.",
    "The manual says that pumps need oil twice a year.",
    "Ask the warden before you light a fire.",
    "Boats are locked at night, and the oars stay dry.",
)
SIGNS = ("warden’s", "café", "£5", "— and", "“dry”", "20°C", "€5", "Müller", "señor", "§4", "© 2020")
"""What an English text has of signs that are not ASCII; each sample has one."""

SPACED = re.compile(r"[a-zа-яα-ω\u0590-\u06ff가-힣]", re.IGNORECASE)


def samples(size: int, each: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Texts of `size` characters, as they are read rightly, and their bytes in an encoding that is not UTF-8."""
    for encodings, sentences in TEXTS.values():
        between = " " if SPACED.search(sentences[0]) else ""
        for encoding in encodings:
            for _ in range(each):
                said = ""
                while len(said) < size:
                    said += between.join(rng.sample(sentences, len(sentences))) + between
                yield from _written(said[:size], encoding)
    for sign in SIGNS:
        said = " ".join(rng.choices(ENGLISH, k=size // 40 + 2))[:size].split(" ")
        said[rng.randrange(len(said) - 1)] = sign
        yield from _written(" ".join(said), "cp1252")


def among_english(each: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Texts of 200 characters at the end of a line of 2,000 characters of English."""
    english = " ".join(rng.choices(ENGLISH, k=48))
    for text, raw in samples(200, each, rng):
        yield f"{english} {text}", english.encode() + b" " + raw


def _written(text: str, encoding: str) -> Iterator[tuple[str, bytes]]:
    """A text and its bytes, unless these are UTF-8 as well; signs that the encoding lacks are question marks."""
    raw = text.encode(encoding, "replace")
    try:
        raw.decode()
    except UnicodeDecodeError:
        yield raw.decode(encoding), raw
