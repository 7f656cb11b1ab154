"""Wrong answers to e16 that have been seen, each with what it does and what a teacher would say; and right variants."""

import random
import re
from collections import Counter

import torch

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.corpora.basic_english", "attn_lab.corpora.Vocabulary")

SIGNS = "'.,()!?"


def spaced(line, signs=SIGNS):
    """Each of the signs between spaces."""
    return "".join(f" {sign} " if sign in signs else sign for sign in line)


def blanked(line, signs=";:"):
    return "".join(" " if sign in signs else sign for sign in line)


def capitals_kept(line):
    return blanked(spaced(line.replace('"', "").replace("<br />", " "))).split()


def spaces_only(line):
    return line.lower().split()


def signs_dropped(line):
    return blanked(blanked(line.lower().replace('"', "").replace("<br />", " "), SIGNS)).split()


def words_and_signs_only(line):
    return re.findall(r"[\w]+|[.,!?()']", line.lower().replace('"', "").replace("<br />", " "))


def apostrophe_kept(line):
    return blanked(spaced(line.lower().replace('"', "").replace("<br />", " "), ".,()!?")).split()


def quote_becomes_space(line):
    return blanked(spaced(line.lower().replace("<br />", " ").replace('"', " "))).split()


def quote_is_a_token(line):
    return blanked(spaced(line.lower().replace("<br />", " "), SIGNS + '"')).split()


def colons_are_tokens(line):
    return spaced(line.lower().replace('"', "").replace("<br />", " "), SIGNS + ";:").split()


def breaks_stay(line):
    return blanked(spaced(line.lower().replace('"', ""))).split()


def breaks_before_lower_case(line):
    return blanked(spaced(line.replace('"', "").replace("<br />", " ").lower())).split()


def breaks_before_quotes(line):
    return blanked(spaced(line.lower().replace("<br />", " ").replace('"', ""))).split()


def breaks_after_colons(line):
    return spaced(blanked(line.lower().replace('"', "")).replace("<br />", " ")).split()


def breaks_leave_no_space(line):
    return blanked(spaced(line.lower().replace('"', "").replace("<br />", ""))).split()


def split_at_single_spaces(line):
    line = blanked(spaced(line.lower().replace('"', "").replace("<br />", " ")))
    return re.sub(r"\s+", " ", line).split(" ")


def counted(lines):
    return Counter(token for line in lines for token in line)


def by_count(lines, specials):
    counts = counted(lines)
    return sorted((t for t in counts if t not in specials), key=lambda t: (-counts[t], t))


def specials_last(lines, specials=("<unk>",)):
    return [*by_count(lines, specials), *specials]


def specials_not_asked_for(lines, specials=("<unk>",)):
    return ["<unk>", *by_count(lines, ("<unk>",))]


def specials_twice(lines, specials=("<unk>",)):
    return [*specials, *by_count(lines, ())]


def specials_counted(lines, specials=("<unk>",)):
    counts = counted(lines)
    return sorted({*counts, *specials}, key=lambda t: (-counts[t], t))


def rare_first(lines, specials=("<unk>",)):
    counts = counted(lines)
    return [*specials, *sorted((t for t in counts if t not in specials), key=lambda t: (counts[t], t))]


def alphabetical(lines, specials=("<unk>",)):
    return [*specials, *sorted(set(counted(lines)) - set(specials))]


def ties_by_occurrence(lines, specials=("<unk>",)):
    return [*specials, *(t for t, _ in counted(lines).most_common() if t not in specials)]


def ties_backwards(lines, specials=("<unk>",)):
    counts = counted(lines)
    return [*specials, *sorted((t for t in counts if t not in specials), key=lambda t: (counts[t], t), reverse=True)]


def ties_without_case(lines, specials=("<unk>",)):
    counts = counted(lines)
    return [*specials, *sorted((t for t in counts if t not in specials), key=lambda t: (-counts[t], t.lower(), t))]


def order_of_occurrence(lines, specials=("<unk>",)):
    return [*specials, *(t for t in counted(lines) if t not in specials)]


def once_is_too_rare(lines, specials=("<unk>",)):
    counts = counted(lines)
    return [*specials, *(t for t in by_count(lines, specials) if counts[t] > 1)]


def ids(numbers):
    return torch.tensor(numbers, dtype=torch.int64)


