# auth: see HACKING.md
