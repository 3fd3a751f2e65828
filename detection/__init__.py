"""What this machine is, and which torch build and defaults fit it. Used when a project is made."""
