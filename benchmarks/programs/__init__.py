"""What the benchmarks run as whole processes, each as its user would start it."""