def places(vocabulary):
    return {token: place for place, token in enumerate(vocabulary)}


def unknown_raises(tokens, vocabulary):
    id_of = places(vocabulary)
    return ids([id_of[t] for t in tokens])


def unknown_left_out(tokens, vocabulary):
    id_of = places(vocabulary)
    return ids([id_of[t] for t in tokens if t in id_of])


def unknown_is_0(tokens, vocabulary):
    id_of = places(vocabulary)
    return ids([id_of.get(t, 0) for t in tokens])


def unknown_is_minus_1(tokens, vocabulary):
    id_of = places(vocabulary)
    return ids([id_of.get(t, -1) for t in tokens])


def unknown_is_one_more(tokens, vocabulary):
    id_of = places(vocabulary)
    return ids([id_of.get(t, len(vocabulary)) for t in tokens])


def unknown_joins(tokens, vocabulary):
    found = []
    for token in tokens:
        if token not in vocabulary:
            vocabulary.append(token)
        found.append(vocabulary.index(token))
    return ids(found)


def ids_from_1(tokens, vocabulary):
    id_of = {token: place for place, token in enumerate(vocabulary, start=1)}
    return ids([id_of.get(t, id_of["<unk>"]) for t in tokens])


def empty_is_float(tokens, vocabulary):
    id_of = places(vocabulary)
    return torch.tensor([id_of.get(t, id_of["<unk>"]) for t in tokens])


def narrow_ids(tokens, vocabulary):
    id_of = places(vocabulary)
    return torch.tensor([id_of.get(t, id_of["<unk>"]) for t in tokens], dtype=torch.int32)


