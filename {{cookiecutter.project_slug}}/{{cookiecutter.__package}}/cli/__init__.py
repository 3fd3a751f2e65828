"""What is typed: one module for each command, imported when the command is called."""
