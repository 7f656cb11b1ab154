"""What attention costs and how to pay less: the same answers in less time or memory, put in from outside."""
