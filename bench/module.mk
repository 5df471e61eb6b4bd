EXTRA_DIST += bench/bench.py
