"""Questions about documents: what is asked for, how an answer is read, and what the filters look at."""
