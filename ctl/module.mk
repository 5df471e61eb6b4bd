# ctl: see HACKING.md
