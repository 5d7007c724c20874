"""What the Statistics operator is made of: questions, the answers on disk, and tables."""
