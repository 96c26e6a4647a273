"""Many imports under one id: the list kept, its items handed over, the rest looked up."""
