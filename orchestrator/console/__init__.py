"""What all commands share to speak with their caller: exit codes, tables, amounts, progress, signals."""
