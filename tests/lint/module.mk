# layers, tables and documents agree
TESTS += tests/lint/test_lint.py tests/lint/test_help.py
