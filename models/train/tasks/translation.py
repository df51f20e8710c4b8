"""A small grammar of sentences in English, German and Chinese."""

from .example import ask, follow_up, held_out

SUBJECTS = [("The cat", "Die Katze", "猫"), ("The dog", "Der Hund", "狗"), ("The girl", "Das Mädchen", "女孩"),
            ("The boy", "Der Junge", "男孩"), ("The teacher", "Der Lehrer", "老师"), ("My father", "Mein Vater", "我的父亲"),
            ("My mother", "Meine Mutter", "我的母亲"), ("The child", "Das Kind", "孩子")]
VERBS = [("sees", "sieht", "看见"), ("likes", "mag", "喜欢"), ("buys", "kauft", "买"), ("has", "hat", "有"),
         ("finds", "findet", "找到"), ("wants", "will", "想要"), ("needs", "braucht", "需要"), ("draws", "zeichnet", "画")]
# English, German, German gender, Chinese with its measure word.
NOUNS = [("apple", "Apfel", "m", "个", "苹果"), ("book", "Buch", "n", "本", "书"), ("house", "Haus", "n", "座", "房子"),
         ("flower", "Blume", "f", "朵", "花"), ("car", "Auto", "n", "辆", "汽车"), ("lamp", "Lampe", "f", "盏", "灯"),
         ("horse", "Pferd", "n", "匹", "马"), ("bird", "Vogel", "m", "只", "鸟"), ("fish", "Fisch", "m", "条", "鱼"),
         ("table", "Tisch", "m", "张", "桌子"), ("chair", "Stuhl", "m", "把", "椅子"), ("letter", "Brief", "m", "封", "信")]
ADJECTIVES = [None, ("red", "rot", "红色的"), ("big", "groß", "大的"), ("small", "klein", "小的"), ("old", "alt", "旧的"),
              ("new", "neu", "新的")]
TIMES = [None, None, ("today", "heute", "今天"), ("now", "jetzt", "现在")]
ARTICLE = {"m": "einen", "n": "ein", "f": "eine"}
ENDING = {"m": "en", "n": "es", "f": "e"}
LANGUAGES = ["German", "Chinese"]
PHRASINGS = ["Translate into {1}: {0}", "Translate this sentence into {1}: {0}", 'How do you say "{0}" in {1}?']


def sentence(subject, verb, noun, adjective, time):
    """The sentence in (English, German, Chinese)."""
    word, german, gender, measure, chinese = noun
    a = "an" if (adjective[0] if adjective else word)[0] in "aeio" else "a"
    english = f"{subject[0]} {verb[0]} {a} {adjective[0] + ' ' if adjective else ''}{word}{' ' + time[0] if time else ''}."
    object_ = f"{ARTICLE[gender]} {adjective[1] + ENDING[gender] + ' ' if adjective else ''}{german}"
    german = f"{subject[1]} {verb[1]} {time[1] + ' ' if time else ''}{object_}."
    chinese = f"{subject[2]}{time[2] if time else ''}{verb[2]}一{measure}{adjective[2] if adjective else ''}{chinese}。"
    return english, german, chinese


def fresh(r, test):
    while True:
        parts = [r.choice(SUBJECTS), r.choice(VERBS), r.choice(NOUNS), r.choice(ADJECTIVES), r.choice(TIMES)]
        if held_out("sentence", [part and part[0] for part in parts]) == test:
            return sentence(*parts)


def draw(r, test=False, turns=1):
    english, *others = fresh(r, test)
    at = r.randrange(2)
    example = ask("translation into " + LANGUAGES[at], r.choice(PHRASINGS).format(english, LANGUAGES[at]), others[at])
    if turns == 1:
        return example
    return follow_up(example, f"And in {LANGUAGES[1 - at]}?", others[1 - at])
