# layers, tables and documents agree
TESTS += tests/lint/test_lint.py
