# the benchmark: make bench
EXTRA_DIST += bench/append.py bench/appendfloor.c bench/appendload.c bench/appendload.h bench/bench.py bench/cases.py bench/cases_messages.py bench/cases_store.py bench/imap.py bench/login.py \
	bench/loginload.c bench/mails.py \
	bench/nurse.py bench/reading.py bench/servers.py bench/sessions.py bench/slow.py bench/store.py \
	bench/usage.py
