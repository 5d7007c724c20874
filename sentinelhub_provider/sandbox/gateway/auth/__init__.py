"""Who asks: OAuth clients, tokens, the key that signs them."""
