"""How an instruction is put before a query (E5 §3.2; SPEED §3.3 the same). Documents stay as they are."""


def with_instruction(instruction: str, query: str) -> str:
    """The text an embedder reads for a query."""
    return f"Instruct: {instruction}\nQuery: {query}"
