"""A row's whole life, in reading order.

planned     topics, prompts, planning; estimate and variety tell `plan` what it will take
asked       jobs, writers (who), quota (how many), asking, which takes online or batched; meter
kept        ledger
read        parsing, escapes, echo, unwritten, examples; of candidates preferences and stock_phrases
published   dedup, dataset, which holds a stage together
alone       on_request: rows for given tasks or passages, without a pipeline
"""
