# tests: see HACKING.md
