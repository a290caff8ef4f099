"""How good an embedder is: benchmarks, scoring, intervals, the scaling law."""