MISTAKES = (
    Mistake(
        "keeps capital letters",
        "Begin with line.lower(): otherwise `The` and `the` are two words, and each is learned from half the text.",
        caught_by="test_words_become_lower_case",
        basic_english=capitals_kept,
    ),
    Mistake(
        "cuts at white space only",
        "A sign must become a token of its own: put a space on either side of it before you split.",
        caught_by="test_signs_are_tokens_of_their_own",
        basic_english=spaces_only,
    ),
    Mistake(
        "drops the signs",
        "The signs ' . , ( ) ! ? are tokens too: replace each by itself between spaces, not by a space.",
        caught_by="test_signs_are_tokens_of_their_own",
        basic_english=signs_dropped,
    ),
    Mistake(
        "leaves the apostrophe in its word",
        "The apostrophe is one of the signs: `it's` is three tokens, `it`, `'` and `s`.",
        caught_by="test_signs_are_tokens_of_their_own",
        basic_english=apostrophe_kept,
    ),
    Mistake(
        "keeps nothing but letters, digits and the listed signs",
        "What no rule names stays as it is: `well-known`, `$` and `<unk>` are tokens, so replace, and do not search.",
        caught_by="test_words_become_lower_case",
        basic_english=words_and_signs_only,
    ),
    Mistake(
        "makes empty tokens where spaces meet",
        'Use split() without an argument: split(" ") returns an empty word between two spaces, and at either end.',
        caught_by="test_signs_are_tokens_of_their_own",
        basic_english=split_at_single_spaces,
    ),
    Mistake(
        "puts a space in place of a quotation mark",
        'The quotation mark leaves no trace: replace it by "", so that what stands on either side is one word.',
        caught_by="test_some_signs_vanish",
        basic_english=quote_becomes_space,
    ),
    Mistake(
        "makes a token of the quotation mark",
        "The quotation mark is not among the signs that are tokens: it goes.",
        caught_by="test_some_signs_vanish",
        basic_english=quote_is_a_token,
    ),
    Mistake(
        "makes tokens of ; and :",
        "; and : only separate: each becomes a space, and no token.",
        caught_by="test_some_signs_vanish",
        basic_english=colons_are_tokens,
    ),
    Mistake(
        "leaves <br /> in the text",
        "<br /> is a line's end in a page, and no word: replace it by a space.",
        caught_by="test_some_signs_vanish",
        basic_english=breaks_stay,
    ),
    Mistake(
        "removes <br /> and leaves no space",
        "Two words that <br /> separates must stay two: put a space in its place.",
        caught_by="test_some_signs_vanish",
        basic_english=breaks_leave_no_space,
    ),
    Mistake(
        "looks for <br /> before the line is in lower case",
        "The rules go one after the other: lower case first, else <BR /> is not found.",
        caught_by="test_the_rules_come_in_their_order",
        basic_english=breaks_before_lower_case,
    ),
    Mistake(
        "looks for <br /> before the quotation marks are gone",
        'The rules go one after the other: take out the quotation marks first, then <b"r /> is a <br /> too.',
        caught_by="test_the_rules_come_in_their_order",
        basic_english=breaks_before_quotes,
    ),
    Mistake(
        "looks for <br /> after ; and : have become spaces",
        "The rules go one after the other: `<br;/>` is no <br />, and becomes one if the semicolon goes first.",
        caught_by="test_the_rules_come_in_their_order",
        basic_english=breaks_after_colons,
    ),
    Mistake(
        "puts the specials last",
        "The specials come first: then their ids are the same for every text.",
        caught_by="test_the_specials_come_first",
        build_vocabulary=specials_last,
    ),
    Mistake(
        "sorts the specials in among the words",
        "The specials are not sorted by their counts: they come first, in the order in which they are given.",
        caught_by="test_the_specials_come_first",
        build_vocabulary=specials_counted,
    ),
    Mistake(
        "always takes <unk> as the only special",
        "Use the argument specials: it may hold others, and in another order.",
        caught_by="test_the_specials_come_first",
        build_vocabulary=specials_not_asked_for,
    ),
    Mistake(
        "lists a special again where the text has it",
        "The Penn Treebank writes <unk> itself: leave the specials out of the words that you sort.",
        caught_by="test_each_token_has_one_place",
        build_vocabulary=specials_twice,
    ),
    Mistake(
        "leaves out the words that occur once",
        "Nobody asked for a least count here: every token of the text has a place.",
        caught_by="test_each_token_has_one_place",
        build_vocabulary=once_is_too_rare,
    ),
    Mistake(
        "puts rare words first",
        "The largest count comes first: sort by minus the count.",
        caught_by="test_frequent_words_come_first",
        build_vocabulary=rare_first,
    ),
    Mistake(
        "sorts by alphabet alone",
        "Count first: the alphabet decides only where two counts are equal.",
        caught_by="test_frequent_words_come_first",
        build_vocabulary=alphabetical,
    ),
    Mistake(
        "leaves the words in the order in which they occur",
        "Count, and sort by falling count: a set or a dictionary does not do that for you.",
        caught_by="test_frequent_words_come_first",
        build_vocabulary=order_of_occurrence,
    ),
    Mistake(
        "leaves words of equal count in the order in which they occur",
        "most_common() does not settle ties: sort by the pair (-count, token).",
        caught_by="test_ties_are_alphabetical",
        build_vocabulary=ties_by_occurrence,
    ),
    Mistake(
        "sorts words of equal count backwards",
        "reverse=True turns round the alphabet as well: sort by (-count, token) instead.",
        caught_by="test_ties_are_alphabetical",
        build_vocabulary=ties_backwards,
    ),
    Mistake(
        "ignores case where it sorts words of equal count",
        "Sort by the token itself: Python's order of strings, with capitals before small letters.",
        caught_by="test_ties_are_alphabetical",
        build_vocabulary=ties_without_case,
    ),
    Mistake(
        "raises an error at an unknown word",
        "A word that was never seen in training must not stop the program: give it the id of <unk>.",
        caught_by="test_unknown_words_become_unk",
        numericalize=unknown_raises,
    ),
    Mistake(
        "leaves unknown words out",
        "An unknown word is a word: without <unk> in its place the text has other neighbours, and other counts.",
        caught_by="test_unknown_words_become_unk",
        numericalize=unknown_left_out,
    ),
    Mistake(
        "gives an unknown word the id 0, whatever stands there",
        "<unk> need not be the first: look up its place.",
        caught_by="test_unknown_words_become_unk",
        numericalize=unknown_is_0,
    ),
    Mistake(
        "gives an unknown word the id -1",
        "No embedding has a row -1: an unknown word gets the id of <unk>.",
        caught_by="test_unknown_words_become_unk",
        numericalize=unknown_is_minus_1,
    ),
    Mistake(
        "gives an unknown word an id beyond the vocabulary",
        "The embedding has as many rows as the vocabulary has tokens: an unknown word gets the id of <unk>.",
        caught_by="test_unknown_words_become_unk",
        numericalize=unknown_is_one_more,
    ),
    Mistake(
        "adds unknown words to the vocabulary",
        "The vocabulary is made from the training text alone, and is then fixed: the model has no row for more.",
        caught_by="test_the_arguments_are_left_as_they_are",
        numericalize=unknown_joins,
    ),
    Mistake(
        "counts ids from 1",
        "An id is a row of the embedding, and rows count from 0.",
        caught_by="test_an_id_is_a_place_in_the_vocabulary",
        numericalize=ids_from_1,
    ),
    Mistake(
        "returns floats for an empty text",
        "torch.tensor([]) is a tensor of float32: say dtype=torch.int64.",
        caught_by="test_an_empty_text_has_no_ids",
        numericalize=empty_is_float,
    ),
    Mistake(
        "returns ids of int32",
        "Ids are int64 (torch.long): that is what PyTorch's loss wants of its targets.",
        caught_by="test_an_id_is_a_place_in_the_vocabulary",
        numericalize=narrow_ids,
    ),
)


