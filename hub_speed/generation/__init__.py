"""A row's whole life, in reading order: prompts, planning, jobs, asking, the ledger, parsing, published rows."""
