"""The shell: how people, and scripts, log in, pay and look.

One line of text is one command, whether it was typed, given as ``-e`` or piped:
`language` turns it into a command, `session` carries that out and returns an answer,
`rendering` writes the answer for people or as JSON. None of the three knows where the
line came from. `script` runs lines that are given, `prompt` asks for them (and `menu`
for their parts); `courier` sends what is queued while the shell is open.
"""
