"""The shell: one language for typing, for -e and for pipes.

`language` turns a line into a command, `session` carries it out and knows no terminal,
`rendering` shows what came of it, `terminal` is where somebody types.
"""