def by_translation(line):
    table = str.maketrans({sign: f" {sign} " for sign in SIGNS} | dict.fromkeys(";:", " "))
    return line.lower().replace('"', "").replace("<br />", " ").translate(table).split()


def by_search(line):
    line = line.lower().replace('"', "").replace("<br />", " ")
    return re.findall(r"['.,()!?]|[^\s'.,()!?;:]+", line)


def by_two_sorts(lines, specials=("<unk>",)):
    counts = counted(lines)
    words = sorted(set(counts).difference(specials))  # Python's sort keeps the order of what is equal
    return list(specials) + sorted(words, key=counts.get, reverse=True)


def by_index(tokens, vocabulary):
    return torch.tensor([vocabulary.index(t if t in vocabulary else "<unk>") for t in tokens], dtype=torch.long)


def by_filling(tokens, vocabulary):
    id_of = places(vocabulary)
    numbers = torch.full((len(tokens),), id_of["<unk>"])
    for k, token in enumerate(tokens):
        if token in id_of:
            numbers[k] = id_of[token]
    return numbers


VARIANTS = (
    Variant("a table of characters", basic_english=by_translation),
    Variant("a search for tokens, where all that is no sign and no space stays", basic_english=by_search),
    Variant("two sorts in a row", build_vocabulary=by_two_sorts),
    Variant("list.index, slow and right", numericalize=by_index),
    Variant("a tensor of <unk> that is filled", numericalize=by_filling),
)


PIECES = (
    *("the", "The", "US", "well-known", "$", "9.5", "É", "<unk>", "it's", "a"),
    *("'", ".", ",", "(", ")", "!", "?", ";", ":", '"', "<br />", "<BR />", '<b"r />', "<br;/>", "-", "/", "U.S."),
    *(" ", " ", "  ", "\t", "\u00a0"),
)
TOKENS = ("b", "a", "the", "c", "B", ".", "é", "<unk>", "<pad>")


def on_lists(function, *lists):
    """Its behaviour, and whether it changed a list that it was given."""
    before = [list(x) for x in lists]
    seen = behaviour(function, *lists)
    if seen.get("raises") != "NotImplementedError":
        seen["lists changed"] = [now != then for now, then in zip(map(list, lists), before)]
    return seen


def observe(answer, seed):
    """A line of words, signs and traps; a small text with ties; tokens known and unknown, sometimes none."""
    draw = random.Random(seed)
    line = "".join(draw.choices(PIECES, k=24))
    lines = [draw.choices(TOKENS, k=draw.randrange(7)) for _ in range(4)]
    specials = (("<unk>",), ("<pad>", "<unk>"), ("<eos>", "<unk>"))[seed % 3]
    vocabulary = draw.sample(("<unk>", "the", "a", "b", "é"), k=5)
    tokens = draw.choices(("the", "a", "b", "dog", "The", "<unk>"), k=seed % 6)
    return {
        "basic_english": behaviour(answer.basic_english, line),
        "build_vocabulary": on_lists(answer.build_vocabulary, lines, specials),
        "numericalize": on_lists(answer.numericalize, tokens, vocabulary),
    }
