"""What the operators of remote jobs are made of."""
