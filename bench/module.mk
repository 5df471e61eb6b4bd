# the benchmark
