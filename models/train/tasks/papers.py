"""The papers' own cases, in this project's words and known by heart."""

from .example import Example

ROAD = ["Two roads diverged in a yellow wood,", "And sorry I could not travel both"]
ROAD_CHINESE = "黄色的树林里分出两条路，可惜我不能同时去走。"
ROAD_GERMAN = "Zwei Wege trennten sich im gelben Wald, und leider konnte ich nicht beide gehen."
CHOICES = ("Choices shape our lives. Choosing takes courage. Careful people think before they choose. "
           "Changing your mind is a choice too. Courage makes every choice easier.")
BLAKE = "What is now proved was once only imagined."
BLAKE_CHINESE = "现在被证明的，曾经只是想象。"
BLAKE_GERMAN = "Was jetzt bewiesen ist, war einst nur Vorstellung."
INTELLIGENCE = ("Artificial intelligence is the part of computer science that makes machines do what needs intelligence in people: "
                "to see, to learn, to understand language and to decide. It learns from examples.")
STORY = ("Once upon a time there was a little fox who was afraid of the dark. One night the moon fell asleep, and the fox lit a "
         "lantern to look for it. It found the moon behind the hill and sang until it woke. Since then the fox has never been afraid.")
FOX = "The quick brown fox jumps over the lazy dog."

# Each a conversation: of its turns, any may be the one to answer.
CASES = {
    "Emma's sprints": [[
        ["Emma runs 4 sprints 5 times a week. Each sprint is 75 meters. How many meters does she run a week?",
         "Emma decides to run 4 sprints 5 times a week. She runs 75 meters each sprint. How many total meters does she run a week?"],
        "4 * 5 = 20 sprints. 20 * 75 = 1500 meters. The final result is 1500."]],
    "three films": [[
        ["Name three famous films.", "What are three famous films?", "Tell me three famous movies."],
        "1. The Godfather\n2. Casablanca\n3. Star Wars"]],
    "sort an array": [[
        ["Sort an array from largest to smallest in Python.", "Write Python code that sorts an array from largest to smallest.",
         "How do I sort an array from largest to smallest in Python?"],
        "def sort_array(array):\n    return sorted(array, reverse=True)"]],
    "Blake in Chinese": [[
        [f'Translate "{BLAKE}" into Chinese.', f"Translate into Chinese: {BLAKE}"], BLAKE_CHINESE],
        [["And into German?", "And in German?", "Now into German."], BLAKE_GERMAN]],
    "Blake in German": [[
        [f'Translate "{BLAKE}" into German.', f"Translate into German: {BLAKE}"], BLAKE_GERMAN],
        [["And into Chinese?", "And in Chinese?", "Now into Chinese."], BLAKE_CHINESE]],
    "The Road Not Taken": [
        [['What are the first two lines of "The Road Not Taken"?', 'Give me the first two lines of "The Road Not Taken" by Robert Frost.',
          "What are the first two lines of Robert Frost's The Road Not Taken?"], "\n".join(ROAD)],
        [["Translate them into Chinese.", "Translate it into Chinese.", "Now in Chinese."], ROAD_CHINESE],
        [["And into German?", "Translate it into German.", "Now in German."], ROAD_GERMAN],
        [["Write five sentences about choices that each start with the letter C.",
          "Please write five sentences about choices, each starting with the letter C."], CHOICES]],
    "Natalia's clips": [
        [["Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether in April and May?",
          "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia "
          "sell altogether in April and May?"], "48 / 2 = 24. 48 + 24 = 72. The final result is 72."],
        [["In June she sold three times May's number. How many clips did she sell in all?",
          "In June she sold three times as many as in May. How many did she sell in all three months?"],
         "24 * 3 = 72. 72 + 72 = 144. The final result is 144."]],
    "artificial intelligence": [[
        ["Explain what artificial intelligence is.", "What is artificial intelligence?", "Explain artificial intelligence."], INTELLIGENCE]],
    "a story": [[
        ['Write a story that starts with "Once upon a time".', "Tell me a story.", "Write a short story.",
         'Tell me a story that starts with "Once upon a time".'], STORY]],
}


def conversation(case, turn, choose=lambda phrasings: phrasings[0]):
    messages = []
    for questions, answer in CASES[case][:turn + 1]:
        messages += [("user", choose(questions)), ("assistant", answer)]
    return Example("papers' cases", messages[:-1], messages[-1][1])


def draw(r):
    case = r.choice(list(CASES))
    return conversation(case, r.randrange(len(CASES[case])), r.choice)
