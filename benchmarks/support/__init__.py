"""What the benchmarks share: processes that are timed, a project to run in, and a loop to be compared with."""
