# Each folder names its own unit tests and fuzz targets in its module.mk; here
# is what belongs to all.

TESTS += tests/fuzz/replay.sh

include tests/crash/module.mk
include tests/lint/module.mk

FUZZ_TARGETS = $(filter tests/fuzz/fuzz_%,$(check_PROGRAMS))

fuzz-targets: $(FUZZ_TARGETS)
	@echo $(FUZZ_TARGETS)

EXTRA_DIST += tests/fuzz/replay.sh tests/fuzz/fuzz.sh tests/fuzz/corpus \
	tests/fuzz/README.md tests/fuzz/coverage.py tests/fuzz/parsers.txt \
	tests/fuzz/imap_search.dict \
	tests/lint tests/support tests/clients tests/howto \
	tests/messages tests/transcripts \
	tests/auth tests/takeover tests/docs tests/README.md tests/pytest.ini tests/conftest.py

.PHONY: fuzz-targets
