"""How right is the shipped model, and what is each of its parts worth? Judged on hands that nothing has learnt from."""
