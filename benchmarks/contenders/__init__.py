"""One module a contender, each with ``run(workload, referee, options)``. They import their own."""
