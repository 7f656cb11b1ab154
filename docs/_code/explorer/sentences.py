"""What the explorer's model reads: sentences of the toy language, one or two at a time, and one that it never met."""

SENTENCES = (
    "the dog near the cat barks .",
    "near the dog the cat meows .",
    "the horse near the owl gallops .",
    "the bee near the cow hums . near the bee the cow moos .",
    "near the frog the duck quacks . the frog near the duck leaps .",
    "the owl near the dog stares . the cow near the horse grazes .",
    "the dog near the cat near the bee growls .",
)
FAR, NEAR, TWO, UNMET = 0, 1, 4, 6  # those that the page's text speaks of
LAST = 4  # the place of the last word before the verb, from 0
