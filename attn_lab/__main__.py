"""`python -m attn_lab`: the command line."""

from attn_lab.cli import main

main()
