# maildir: see HACKING.md
